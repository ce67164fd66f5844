"""What else stands in Label Studio's exports: it is read right, or told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segagent.annotation.interop.brush_rle import encode_brush
from segagent.annotation.interop.entries import Entry, Problem, Sheet
from segagent.annotation.interop.from_label_studio import read_label_studio_corrections
from segagent.core import Click

HEIGHT, WIDTH = 24, 32
SIZE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "to_name": "image"}
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[3:9, 4:20] = True
BRUSH = {"format": "rle", "rle": encode_brush(MASK)}


def region(name: Any = "r1", kind: str = "brushlabels", value: Any = None, **more: Any) -> dict[str, Any]:
    return (
        {"id": name, "type": kind, "value": {**BRUSH, "brushlabels": ["cup"]} if value is None else value} | SIZE | more
    )


def task(*results: dict[str, Any], **more: Any) -> dict[str, Any]:
    annotation = {"id": 5, "completed_by": 3, "updated_at": "2026-01-02", "was_cancelled": False, "result": [*results]}
    return {"id": 1, "data": {"image": "a.png"}, "annotations": [annotation], **more}


def read(*tasks: dict[str, Any]) -> tuple[list[Entry], list[str], list[Sheet]]:
    found = list(read_label_studio_corrections(json.loads(json.dumps(tasks)), Path("x.json")))
    entries = [one for one in found if isinstance(one, Entry)]
    problems = [f"{one.where}: {one.reason}" for one in found if isinstance(one, Problem)]
    return entries, problems, [one for one in found if isinstance(one, Sheet)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("choices", {"choices": ["sharp"]}),
        ("choices", {**BRUSH, "choices": ["sharp"]}),
        ("taxonomy", {"x": 1, "y": 2, "width": 3, "height": 4, "taxonomy": [["a", "b"]]}),
        ("textarea", {"points": [[1, 2], [3, 4], [5, 6]], "text": ["hidden"]}),
        ("text", {"text": ["hidden"]}),
        ("rating", {"rating": 4}),
        ("number", {"number": 3}),
        ("datetime", {"datetime": "2026-01-01"}),
        ("relation", None),
        ("something-new", {"something": 1}),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_is_said_of_a_region_is_no_region(kind: str, value: Any, first: bool) -> None:
    said = {**region(kind=kind), "value": value}
    entries, problems, _ = read(task(*([said, region()] if first else [region(), said])))
    assert problems == []
    (entry,) = entries
    assert (entry.draw() == MASK).all()
    assert entry.label == "cup"


def test_labels_beside_the_region() -> None:
    label = region(kind="labels", value={**BRUSH, "labels": ["bowl"]})
    entries, problems, _ = read(task(label, region(kind="brush", value=BRUSH)))
    assert (problems, [one.label for one in entries]) == ([], ["bowl"])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("rectanglelabels", {"x": 1, "y": 2, "width": 30, "height": 40, "rotation": 30, "rectanglelabels": ["cup"]}),
        ("ellipse", {"x": 1, "y": 2, "radiusX": 30, "radiusY": 40, "rotation": 30}),
        ("vectorlabels", {"vertices": [{"x": 1, "y": 2}], "closed": True, "vectorlabels": ["cup"]}),
        ("bitmask", {"imageDataURL": "data:image/png;base64,"}),
    ],
)
def test_regions_that_are_no_masks_are_told(kind: str, value: Any) -> None:
    entries, problems, _ = read(task(region(), region("r2", kind, value)))
    assert len(entries) == 1
    (problem,) = problems
    assert "region r2" in problem
    assert kind in problem


def test_one_region_of_a_brush_and_a_polygon() -> None:
    points = [[x / WIDTH * 100, y / HEIGHT * 100] for x, y in ((25, 10), (30, 10), (30, 20), (25, 20))]
    polygon = region(kind="polygonlabels", value={"points": points, "polygonlabels": ["cup"], "closed": True})
    (entry,), problems, _ = read(task(region(), polygon))
    expected = MASK.copy()
    expected[10:20, 25:30] = True
    assert (entry.draw() == expected).all()
    assert problems == []


def test_predictions_skipped_annotations_and_drafts() -> None:
    prediction = {"result": [region("p")], "score": 0.5}
    skipped = {"id": 6, "was_cancelled": True, "updated_at": "2026-01-09", "result": [region("s")]}
    old = {"id": 7, "updated_at": "2026-01-01", "result": [region("d")]}
    one = task(region(7), predictions=[prediction], drafts=[old, {"id": 8, "result": []}])
    one["annotations"].append(skipped)
    entries, problems, sheets = read(one)
    assert ([e.where for e in entries], problems) == (["task 1, region 7"], [])
    assert [(s.image, s.by, s.when) for s in sheets] == [("a.png", "3", "2026-01-02")]
    # Nobody has worked on a task that was only skipped, and what was not submitted is told.
    alone = {**one, "annotations": [skipped], "drafts": [old]}
    assert read(alone) == ([], ["task 1, draft 7: was not submitted; submit it and export again"], [])
    later = {**one, "drafts": [{**old, "updated_at": "2026-01-03"}]}
    assert len(read(later)[1]) == 1


def test_the_annotation_updated_last_counts() -> None:
    one = task(region("old"))
    one["annotations"].insert(0, {"id": 9, "completed_by": {"email": "b@x"}, "updated_at": "2026-03-01", "result": []})
    entries, problems, sheets = read(one)
    assert (entries, [s.by for s in sheets]) == ([], ["b@x"])
    assert problems == ["task 1, annotation 5: by 3: a later one takes its place"]


def points_of(percent: list[float], width: int, height: int) -> Click:
    size = {"original_width": width, "original_height": height}
    brush = region(value={**BRUSH, "brushlabels": ["cup"]}, **size)
    value = {"x": percent[0], "y": percent[1], "width": 0.3, "keypointlabels": ["positive"]}
    (entry,), problems, _ = read(task(brush, region("k", "keypointlabels", value, **size)))
    assert problems == []
    (click,) = entry.clicks
    return click


@given(st.data(), st.integers(1, 20_000), st.integers(1, 20_000))
def test_key_points_land_on_their_pixel(data: st.DataObject, width: int, height: int) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    # Its corner, where Label Studio's snapping puts it, and its middle; as Python and as JavaScript reckon.
    for part in (0, 0.5):
        for percent in (
            [(x + part) / width * 100, (y + part) / height * 100],
            [100 * (x + part) / width, 100 * (y + part) / height],
            [(x + part) * (100 / width), (y + part) * (100 / height)],
        ):
            assert points_of(percent, width, height) == Click(x, y, True)


def test_every_pixel_of_some_sizes() -> None:
    for size in (1, 7, 640, 1333):
        assert [points_of([x / size * 100, 0], size, 1).x for x in range(size)] == list(range(size))
    assert points_of([100, 100], 640, 480) == Click(639, 479, True)
