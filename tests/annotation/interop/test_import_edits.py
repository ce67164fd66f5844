"""People's edits of all kinds at once, in each format: nothing is lost, nothing swapped, nothing made up."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interop_runs import HEIGHT, WIDTH, disc, make_run, picture
from PIL import Image as PillowImage

from segagent.annotation.batch import Run
from segagent.annotation.interop import export_run
from segagent.annotation.interop.brush_rle import encode_brush
from segagent.annotation.interop.corrections import Matcher
from segagent.annotation.interop.cvat import mask_runs
from segagent.annotation.interop.matching import read_corrections
from segagent.core import encode_rle

LABELS = ("cup", "bowl", "fork")
PICTURES = ("a/1.png", "b/1.png", "c.png")
PLACES = [(4, 4), (13, 4), (22, 4), (4, 13), (13, 13), (22, 13)]
NUM_OBJECTS = 4  # of each picture; the other places are free for new ones


@dataclass(frozen=True)
class Thing:
    """An object as a person leaves it. ``object_id`` None: a new one."""

    object_id: str | None
    image: str
    label: str
    place: int
    radius: float

    @property
    def mask(self) -> np.ndarray:
        return disc(*PLACES[self.place], self.radius)


# Two of each picture's objects have one label, so that no label alone says which object it is.
THINGS = [
    Thing(f"{10 * row + place}", image, LABELS[place % 2], place, 3.0)
    for row, image in enumerate(PICTURES)
    for place in range(NUM_OBJECTS)
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    samples = []
    images = [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH} for n, name in enumerate(PICTURES)]
    for name in PICTURES:
        picture(folder / "data" / name)
    for number, thing in enumerate(THINGS):
        PillowImage.fromarray(thing.mask.astype(np.uint8) * 255).save(folder / "data" / f"m{number}.png")
        named = {"id": thing.object_id, "image": thing.image, "text": f"{thing.label} {thing.object_id}"}
        samples.append({**named, "category": thing.label, "mask": f"m{number}.png"})
    annotations = [
        {"id": int(thing.object_id or 0), "image_id": PICTURES.index(thing.image), "iscrowd": 0,
         "category_id": LABELS.index(thing.label), "segmentation": dict(encode_rle(thing.mask))}
        for thing in THINGS
    ]  # fmt: skip
    (folder / "data" / "manifest.json").write_text(json.dumps({"samples": samples}))
    categories = [{"id": n, "name": label} for n, label in enumerate(LABELS)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "data" / "coco.json").write_text(json.dumps(content))
    return {
        "folder": make_run(folder / "data", folder / "folder", "audit"),
        "coco": make_run(folder / "data" / "coco.json", folder / "coco", "audit"),
    }


@st.composite
def edits(draw: st.DrawFn) -> list[Thing]:
    """What is left of the objects, some with another label or outline, and new ones."""
    things = []
    for thing in THINGS:
        match draw(st.sampled_from(["keep", "keep", "delete", "relabel", "redraw", "both"])):
            case "keep":
                things.append(thing)
            case "relabel":
                things.append(replace(thing, label=draw(st.sampled_from(LABELS))))
            case "redraw":
                things.append(replace(thing, radius=draw(st.sampled_from([2.5, 3.5]))))
            case "both":
                things.append(replace(thing, radius=2.5, label=draw(st.sampled_from(LABELS))))
    for image in PICTURES:
        for place in range(NUM_OBJECTS, len(PLACES)):
            if draw(st.booleans()):
                things.append(Thing(None, image, draw(st.sampled_from(LABELS)), place, 3.0))
    return draw(st.permutations(things))


def coco(things: list[Thing], data: st.DataObject, *, ours: bool) -> dict[str, Any]:
    """As another program writes it: pictures, classes and annotations with ids of its own, and the folder before."""
    new = data.draw(st.permutations(range(len(things))))
    image_ids, category_ids = data.draw(st.permutations([7, 8, 9])), data.draw(st.permutations([1, 2, 0]))
    prefix = data.draw(st.sampled_from(["", "./", "images/", "C:\\set\\"]))
    annotations: list[dict[str, Any]] = [
        {"id": number, "image_id": image_ids[PICTURES.index(thing.image)], "iscrowd": 0,
         "category_id": category_ids[LABELS.index(thing.label)], "segmentation": dict(encode_rle(thing.mask))}
        for number, thing in zip(new, things, strict=True)
    ]  # fmt: skip
    for annotation, thing in zip(annotations, things, strict=True):
        if ours and thing.object_id is not None:
            annotation["segagent"] = {"object_id": thing.object_id, "outcome": "audited"}
    return {
        "images": [
            {"id": number, "file_name": prefix + name, "height": HEIGHT, "width": WIDTH}
            for number, name in zip(image_ids, PICTURES, strict=True)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in zip(category_ids, LABELS, strict=True)],
    }


def label_studio(things: list[Thing], data: st.DataObject) -> list[dict[str, Any]]:
    tasks = []
    for number, image in enumerate(data.draw(st.permutations(PICTURES))):
        result = [
            {"id": f"new{place}" if thing.object_id is None else f"segagent.{thing.object_id}", "type": "brushlabels",
             "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
             "value": {"format": "rle", "rle": encode_brush(thing.mask), "brushlabels": [thing.label]}}
            for place, thing in enumerate(things) if thing.image == image
        ]  # fmt: skip
        for region in list(result):
            if data.draw(st.booleans()):
                said = {**region, "type": "choices", "value": {**region["value"], "choices": ["sharp"]}}
                result.insert(data.draw(st.integers(0, len(result))), said)
        address = f"/data/upload/3/0a1b2c3d-{image}" if "/" not in image else f"/data/local-files/?d=set/{image}"
        annotation = {"id": number, "result": result, "updated_at": "2026-01-01", "was_cancelled": False}
        tasks.append({"id": number, "data": {"image": address}, "annotations": [annotation]})
    return tasks


def cvat(things: list[Thing], data: st.DataObject) -> str:
    root = ET.Element("annotations")
    for number, image in enumerate(data.draw(st.permutations(PICTURES))):
        sheet = ET.SubElement(
            root, "image", {"id": str(number), "name": f"set/{image}", "width": str(WIDTH), "height": str(HEIGHT)}
        )
        for thing in things:
            if thing.image != image:
                continue
            runs, *box = mask_runs(thing.mask)
            own = dict(zip(("left", "top", "width", "height"), map(str, box), strict=True))
            own |= {"label": thing.label, "source": "manual", "rle": ", ".join(map(str, runs))}
            shape = ET.SubElement(sheet, "mask", own)
            # A new shape is often a copy, attributes and all: of one in this picture or in another.
            object_id = thing.object_id or data.draw(st.sampled_from([None, *(t.object_id for t in THINGS)]))
            if object_id is not None:
                ET.SubElement(shape, "attribute", {"name": "object_id"}).text = object_id
    return ET.tostring(root, encoding="unicode")


def after(run: Run, path: Path, kind: str) -> tuple[set[Thing | tuple[str, str, bytes]], set[str]]:
    """The objects as the import understands them: (id or "", picture, label, mask), and those removed."""
    matcher = Matcher(run, read_corrections(path, kind), unchanged_counts=True)
    of_run = {thing.object_id: thing for thing in THINGS}
    found = set()
    for one in matcher.corrections():
        label = one.label or of_run[one.record.object_id].label
        found.add((one.record.object_id, one.record.image, label, one.mask.tobytes()))
    for image, one in matcher.new:
        found.add(("", image, one.entry.label or "", one.entry.draw().tobytes()))
    assert (matcher.problems, matcher.missing, matcher.num_untouched) == ([], [], 0)
    return found, set(matcher.removed)


Write = Callable[[list[Thing], st.DataObject], Any]
WRITERS: dict[str, Write] = {
    "coco": lambda things, data: coco(things, data, ours=False),
    "coco with our ids": lambda things, data: coco(things, data, ours=True),
    "label-studio": label_studio,
    "cvat": cvat,
}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("source", ["folder", "coco"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(things=edits(), data=st.data())
def test_random_edits(
    runs: dict[str, Run], tmp_path: Path, source: str, form: str, things: list[Thing], data: st.DataObject
) -> None:
    content = WRITERS[form](things, data)
    path = tmp_path / "edited"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    found, removed = after(runs[source], path, form.partition(" ")[0])
    assert {one[1:] for one in found} == {(t.image, t.label, t.mask.tobytes()) for t in things}
    # Whatever was kept, however changed, is itself. A new mask may be that of an object whose own was deleted, where
    # nothing else of that picture and label is left.
    kept = {(t.object_id, t.image, t.label, t.mask.tobytes()) for t in things if t.object_id is not None}
    assert kept <= found
    of_run = {t.object_id for t in THINGS}
    assert removed == of_run - {one[0] for one in found}


def test_files_as_they_were_exported_are_untouched(runs: dict[str, Run], tmp_path: Path) -> None:
    for source, run in runs.items():
        for kind in ("coco", "cvat"):
            export_run(run, kind, tmp_path / f"{source}.{kind}")
            matcher = Matcher(run, read_corrections(tmp_path / f"{source}.{kind}", kind))
            assert list(matcher.corrections()) == []
            assert (matcher.num_untouched, matcher.problems, matcher.new, matcher.removed) == (12, [], [], {})
