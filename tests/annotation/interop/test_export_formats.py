"""Each format written, and read back by something that did not write it."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from interop_runs import HEIGHT, WIDTH, make_run

from segagent.annotation.batch import Run
from segagent.annotation.interop import WRITERS, ExportOptions, export_run
from segagent.annotation.interop.brush_rle import decode_brush
from segagent.annotation.interop.polygons import outline
from segagent.core import InputError, iou
from segagent.datasets import FolderDataset, open_dataset
from segagent.datasets.coco_masks import decode_segmentation

NAMES = {
    "coco": "o.json",
    "label-studio": "t.json",
    "cvat": "a.xml",
    "yolo-seg": "y",
    "masks": "m",
    "parquet": "p.parquet",
}


@pytest.fixture
def masks(run: Run) -> dict[str, np.ndarray]:
    return {r.object_id: r.trajectory.mask_at(r.trajectory.returned) for r in run.objects() if r.outcome == "made"}


def told_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def label_file(picture: str) -> str:
    """Where Ultralytics looks for the labels of a picture (``img2label_paths``)."""
    return "/labels/".join(f"/{picture}".rsplit("/images/", 1)).rsplit(".", 1)[0].lstrip("/") + ".txt"


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize("kind", list(WRITERS))
def test_deterministic_whole_and_careful(run: Run, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        report = export_run(run, kind, tmp_path / folder / NAMES[kind])
        assert report.written == {"made": 3}
        assert [one.object_id for one in report.without] == ["id#2", "gone"]
    assert content(tmp_path / "one" / NAMES[kind]) == content(tmp_path / "two" / NAMES[kind])
    out = tmp_path / "one" / NAMES[kind]
    before = content(tmp_path / "one")
    with pytest.raises(InputError, match="--force"):
        export_run(run, kind, out)
    # A failure on the way leaves what was there, and nothing else.
    monkeypatch.setattr("segagent.annotation.interop.answers.Answer.mask", property(lambda self: 1 / 0))
    monkeypatch.setattr("segagent.annotation.interop.coco_fresh._annotation", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_run(run, kind, out, ExportOptions(force=True))
    assert content(tmp_path / "one") == before
    monkeypatch.undo()
    export_run(run, kind, out, ExportOptions(force=True))
    assert content(tmp_path / "one") == before


@pytest.mark.parametrize("kind", ["yolo-seg", "masks"])
def test_only_own_folders_are_replaced(run: Run, tmp_path: Path, kind: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="no export wrote"):
        export_run(run, kind, tmp_path / "mine", ExportOptions(force=True))
    assert content(tmp_path / "mine") == {"thesis.txt": b"precious"}


def test_label_studio(run: Run, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    accepted = ExportOptions(frozenset({"id#0"}), image_prefix="http://host/")
    report = export_run(run, "label-studio", tmp_path / "t.json", accepted)
    tasks = json.loads((tmp_path / "t.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [
        "http://host/a.png", "http://host/sub/b.png", "http://host/missing.png",
    ]  # fmt: skip
    assert tasks[1]["data"]["segagent"]["without_mask"] == [
        {"object_id": "id#2", "text": "a ghost é", "reason": "not_found"}
    ]
    config = ElementTree.fromstring((tmp_path / "t.config.xml").read_text())
    labels = {label.get("value") for label in config.iter("Label")}
    found = {}
    for task in tasks:
        for kind in ("annotations", "predictions"):
            for group in task.get(kind, []):
                for region in group["result"]:
                    assert (region["original_width"], region["original_height"]) == (WIDTH, HEIGHT)
                    assert "#" not in region["id"]
                    assert set(region["value"]["brushlabels"]) <= labels
                    name = unquote(region["id"].removeprefix("segagent."))
                    found[name] = (kind, decode_brush(region["value"]["rle"], HEIGHT, WIDTH))
                    assert region["meta"]["segagent"]["made_by"] == "model"
    assert {name: kind for name, (kind, _) in found.items()} == {
        "id#0": "annotations", "id#1": "predictions", "id#3": "predictions",
    }  # fmt: skip
    assert all((found[name][1] == mask).all() for name, mask in masks.items())
    assert report.more["config"] == str(tmp_path / "t.config.xml")
    only = ExportOptions(frozenset({"id#0"}), only_accepted=True)
    export_run(run, "label-studio", tmp_path / "only.json", only)
    assert "predictions" not in (tmp_path / "only.json").read_text()


def test_cvat(run: Run, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    export_run(run, "cvat", tmp_path / "a.xml", ExportOptions(frozenset({"id#1"})))
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [(e.get("name"), e.get("width"), e.get("height")) for e in root.iter("image")] == [
        ("a.png", str(WIDTH), str(HEIGHT)), ("sub/b.png", str(WIDTH), str(HEIGHT)),
    ]  # fmt: skip
    defined = {label.findtext("name") for label in root.iter("label")}
    names = {entry["name"] for entry in json.loads((tmp_path / "a.labels.json").read_text())}
    assert defined == names == {"disc", "a ghost é", "the other", "nothing"}
    seen = set()
    for element in root.iter("mask"):
        told = {a.get("name"): a.text for a in element.iter("attribute")}
        left, top, width, height = (int(element.get(key) or "") for key in ("left", "top", "width", "height"))
        drawn: list[bool] = []
        for place, run_length in enumerate((element.get("rle") or "").split(", ")):
            drawn += [place % 2 == 1] * int(run_length)
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[top : top + height, left : left + width] = np.array(drawn).reshape(height, width)
        name = told["object_id"] or ""
        assert (mask == masks[name]).all()
        assert told["accepted"] == ("true" if name == "id#1" else "false")
        assert json.loads(told["provenance"] or "")["text"] == told["text"]
        assert element.get("label") in defined
        seen.add(name)
    assert seen == set(masks)


def test_yolo(run: Run, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    report = export_run(run, "yolo-seg", tmp_path / "y", ExportOptions(tolerance=0))
    config = yaml.safe_load((tmp_path / "y" / "data.yaml").read_text())
    assert config == {
        "train": "images/train",
        "val": "images/val",
        "names": {0: "disc", 1: "a ghost é", 2: "the other", 3: "nothing"},
    }
    pictures = {one["picture"]: one for one in told_lines(tmp_path / "y" / "pictures.jsonl")}
    (a, b) = pictures["a.png"]["file"], pictures["sub/b.png"]["file"]
    assert {Path(a).name, Path(b).name} == {"a.png", "sub_b.png"}
    assert {one["split"] for one in pictures.values()} == {"train", "val"}
    assert (tmp_path / "y" / a).read_bytes() == (Path(run.dataset().spec) / "a.png").read_bytes()
    order = {label_file(a): ["id#0", "id#1"], label_file(b): ["id#3"]}
    for name, ids in order.items():
        lines = (tmp_path / "y" / name).read_text().splitlines()
        for line, object_id in zip(lines, ids, strict=True):
            points = np.array([float(value) for value in line.split()[1:]]).reshape(-1, 2)
            assert ((points >= 0) & (points <= 1)).all()
            assert int(line.split()[0]) == 2 * (object_id == "id#3")
            # Eight times as large, so that what OpenCV draws of borders does not count.
            canvas = np.zeros((HEIGHT * 8, WIDTH * 8), np.uint8)
            cv2.fillPoly(canvas, [np.rint(points * (WIDTH * 8, HEIGHT * 8)).astype(np.int32)], 1)
            assert (canvas[4::8, 4::8] == masks[object_id]).all()
    assert report.more["polygon_iou_lowest"] > 0.97
    told = told_lines(tmp_path / "y" / "provenance.jsonl")
    assert [(one["labels"], one["line"], one["object_id"]) for one in told] == [
        (label_file(a), 1, "id#0"), (label_file(a), 2, "id#1"), (label_file(b), 1, "id#3"),
    ]  # fmt: skip
    assert {split: report.more[split]["pictures"] for split in ("train", "val")} == {"train": 1, "val": 1}
    assert report.more["train"]["masks"] + report.more["val"]["masks"] == 3
    assert report.more["pictures_with_another_name"].startswith("1;")


@settings(deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))).filter(lambda mask: mask.any()))
def test_outlines_hold_every_part_and_hole(mask: np.ndarray) -> None:
    height, width = mask.shape
    points = outline(mask)
    scale = 16
    canvas = np.zeros((height * scale, width * scale), np.uint8)
    cv2.fillPoly(canvas, [np.rint(points * scale).astype(np.int32)], 1)
    # OpenCV draws borders and bridges too, as lines; they are less than half of any pixel.
    assert ((canvas.reshape(height, scale, width, scale).mean(axis=(1, 3)) > 0.5) == mask).all()
    # Shoelace: bridges enclose nothing, so the area is that of the pixels.
    x, y = points.T
    assert abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2 == mask.sum()


def test_simplified_outlines_stay_close() -> None:
    rows, columns = np.ogrid[:200, :300]
    ring = ((columns - 150) ** 2 + (rows - 100) ** 2 <= 80**2) & ((columns - 150) ** 2 + (rows - 100) ** 2 > 30**2)
    two = ring | ((columns - 20) ** 2 + (rows - 20) ** 2 <= 12**2)
    exact, simple = outline(two), outline(two, 0.75)
    assert len(simple) < len(exact) / 2
    for points, lowest in ((exact, 0.999), (simple, 0.97)):
        drawn = decode_segmentation([points.ravel().tolist()], 200, 300)
        assert iou(drawn, two) > lowest


def test_masks_open_again(run: Run, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    export_run(run, "masks", tmp_path / "m")
    opened = FolderDataset(tmp_path / "m")
    assert {sample.sample_id for sample in opened} == {*masks, "id#2"}
    for sample in opened:
        mask, _ = sample.load_target()
        assert (mask == masks.get(sample.sample_id, np.zeros((HEIGHT, WIDTH), bool))).all()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "m" / "index.csv").read_text(encoding="utf-8"))))
    assert [row["id"] for row in rows] == ["id#0", "id#1", "id#3", "id#2"]
    assert rows[1]["text"] == 'the "big" disc & <more>'
    assert (rows[3]["mask"], rows[3]["outcome"]) == ("", "not_found")
    entries = json.loads((tmp_path / "m" / "manifest.json").read_text())["samples"]
    assert entries[0]["segagent"]["policy"] == "area"
    assert json.loads((tmp_path / "m" / "segagent.json").read_text())["format"] == "masks"


def test_generated_scenes_and_parquet_can_be_exported_with_pictures(run: Run, tmp_path: Path) -> None:
    scenes = make_run("scenes:2:sentences=1,size=64", tmp_path / "scenes", "audit")
    export_run(scenes, "masks", tmp_path / "m")
    for sample, made in zip(FolderDataset(tmp_path / "m"), scenes.dataset(), strict=True):
        assert (sample.load_target()[0] == made.load_target()[0]).all()
        assert (sample.load_image().pixels == made.load_image().pixels).all()
    pytest.importorskip("pyarrow")
    export_run(run, "parquet", tmp_path / "p.parquet")
    again = make_run(f"parquet:{tmp_path / 'p.parquet'}", tmp_path / "run", "audit")
    export_run(again, "masks", tmp_path / "again")
    assert len(FolderDataset(tmp_path / "again")) == 3


def test_parquet_opens_again(run: Run, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export_run(run, "parquet", tmp_path / "p.parquet", ExportOptions(frozenset({"id#0"})))
    table = parquet.read_table(tmp_path / "p.parquet")
    ids = table.column("sample_id").to_pylist()
    assert ids == ["id#0", "id#1", "id#3", "id#2"]
    assert table.column("accepted").to_pylist() == [True, False, False, None]
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == table.schema.names
    opened = list(open_dataset(f"parquet:{tmp_path / 'p.parquet'}"))
    for sample, name in zip(opened, ids, strict=True):
        mask, _ = sample.load_target()
        assert (mask == masks.get(name, np.zeros((HEIGHT, WIDTH), bool))).all()
    assert [sample.text for sample in opened][:2] == ["the small disc", 'the "big" disc & <more>']
    assert json.loads(table.column("provenance")[0].as_py())["accepted"] is True


def test_hugging_face_datasets_reads_it(run: Run, tmp_path: Path) -> None:
    datasets: Any = pytest.importorskip("datasets")
    if not hasattr(datasets, "load_dataset"):
        pytest.skip("the library is not installed; this is a folder of tests")
    export_run(run, "parquet", tmp_path / "p.parquet")
    loaded = datasets.load_dataset("parquet", data_files=str(tmp_path / "p.parquet"), cache_dir=str(tmp_path / "c"))
    assert loaded["train"][0]["mask"].size == (WIDTH, HEIGHT)


def test_a_damaged_name_goes_nowhere(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    escape: Callable[[Any], str] = lambda record: "../../evil.png"  # noqa: E731
    monkeypatch.setattr("segagent.annotation.batch.records.ObjectRecord.image", property(escape))
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError):
        export_run(run, "masks", tmp_path / "a" / "m")
    assert not list(tmp_path.rglob("evil*"))
