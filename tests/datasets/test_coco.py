import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PillowImage

from segagent.core import InputError, SpecError, encode_rle
from segagent.datasets import CocoDataset, open_dataset
from segagent.datasets.coco_listing import BadAnnotation, CocoListing, ListedAnnotation
from segagent.datasets.coco_masks import decode_segmentation, encode_counts

HEIGHT, WIDTH = 12, 17

masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(masks)
def test_both_run_length_forms_round_trip(mask: np.ndarray) -> None:
    for written in (encode_counts(mask), encode_rle(mask)):
        read = decode_segmentation(json.loads(json.dumps(written)), *mask.shape)
        assert np.array_equal(read, mask)
        assert not read.flags.writeable


@given(st.lists(st.tuples(*[st.integers(0, n) for n in (WIDTH, HEIGHT, WIDTH, HEIGHT)]), min_size=1, max_size=4))
def test_rectangles_as_polygons(corners: list[tuple[int, int, int, int]]) -> None:
    expected = np.zeros((HEIGHT, WIDTH), np.bool_)
    polygons = []
    for x0, y0, x1, y1 in [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]:
        expected[y0:y1, x0:x1] = True
        polygons.append([x0, y0, x1, y0, x1, y1, x0, y1])
    assert np.array_equal(decode_segmentation(polygons, HEIGHT, WIDTH), expected)


def disc() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows - 5) ** 2 + (columns - 8) ** 2 <= 16


def content() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "width": WIDTH, "height": HEIGHT},
            {"id": 3, "file_name": "sub/b.png", "width": WIDTH, "height": HEIGHT},
            {"id": 4, "file_name": "none.png", "width": 1, "height": 1},
        ],
        "annotations": [
            {"id": 11, "image_id": 3, "category_id": 1, "iscrowd": 0, "segmentation": [[2, 3, 9, 3, 9, 8, 2, 8]]},
            {"id": 5, "image_id": 7, "category_id": 2, "iscrowd": 0, "segmentation": encode_counts(disc())},
            {"id": 6, "image_id": 3, "category_id": 2, "iscrowd": 1, "segmentation": encode_counts(disc())},
            {"id": 8, "image_id": 3, "category_id": 2, "segmentation": dict(encode_rle(disc()))},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dinner table", "supercategory": "furniture"}],
    }


def write(folder: Path, value: Any) -> Path:
    (folder / "images" / "sub").mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "sub/b.png"):
        PillowImage.new("RGB", (WIDTH, HEIGHT), "#102030").save(folder / "images" / name)
    path = folder / "instances.json"
    path.write_text(json.dumps(value))
    return path


def test_reads_what_the_file_says(tmp_path: Path) -> None:
    dataset = CocoDataset(write(tmp_path, content()))
    assert (len(dataset), dataset.num_crowd, dataset.num_images) == (3, 1, 2)
    assert [sample.sample_id for sample in dataset] == ["11", "5", "8"]
    assert [sample.text for sample in dataset] == ["cat", "dinner table", "dinner table"]
    groups = list(dataset.groups())
    assert [group.image_name for group in groups] == ["sub/b.png", "a.png"]
    assert [[s.sample_id for s in group.samples()] for group in groups] == [["11", "8"], ["5"]]
    image = dataset[0].load_image()
    mask, ignore = dataset[0].load_target(image)
    assert ignore is None
    assert mask[3:8, 2:9].all()
    assert mask.sum() == 35
    for index in (1, 2):
        assert np.array_equal(dataset[index].load_target()[0], disc())
    assert np.array_equal(dataset.load_image("sub/b.png").pixels, image.pixels)
    again = pickle.loads(pickle.dumps(groups[0])).samples()[0]
    assert np.array_equal(again.load_target()[0], mask)


def test_text_template(tmp_path: Path) -> None:
    path = write(tmp_path, content())
    dataset = CocoDataset(path, text_template="the {category}, {odd}")
    assert dataset[0].text == "the cat, {odd}"
    assert dataset.fingerprint != CocoDataset(path).fingerprint
    with pytest.raises(InputError, match=r"lacks \{category\}"):
        CocoDataset(path, text_template="the thing")


@pytest.mark.parametrize("layout", ["images", ".", "val2017"])
def test_finds_the_images(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "annotations"
    folder.mkdir()
    path = folder / "instances_val2017.json"
    path.write_text(json.dumps(content()))
    images = tmp_path / "val2017" if layout == "val2017" else folder / layout
    images.mkdir(exist_ok=True)
    PillowImage.new("RGB", (WIDTH, HEIGHT)).save(images / "a.png")
    assert CocoDataset(path)[1].load_image().width == WIDTH
    assert CocoDataset(path, images_dir=images)[1].load_image().width == WIDTH


def test_absent_images_and_wrong_sizes_are_no_reason_to_refuse_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path, content())
    (tmp_path / "images" / "a.png").unlink()
    PillowImage.new("RGB", (5, 6)).save(tmp_path / "images" / "sub" / "b.png")
    dataset = CocoDataset(path)
    assert len(dataset) == 3
    with pytest.raises(InputError, match=r"a\.png: no such file"):
        dataset[1].load_image()
    with pytest.raises(InputError, match=r"b\.png: has 5 x 6 pixels"):
        dataset[0].load_image()


@pytest.mark.parametrize(
    ("section", "index", "change", "complaint"),
    [
        ("images", 0, {"id": None}, "'id' must be"),
        ("images", 0, {"id": 1.5}, "'id' must be"),
        ("images", 1, {"id": 7}, "earlier image"),
        ("images", 0, {"file_name": "../a.png"}, "outside"),
        ("images", 0, {"file_name": "/etc/passwd"}, "outside"),
        ("images", 0, {"file_name": 3}, "path within"),
        ("images", 0, {"width": 0}, "'width' must be"),
        ("images", 0, {"height": "3"}, "'height' must be"),
        ("images", 0, {"height": 3.5}, "'height' must be"),
        ("categories", 0, {"name": " "}, "'name' must be"),
        ("categories", 0, {"name": None}, "'name' must be"),
        ("annotations", 1, {"id": 11}, "earlier annotation"),
        ("annotations", 1, {"id": True}, "'id' must be"),
        ("annotations", 1, {"image_id": 99}, "not in 'images'"),
        ("annotations", 1, {"category_id": 99}, "not in 'categories'"),
        ("annotations", 1, {"iscrowd": "no"}, "'iscrowd' must be"),
        ("annotations", 1, {"image_id": "7"}, r"'7' is not in 'images' \(but 7 is: write ids as numbers"),
        ("annotations", 1, {"category_id": float("nan")}, "'category_id' must be"),
        ("categories", 1, {"id": 1}, "id 1 is that of 'cat' too"),
    ],
)
def test_bad_entries_are_named(tmp_path: Path, section: str, index: int, change: object, complaint: str) -> None:
    value = copy.deepcopy(content())
    value[section][index].update(change)
    path = write(tmp_path, value)
    with pytest.raises(InputError, match=complaint) as error:
        CocoDataset(path)
    assert f"{path}, {section}[{index}]" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        float("nan"),
        "ab",
        [1, 1, 5, 1, 5, 5],
        [],
        [[]],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5]],
        [[1, 2, 3, 4, 5, "6"]],
        [[1, 2, 3, 4, 5, True]],
        [[1, 2, 3, 4, 5, None]],
        [[[1, 2], [3, 4], [5, 6]]],
        [[0, 0, 1e9, 0, 5, 5]],
        [[0, 0, 10**400, 0, 5, 5]],
        [[0, 0, float("nan"), 0, 5, 5]],
        [[0, 0, 0, 0, 0, 0]],
        [[1, 1, 5, 1, 5, 5], "abc"],
        {},
        {"size": [HEIGHT, WIDTH]},
        {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]},
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]},
        {"size": [HEIGHT, WIDTH], "counts": [1, 2]},
        {"size": [HEIGHT, WIDTH], "counts": [-1, HEIGHT * WIDTH + 1]},
        {"size": [HEIGHT, WIDTH], "counts": [0.5, HEIGHT * WIDTH - 0.5]},
        {"size": [HEIGHT, WIDTH], "counts": "zz"},
        {"size": [HEIGHT, WIDTH], "counts": "\u20ac"},
        {"size": [HEIGHT, WIDTH], "counts": None},
    ],
)
def test_bad_segmentations_fail_alone(tmp_path: Path, segmentation: object) -> None:
    value = content()
    value["annotations"][1]["segmentation"] = segmentation
    path = write(tmp_path, value)
    dataset = CocoDataset(path)
    assert dataset[0].load_target()[0].any()
    with pytest.raises(InputError) as error:
        dataset[1].load_target()
    assert str(error.value).startswith(f"{path}, annotations[1] (id 5): ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"images": [], "annotations": [], "categories": {}}', "[" * 100_000, "\xff", '{"images": 1'],
)
def test_other_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "instances.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"instances\.json"):
        CocoDataset(path)
    with pytest.raises(InputError, match="no such file"):
        CocoDataset(tmp_path / "absent.json")


def with_annotation(**change: Any) -> dict[str, Any]:
    value = content()
    value["annotations"][1].update(change)
    return {**value, "annotations": [{k: v for k, v in one.items() if v is not ...} for one in value["annotations"]]}


@pytest.mark.parametrize("segmentation", [..., None, [], [[]], {}, float("nan")])
def test_missing_null_and_empty_are_the_same_thing(tmp_path: Path, segmentation: object) -> None:
    dataset = CocoDataset(write(tmp_path, with_annotation(segmentation=segmentation)))
    assert [sample.sample_id for sample in dataset] == ["11", "5", "8"]
    assert (dataset[1].text, dataset[1].load_image().width) == ("dinner table", WIDTH)
    with pytest.raises(InputError, match=r"annotations\[1\] \(id 5\): has no segmentation"):
        dataset[1].load_target()
    assert dataset[0].load_target()[0].sum() == 35


@pytest.mark.parametrize("missing", [..., None, float("nan"), 0, False, 0.0])
def test_what_is_no_crowd(tmp_path: Path, missing: object) -> None:
    dataset = CocoDataset(write(tmp_path, with_annotation(iscrowd=missing)))
    assert (len(dataset), dataset.num_crowd) == (3, 1)


def test_crowds_are_named_and_left_out_or_taken(tmp_path: Path) -> None:
    path = write(tmp_path, content())
    (note,) = CocoDataset(path).notes
    assert note.startswith(f"{path}: 1 of 4 annotations mark crowds (iscrowd 1: id 6) and are left out; --crowds")
    taken = open_dataset(str(path), crowds=True)
    assert isinstance(taken, CocoDataset)
    assert [sample.sample_id for sample in taken] == ["11", "5", "6", "8"]
    assert (taken.notes, taken.num_crowd, taken.num_skipped) == ((), 1, 0)
    assert np.array_equal(taken[2].load_target()[0], disc())
    again = open_dataset(taken.spec)
    assert (again.spec, again.fingerprint) == (taken.spec, taken.fingerprint)
    assert taken.spec == f"coco:{path}:crowds=objects"
    assert taken.fingerprint != CocoDataset(path).fingerprint
    lvis = open_dataset(f"lvis:{path}:crowds=objects,images={path.parent / 'images'}")
    assert len(list(lvis)) == len(list(open_dataset(lvis.spec, crowds=True))) == 4
    for spec in ("scenes:3", "refcoco:data", "voc:data"):
        with pytest.raises(SpecError, match=r"nothing in .* is left out as a crowd; --crowds goes with COCO files"):
            open_dataset(spec, crowds=True)


def test_many_crowds_are_counted(tmp_path: Path) -> None:
    value = content()
    value["annotations"] += [{**value["annotations"][2], "id": 100 + number} for number in range(12)]
    (note,) = CocoDataset(write(tmp_path, value)).notes
    assert "13 of 16 annotations" in note
    assert "id 6, 100, 101, 102, 103, 104, 105, 106, 107, 108 and 3 more)" in note


def test_numbers_as_tables_write_them(tmp_path: Path) -> None:
    value = content()
    for entry in value["images"] + value["annotations"] + value["categories"]:
        for key in ("id", "image_id", "category_id", "width", "height", "iscrowd"):
            if key in entry:
                entry[key] = float(entry[key])
    dataset = CocoDataset(write(tmp_path, value))
    assert [sample.sample_id for sample in dataset] == ["11", "5", "8"]
    assert [sample.category for sample in dataset] == ["cat", "dinner table", "dinner table"]
    assert dataset[0].load_image().height == HEIGHT


@pytest.mark.parametrize("missing", [{"width": None}, {"height": float("nan")}, {"width": ..., "height": ...}])
def test_a_picture_tells_the_size_that_is_not_listed(tmp_path: Path, missing: dict[str, Any]) -> None:
    value = content()
    value["images"][0] = {k: v for k, v in {**value["images"][0], **missing}.items() if v is not ...}
    path = write(tmp_path, value)
    dataset = CocoDataset(path)
    assert np.array_equal(dataset[1].load_target()[0], disc())
    assert np.array_equal(dataset[1].load_target(dataset[1].load_image())[0], disc())
    listed = {one.annotation_id: one for one in CocoListing(path) if isinstance(one, ListedAnnotation)}
    assert listed["5"].rle["size"] == [HEIGHT, WIDTH]
    (tmp_path / "images" / "a.png").unlink()
    bad = [one.reason for one in CocoListing(path) if isinstance(one, BadAnnotation)]
    assert len(bad) == 1
    assert "the size of its image is not listed" in bad[0]


def test_absolute_paths_below_the_images_are_taken(tmp_path: Path) -> None:
    value = content()
    value["images"][0]["file_name"] = str(tmp_path / "images" / "a.png")
    path = write(tmp_path, value)
    dataset = CocoDataset(path)
    assert (dataset[1].image_name, dataset[1].load_image().width) == ("a.png", WIDTH)
    assert dataset.images_dir == tmp_path / "images"
    with pytest.raises(InputError, match=r"images\[0\]: 'file_name' points outside .*; expected a path below"):
        CocoDataset(path, images_dir=tmp_path / "images" / "sub")


def test_sizes_that_exif_swaps_are_told_as_such(tmp_path: Path) -> None:
    path = write(tmp_path, content())
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "a.png", exif=exif)
    told = f"has {HEIGHT} x {WIDTH} pixels, its annotations are for {WIDTH} x {HEIGHT} .*EXIF"
    with pytest.raises(InputError, match=told):
        CocoDataset(path)[1].load_image()
    PillowImage.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "images" / "a.png")
    with pytest.raises(InputError, match=r"\(width x height\)$"):
        CocoDataset(path)[1].load_image()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, content())
    path.write_bytes(json.dumps(content(), indent=1).replace("\n", "\r\n").encode(encoding))
    assert np.array_equal(CocoDataset(path)[1].load_target()[0], disc())
    assert len([one for one in CocoListing(path) if isinstance(one, ListedAnnotation)]) == 4
