"""CVAT out: "CVAT for images 1.1" XML, masks as ``<mask>`` elements, exact, provenance as attributes.

A mask's ``rle`` holds the lengths of runs, row by row within its box ``left``, ``top``, ``width``, ``height``, the
background first. CVAT takes only labels and attributes that the task knows, so their definition is written beside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from segagent.annotation.interop.answers import Answer, Answers
from segagent.annotation.interop.pictures import Pictures
from segagent.annotation.interop.xml_text import xml_text
from segagent.core import BoolMask
from segagent.environment.simulated import box_around

ATTRIBUTES = ("object_id", "text", "outcome", "made_by", "predicted_iou", "calibrated_iou", "accepted", "provenance")
"""What every mask tells; ``provenance`` is all of it as JSON."""


def write_cvat(answers: Answers, pictures: Pictures, out: IO[bytes]) -> None:
    """Write the annotations. Images whose size cannot be found out are left out."""
    out.write(_lines('<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"))
    out.write(_lines(*_meta(answers.labels)))
    number = 0
    for image in answers.by_image():
        size = image.size or pictures.size_of(image.image)
        if size is None:
            continue
        name = _quoted(pictures.file_name(image.image))
        out.write(_lines(f'  <image id="{number}" name={name} width="{size[1]}" height="{size[0]}">'))
        for answer in image.answers:
            out.write(_lines(*_mask(answer)))
        out.write(_lines("  </image>"))
        number += 1
    out.write(_lines("</annotations>"))


def mask_runs(mask: BoolMask) -> tuple[list[int], int, int, int, int]:
    """Run lengths within the tight box, and the box: left, top, width, height. The mask must not be empty."""
    box = box_around(mask)
    assert box is not None
    flat = mask[box.y0 : box.y1, box.x0 : box.x1].ravel()
    ends = np.concatenate([[0] if flat[0] else [], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    runs = np.diff(ends.astype(np.int64), prepend=0)
    return [int(run) for run in runs], box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0


def mask_points(mask: BoolMask) -> list[float]:
    """A mask as the points of a shape in CVAT's interface: run lengths, left, top, right, bottom. Not an empty one."""
    runs, left, top, width, height = mask_runs(mask)
    return [*runs, left, top, left + width - 1, top + height - 1]


def label_definitions(labels: dict[str, int]) -> list[dict[str, Any]]:
    """The labels and their attributes as CVAT's "Raw" editor of a new task takes them."""
    attributes = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in ATTRIBUTES
    ]
    return [{"name": xml_text(label), "type": "mask", "attributes": attributes} for label in labels]


def labels_file(annotations: Path) -> Path:
    """Where the label definitions of a file of annotations lie."""
    return annotations.with_name(f"{annotations.stem}.labels.json")


def _meta(labels: dict[str, int]) -> Iterator[str]:
    yield "  <meta>"
    yield "    <task>"
    yield "      <name>segagent</name>"
    yield "      <mode>annotation</mode>"
    yield "      <labels>"
    for label in labels:
        yield "        <label>"
        yield f"          <name>{escape(xml_text(label))}</name>"
        yield "          <type>mask</type>"
        yield "          <attributes>"
        for name in ATTRIBUTES:
            yield (
                f"            <attribute><name>{name}</name><mutable>False</mutable><input_type>text</input_type>"
                "<default_value></default_value><values></values></attribute>"
            )
        yield "          </attributes>"
        yield "        </label>"
    yield "      </labels>"
    yield "    </task>"
    yield "  </meta>"


def _mask(answer: Answer) -> Iterator[str]:
    runs, left, top, width, height = mask_runs(answer.mask)
    yield (
        f'    <mask label={_quoted(answer.label)} source="auto" occluded="0" rle="{", ".join(map(str, runs))}" '
        f'left="{left}" top="{top}" width="{width}" height="{height}" z_order="0">'
    )
    values = {**answer.facts, "accepted": answer.accepted, "provenance": json.dumps(answer.facts)}
    for name in ATTRIBUTES:
        value = values.get(name)
        if value is not None:
            text = json.dumps(value) if isinstance(value, bool) else str(value)
            yield f'      <attribute name="{name}">{escape(xml_text(text))}</attribute>'
    yield "    </mask>"


def _quoted(text: str) -> str:
    return quoteattr(xml_text(text))


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8")
