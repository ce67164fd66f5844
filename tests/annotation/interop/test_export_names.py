"""Names in exports: of labels, which the source decides, and of pictures, which may not take each other's place."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from interop_runs import HEIGHT, WIDTH, disc, make_run, picture
from PIL import Image as PillowImage

from segagent.annotation.batch import Run
from segagent.annotation.interop import ExportOptions, export_run
from segagent.annotation.interop.answers import numbered_labels
from segagent.annotation.interop.yolo import validation_images
from segagent.core import InputError, encode_rle
from segagent.datasets import CocoDataset, FolderDataset, open_dataset

NAMES = (
    "cup \U0001f375", "長い棒", "\U00020bb7野家", '5″ pipe: "a" #1', "no", "1e3", "~", "- x: {y", "a\u2028b", "é" * 99,
)  # fmt: skip


def coco_file(folder: Path, files: Sequence[str], categories: Sequence[str], used: Sequence[int] = (0,)) -> Path:
    """One disc of the category ``used[n]`` on the n-th picture."""
    for name in files:
        picture(folder / "pictures" / name)
    content = {
        "images": [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH} for n, name in enumerate(files, 1)],
        "annotations": [
            {
                "id": n + 1,
                "image_id": n + 1,
                "category_id": 10 * used[n % len(used)],
                "segmentation": encode_rle(disc(10 + n % 5, 10, 4)),
            }
            for n in range(len(files))
        ],
        "categories": [{"id": 10 * n, "name": name} for n, name in enumerate(categories)],
    }
    (folder / "coco.json").write_text(json.dumps(content))
    return folder / "coco.json"


def coco_run(
    tmp_path: Path, files: Sequence[str], categories: Sequence[str] = ("cup",), used: Sequence[int] = (0,)
) -> Run:
    file = coco_file(tmp_path, files, categories, used)
    return make_run(f"coco:{file}:images={tmp_path / 'pictures'}", tmp_path / "run")


def yolo_rule(picture: Path) -> Path:
    """Where Ultralytics looks for the labels of a picture (``img2label_paths``)."""
    return Path("/labels/".join(str(picture).rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt")


def test_all_labels_of_the_source_in_its_order_everywhere(tmp_path: Path) -> None:
    run = coco_run(tmp_path, ["a.png", "b.png"], NAMES, used=(6, 2))
    export_run(run, "yolo-seg", tmp_path / "y")
    export_run(run, "cvat", tmp_path / "a.xml")
    export_run(run, "label-studio", tmp_path / "t.json")
    content = (tmp_path / "y" / "data.yaml").read_bytes()
    for loader in (yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        assert list(yaml.load(content, loader)["names"].items()) == list(enumerate(NAMES))
    config = ElementTree.parse(tmp_path / "t.config.xml")
    labels = config.findall("BrushLabels/Label")
    assert [label.get("value") for label in labels] == list(NAMES)
    # By this its converter numbers them.
    assert [label.get("category") for label in labels] == [str(number) for number in range(len(NAMES))]
    xml = ElementTree.parse(tmp_path / "a.xml")
    assert [label.findtext("name") for label in xml.iter("label")] == list(NAMES)
    assert [label["name"] for label in json.loads((tmp_path / "a.labels.json").read_text())] == list(NAMES)
    numbers = {file.stem: file.read_text().split()[0] for file in (tmp_path / "y" / "labels").rglob("*.txt")}
    assert numbers == {"a": "6", "b": "2"}


def test_labels_that_xml_has_no_place_for_are_one_in_tasks_and_configuration(tmp_path: Path) -> None:
    run = coco_run(tmp_path, ["a.png"], ["a\x01\x02"])
    for kind, name in (("yolo-seg", "y"), ("cvat", "a.xml"), ("label-studio", "t.json"), ("coco", "o.json")):
        export_run(run, kind, tmp_path / name)
    (task,) = json.loads((tmp_path / "t.json").read_text())
    (region,) = task["predictions"][0]["result"]
    (label,) = ElementTree.parse(tmp_path / "t.config.xml").findall("BrushLabels/Label")
    assert region["value"]["brushlabels"] == [label.get("value")] == ["a\ufffd\ufffd"]
    assert yaml.safe_load((tmp_path / "y" / "data.yaml").read_bytes())["names"] == {0: "a\ufffd\ufffd"}


def test_fresh_coco_lists_all_labels_whatever_was_accepted(tmp_path: Path) -> None:
    samples = []
    for number, label in enumerate(("fork", "bowl", "cup")):
        picture(tmp_path / "data" / f"{number}.png")
        PillowImage.fromarray(disc(10, 10, 5).astype("uint8") * 255).save(tmp_path / "data" / f"m{number}.png")
        sample = {"image": f"{number}.png", "mask": f"m{number}.png", "text": "it", "category": label, "id": label}
        samples.append(sample)
    (tmp_path / "data" / "manifest.json").write_text(json.dumps({"samples": samples}))
    run = make_run(tmp_path / "data", tmp_path / "run")
    only = ExportOptions(frozenset({"cup"}), only_accepted=True)
    export_run(run, "coco", tmp_path / "o.json", only)
    content = json.loads((tmp_path / "o.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "fork"}, {"id": 2, "name": "bowl"}, {"id": 3, "name": "cup"}]
    assert [(one["id"], one["category_id"]) for one in content["annotations"]] == [(1, 3)]
    assert {"info", "licenses"} <= content.keys()


def test_what_lists_categories(tmp_path: Path) -> None:
    scenes = open_dataset("scenes:1:size=64,sentences=1")
    other = open_dataset("scenes:1:size=64,sentences=1,seed=5")
    assert list(numbered_labels(scenes, ["mug"])) == list(numbered_labels(other, ["key"]))
    coco = CocoDataset(coco_file(tmp_path, ["a.png"], ["b", "a", "b"]))
    assert numbered_labels(coco, ["b"]) == {"b": 0, "a": 1}
    assert numbered_labels(coco, ["new"]) == {"b": 0, "a": 1, "new": 2}


TRAPS = [
    "a.png", "a.jpg", "A.bmp", "a_2.png", "images/a.png", "x/images/a.png", "x/images/images/b.png",
    "images/images.png", ".hidden/c.png", "..b.png", "d.e.png", "labels/f.png", "x_y.png", "x/y.png",
    f"{'n' * 90}/{'é' * 90}.png", "g #1?.png",
]  # fmt: skip


def test_every_picture_finds_its_labels_by_the_rule_of_ultralytics(tmp_path: Path) -> None:
    run = coco_run(tmp_path, TRAPS)
    out = tmp_path / "images" / "of" / "mine"
    out.parent.mkdir(parents=True)
    report = export_run(run, "yolo-seg", out)
    data = yaml.safe_load((out / "data.yaml").read_text())
    assert "path" not in data
    listed = [json.loads(line) for line in (out / "pictures.jsonl").read_text().splitlines()]
    assert [one["picture"] for one in listed] == TRAPS
    seen = set()
    for one in listed:
        file = out / one["file"]
        assert file.parent == out / data[one["split"]]
        assert not file.name.startswith(".")
        assert file.read_bytes() == (tmp_path / "pictures" / one["picture"]).read_bytes()
        assert yolo_rule(file).read_text().count("\n") == 1
        seen.add(str(yolo_rule(file).relative_to(out / "labels")).casefold())
    assert len(seen) == len(TRAPS) == len(list((out / "labels").rglob("*.txt")))
    assert report.more["train"]["pictures"] + report.more["val"]["pictures"] == len(TRAPS)


def test_pictures_never_take_each_others_place(tmp_path: Path) -> None:
    """``a.gif`` is written as ``a.gif.png``, which may be there too."""
    run = coco_run(tmp_path, ["a.gif", "a.gif.png"])
    export_run(run, "masks", tmp_path / "m")
    samples = list(FolderDataset(tmp_path / "m"))
    assert [sample.image_name for sample in samples] == ["images/a.gif.png", "images/a.gif_2.png"]
    assert len({sample.image_name for sample in samples}) == 2
    export_run(run, "cvat", tmp_path / "a.xml")
    names = [image.get("name") for image in ElementTree.parse(tmp_path / "a.xml").iter("image")]
    assert [f"images/{name}" for name in names] == [sample.image_name for sample in samples]


def test_split(tmp_path: Path) -> None:
    images = {f"{n}.png": n % 3 > 0 for n in range(300)}
    val = validation_images(images, 0.2, 0)
    assert (len(val), sum(images[name] for name in val)) == (60, 40)
    assert val == validation_images(dict(reversed(images.items())), 0.2, 0)
    assert val != validation_images(images, 0.2, 1)
    fewer = {name: images[name] for name in list(images)[:240]}
    moved = (validation_images(fewer, 0.2, 0) ^ val) & fewer.keys()
    assert len(moved) < 12
    assert len(validation_images({"a": True, "b": True, "c": False}, 0.01, 0) & {"a", "b"}) == 1
    assert len(validation_images({"a": True, "b": True}, 0.99, 0)) == 1
    assert validation_images({"a": True}, 0.9, 0) == validation_images(images, 0, 0) == frozenset()
    with pytest.raises(InputError, match="validation"):
        ExportOptions(val_share=1)


def test_what_cannot_be_split_is_told(tmp_path: Path) -> None:
    run = coco_run(tmp_path, ["a.png"])
    report = export_run(run, "yolo-seg", tmp_path / "y")
    data = yaml.safe_load((tmp_path / "y" / "data.yaml").read_text())
    assert data["train"] == data["val"] == "images/train"
    assert "train" in report.more["val"]
    assert report.more["train"] == {"pictures": 1, "masks": 1}


def test_an_entry_that_is_no_sample_ends_no_export(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    PillowImage.fromarray(disc(10, 10, 5).astype("uint8") * 255).save(tmp_path / "m.png")
    good = {"image": "a.png", "mask": "m.png", "text": "it"}
    lines = [good, {"image": "../x.png", "mask": None, "text": "no"}]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = make_run(tmp_path, tmp_path / "run")
    for kind in ("coco", "label-studio", "cvat", "yolo-seg", "masks"):
        report = export_run(run, kind, tmp_path / f"out-{kind}")
        assert (report.written.total(), len(report.without)) == (1, 1), kind
