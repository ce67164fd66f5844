"""Label Studio tasks out: pictures by address, masks as brush regions, scores, and where they come from.

One task per image. Masks that are final (``--accept``) are an annotation; all others are a prediction for people to
look at. A region's id holds the object's id, and survives people's editing. Beside the tasks the labelling
configuration is written that they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

from segagent.annotation.interop.answers import Answer, Answers, ImageAnswers
from segagent.annotation.interop.brush_rle import encode_brush
from segagent.annotation.interop.pictures import Pictures
from segagent.annotation.interop.provenance import PROVENANCE_KEY
from segagent.annotation.interop.xml_text import xml_text

BRUSH, PICTURE, CLICKS = "mask", "image", "clicks"
"""The names of the configuration's tags."""

_REGION = "segagent."


def region_id(object_id: str) -> str:
    """The id of an object's region. Label Studio cuts ids at ``#``, so anything special is written as %XX."""
    return _REGION + quote(object_id, safe="")


def object_of_region(region: Any) -> str | None:
    """The object whose region has this id, None where it is not ours."""
    if not isinstance(region, str) or not region.startswith(_REGION):
        return None
    return unquote(region.removeprefix(_REGION))


def write_label_studio(answers: Answers, pictures: Pictures, image_prefix: str, out: IO[bytes]) -> None:
    """Write the tasks, one per line of a JSON list."""
    out.write(b"[")
    number = 0
    for image in answers.by_image():
        if image.size is None and not pictures.has_name(image.image):
            continue  # An entry of the data set that is no sample; it is told among the failures.
        task = _task(image, image_prefix + quote(pictures.file_name(image.image)))
        out.write((b",\n" if number else b"\n") + json.dumps(task).encode("ascii"))
        number += 1
    out.write(b"\n]\n")


def labelling_config(labels: dict[str, int]) -> str:
    """The configuration: the image, a brush with one label per category, and points for clicks.

    ``category`` keeps the labels' numbers where Label Studio exports to COCO or YOLO; it sorts them by name otherwise.
    """
    lines = [f'    <Label value={quoteattr(xml_text(label))} category="{place}"/>' for label, place in labels.items()]
    return "\n".join(
        [
            "<View>",
            f'  <Image name="{PICTURE}" value="$image" zoom="true"/>',
            f'  <BrushLabels name="{BRUSH}" toName="{PICTURE}">',
            *lines,
            "  </BrushLabels>",
            f'  <KeyPointLabels name="{CLICKS}" toName="{PICTURE}">',
            '    <Label value="positive"/>',
            '    <Label value="negative"/>',
            "  </KeyPointLabels>",
            "</View>",
            "",
        ]
    )


def _task(image: ImageAnswers, address: str) -> dict[str, Any]:
    final = [answer for answer in image.answers if answer.accepted]
    others = [answer for answer in image.answers if not answer.accepted]
    missing = [{"object_id": one.object_id, "text": one.text, "reason": one.reason} for one in image.without]
    task: dict[str, Any] = {
        "data": {
            PICTURE: address,
            PROVENANCE_KEY: {"image": image.image, "without_mask": missing},
        }
    }
    if final:
        task["annotations"] = [{"result": [_region(answer) for answer in final], "was_cancelled": False}]
    if others:
        scores = [answer.score for answer in others if answer.score is not None]
        task["predictions"] = [
            {
                "model_version": _model_version([answer.facts for answer in others]),
                **({"score": min(scores)} if scores else {}),
                "result": [_region(answer) for answer in others],
            }
        ]
    return task


def _model_version(provenance: Sequence[dict[str, Any]]) -> str:
    """What made the masks that no person has made."""
    made = next((facts for facts in provenance if "versions" in facts), None)
    return (
        "segagent"
        if made is None
        else f"segagent {made['versions'].get('segagent', '')} {made['policy']} {made['tool']}"
    )


def _region(answer: Answer) -> dict[str, Any]:
    height, width = answer.rle["size"]
    score = answer.score
    notes = ["not found, best try"] if answer.outcome == "not_found" else []
    notes += [] if score is None else [f"expected IoU {score:.2f}"]
    told = f"{answer.text} ({'; '.join(notes)})" if notes else answer.text
    return {
        "id": region_id(answer.object_id),
        "type": "brushlabels",
        "from_name": BRUSH,
        "to_name": PICTURE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode_brush(answer.mask), "brushlabels": [xml_text(answer.label)]},
        **({} if score is None else {"score": score}),
        "meta": {"text": [told], PROVENANCE_KEY: answer.facts},
    }


def config_file(tasks: Path) -> Path:
    """Where the configuration of a file with tasks lies."""
    return tasks.with_name(f"{tasks.stem}.config.xml")
