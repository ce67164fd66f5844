"""Shapes are what their ``shape_type`` says, drawn as labelme's own ``shape_to_mask`` draws them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from formats import HEIGHT, WIDTH, picture
from PIL import Image as PillowImage

from segagent.core import InputError
from segagent.datasets import open_dataset
from segagent.datasets.labelme import read_shapes


def target(kind: str | None, points: list[list[float]], **more: Any) -> dict[str, Any]:
    return {"label": "target", "points": points, "shape_type": kind, **more}


def drawn(*shapes: dict[str, Any]) -> np.ndarray:
    return read_shapes(list(shapes), "shapes").read(HEIGHT, WIDTH)[0]


def stored(mask: np.ndarray) -> str:
    out = io.BytesIO()
    PillowImage.fromarray(mask).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode("ascii")


@pytest.mark.parametrize("corners", [[[3, 2], [9, 6]], [[9, 6], [3, 2]], [[9, 2], [3, 6]]])
def test_a_rectangle_is_filled_whatever_corners_are_given(corners: list[list[float]]) -> None:
    expected = np.zeros((HEIGHT, WIDTH), np.bool_)
    expected[2:7, 3:10] = True
    assert np.array_equal(drawn(target("rectangle", corners)), expected)
    assert np.array_equal(drawn(target("rectangle", [[3, 2], [9, 2], [9, 6], [3, 6]])), expected)


def test_a_circle_is_a_disc() -> None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(rows - 6, columns - 8)
    disc = drawn(target("circle", [[8, 6], [8, 10]]))
    assert disc[distance <= 3.5].all()
    assert not disc[distance > 4.5].any()


@pytest.mark.parametrize("bright", [1, 255])
def test_a_mask_lies_where_its_corners_say(bright: int) -> None:
    small = np.array([[1, 0, 1], [0, 1, 1]], np.uint8)
    mask = drawn(target("mask", [[4, 7], [6, 8]], mask=stored(small * bright)))
    assert np.array_equal(mask[7:9, 4:7], small > 0)
    assert mask.sum() == 4


@pytest.mark.parametrize("kind", [None, "polygon"])
def test_polygons_are_filled(kind: str | None) -> None:
    shape = target(kind, [[3, 2], [9, 2], [9, 6], [3, 6]])
    assert drawn(shape).sum() == 35
    del shape["shape_type"]
    assert drawn(shape).sum() == 35


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        (target("point", [[3, 2]]), r"shapes\[1\]: a shape of type 'point' has no area"),
        (target("line", [[3, 2], [9, 9]]), "'line' has no area"),
        (target("linestrip", [[3, 2], [9, 9], [3, 9]]), "'linestrip' has no area"),
        (target("polygon", [[3, 2], [9, 9]]), "a polygon has 3 or more points, got 2"),
        (target("rectangle", [[3, 2]]), "a rectangle has 2 or 4 points, got 1"),
        (target("circle", [[3, 2], [3, 3], [4, 4]]), "a circle has 2 points, got 3"),
        (target("cuboid", [[3, 2], [9, 9]]), "'shape_type' must be one of polygon,"),
        (target("mask", [[3, 2], [9, 9]]), "needs 'mask', a picture in base64"),
        (target("mask", [[3, 2], [9, 9]], mask="not base64!"), "needs 'mask', a picture in base64"),
    ],
)
def test_other_shapes_are_told(shape: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_shapes([target("polygon", [[3, 2], [9, 2], [9, 6]]), shape], "shapes")


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        (
            target("mask", [[0, 0], [3, 3]], mask=stored(np.ones((2, 2), np.uint8))),
            "2 x 2 pixels, but the image has 4 x 4",
        ),
        (target("mask", [[9, 9], [20, 10]], mask=stored(np.ones((2, 2), np.uint8))), "lies outside the image"),
        (target("mask", [[0, 0], [1, 1]], mask="AAAA"), "not a picture"),
        (target("circle", [[8, 6], [8, 1e5]]), "far outside the image"),
    ],
)
def test_shapes_that_do_not_fit_the_image_are_told(shape: dict[str, Any], complaint: str) -> None:
    with pytest.raises((ValueError, InputError), match=complaint):
        drawn(shape)


def test_a_bad_file_fails_alone(tmp_path: Path) -> None:
    good = target("rectangle", [[3, 2], [9, 6]])
    for name, shapes, more in (
        ("a", [good], {}),
        ("b", [good, target("line", [[3, 2], [9, 9]])], {}),
        ("c", [good], {"imageHeight": WIDTH, "imageWidth": HEIGHT}),
        ("d", None, {}),
    ):
        picture(tmp_path / "val" / f"{name}.jpg")
        (tmp_path / "val" / f"{name}.json").write_text(json.dumps({"text": "it", "shapes": shapes, **more}))
    samples = list(open_dataset(f"reasonseg:{tmp_path}"))
    assert [sample.sample_id for sample in samples] == ["val-a-0", "val-b-0", "val-c-0", "val-d-0"]
    assert samples[0].load_target()[0].sum() == 35
    for number, complaint in ((1, r"b\.json: shapes\[1\]: .*'line'"), (3, r"d\.json: shapes: expected a list")):
        samples[number].load_image()
        with pytest.raises(InputError, match=complaint):
            samples[number].load_target()
    with pytest.raises(InputError, match=f"{WIDTH} x {HEIGHT} pixels, its annotations are for {HEIGHT} x {WIDTH}"):
        samples[2].load_image()
