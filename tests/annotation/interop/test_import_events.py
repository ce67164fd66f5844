"""What people did beside mending masks: other classes, deleted and new objects, copies; and what no file tells."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interop_runs import HEIGHT, WIDTH, disc, folder_data_set, make_run, picture, source_file

from segagent.annotation.batch import Run
from segagent.annotation.batch.checked import read_checked
from segagent.annotation.interop import ExportOptions, ImportOptions, ImportReport, export_run, import_corrections
from segagent.annotation.interop.brush_rle import encode_brush
from segagent.annotation.interop.cvat import mask_runs
from segagent.annotation.interop.recording import record_corrections
from segagent.cli.main import main
from segagent.core import InputError, decode_rle, encode_rle
from segagent.datasets import FolderDataset
from segagent.tools.fake import DiscTool

NEW = disc(27, 18, 3)
GHOST = disc(5, 17, 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return make_run(folder_data_set(folder / "data"), folder / "run", "audit")


def brought(run: Run, file: Path, out: Path, **options: Any) -> ImportReport:
    return import_corrections(run, file, out, lambda: DiscTool(3), ImportOptions(by="ann", **options))


def events(out: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (out / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        assert (event["schema"], event["by"]) == ("segagent.event/2", "ann")
        found.setdefault(event["kind"], []).append(event)
    return found


def coco_edited(run: Run, path: Path) -> None:
    """id#1 gets another class, id#0 is deleted, and something new is drawn in b.png."""
    export_run(run, "coco", path)
    data = json.loads(path.read_text())
    by_id = {one["sample_id"]: one for one in data["annotations"]}
    data["categories"].append({"id": 77, "name": "plate"})
    by_id["id#1"]["category_id"] = 77
    data["annotations"].remove(by_id["id#0"])
    image = by_id["id#3"]["image_id"]
    new = {"id": 900, "image_id": image, "category_id": 77, "iscrowd": 0, "segmentation": dict(encode_rle(NEW))}
    data["annotations"].append(new)
    path.write_text(json.dumps(data))


def cvat_edited(run: Run, path: Path) -> None:
    export_run(run, "cvat", path)
    text = path.read_text()
    shapes = {re.search("id#[0-9]", one).group(): one for one in re.findall("    <mask.*?</mask>\n", text, re.S)}  # type: ignore[union-attr]
    text = text.replace(shapes["id#0"], "")
    text = text.replace(shapes["id#1"], shapes["id#1"].replace('label="disc"', 'label="plate"'))
    runs, *box = mask_runs(NEW)
    own = " ".join(f'{name}="{value}"' for name, value in zip(("left", "top", "width", "height"), box, strict=True))
    rle = ", ".join(map(str, runs))
    # As CVAT copies a shape from one picture to another: with all its attributes.
    copied = (
        f'<mask label="plate" source="manual" rle="{rle}" {own}><attribute name="object_id">id#1</attribute></mask>'
    )
    text = text.replace(shapes["id#3"], f"{shapes['id#3']}{copied}\n")
    path.write_text(text)


def label_studio_edited(run: Run, path: Path) -> None:
    export_run(run, "label-studio", path)
    tasks = json.loads(path.read_text())
    for number, task in enumerate(tasks):
        result = [
            one for one in task.pop("predictions", [{"result": []}])[0]["result"] if one["id"] != "segagent.id%230"
        ]
        for region in result:
            if region["id"] == "segagent.id%231":
                region["value"]["brushlabels"] = ["plate"]
        if task["data"]["segagent"]["image"] == "sub/b.png":
            value = {"format": "rle", "rle": encode_brush(NEW), "brushlabels": ["plate"]}
            # Label Studio's "duplicate" keeps what is written on a region.
            result.append({**result[0], "id": "x9", "value": value})
        task["annotations"] = [{"id": number, "result": result, "was_cancelled": False, "updated_at": "2026-01-01"}]
    path.write_text(json.dumps(tasks))


@pytest.mark.parametrize("edit", [coco_edited, cvat_edited, label_studio_edited])
def test_other_classes_deleted_and_new_objects(run: Run, tmp_path: Path, edit: Callable[[Run, Path], None]) -> None:
    file, out = tmp_path / ("x.xml" if edit is cvat_edited else "x.json"), tmp_path / "out"
    edit(run, file)
    report = brought(run, file, out)
    assert report.problems == report.failures == []
    told = events(out)
    assert {kind: report.kinds[kind] for kind in told if kind != "confirmed"} == {
        "relabelled": 1, "removed": 1, "added": 1,
    }  # fmt: skip
    (relabelled,), (removed,), (added,) = told["relabelled"], told["removed"], told["added"]
    assert (relabelled["object_id"], relabelled["was"], relabelled["label"]) == ("id#1", "disc", "plate")
    assert (removed["object_id"], removed["image"]) == ("id#0", "a.png")
    assert (added["image"], added["label"]) == ("sub/b.png", "plate")
    assert (decode_rle(added["mask"]) == NEW).all()
    # The new data set has the objects as the person left them, and who it was.
    entries = {one["id"]: one for one in json.loads((out / "corrected" / "manifest.json").read_text())["samples"]}
    assert "id#0" not in entries
    assert [entries["id#1"][key] for key in ("text", "category")] == ["plate", "plate"]
    assert entries["id#1"]["segagent"]["outcome"] == "relabelled"
    assert entries["id#1"]["segagent"]["instead_of"]["text"] == 'the "big" disc & <more>'
    new = entries[added["object_id"]]
    assert (new["image"], new["text"], new["category"]) == ("images/sub/b.png", "plate", "plate")
    assert (new["segagent"]["made_by"], new["segagent"]["by"], new["segagent"]["outcome"]) == ("person", "ann", "added")
    masks = {sample.sample_id: sample.load_target()[0] for sample in FolderDataset(out / "corrected")}
    assert (masks[added["object_id"]] == NEW).all()
    # A deleted mask was not good; what another class makes of the prediction nobody knows.
    checked = {one["object_id"]: one for one in json.loads((out / "checked.json").read_text())}
    assert checked["id#0"]["verdict"] == "wrong"
    assert not {"id#1", added["object_id"]} & checked.keys()
    checks = read_checked(out / "checked.json", run)
    assert (checks.checks["id#0"].good(0.1), checks.unknown) == (False, ())
    # The same file says the same again.
    again = brought(run, file, tmp_path / "again")
    assert [event.object_id for event in again.events] == [event.object_id for event in report.events]


def test_the_command_tells_what_people_did(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco_edited(run, tmp_path / "x.json")
    command = ["import", str(tmp_path / "x.json"), "--run", str(run.folder), "--tool", "disc", "-o"]
    assert main([*command, str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    counts = {
        key: told[key] for key in ("masks", "corrected", "confirmed", "relabelled", "removed", "added", "missing")
    }
    assert counts == {
        "masks": 2, "corrected": 0, "confirmed": 0, "relabelled": 1, "removed": 1, "added": 1, "missing": 0,
    }  # fmt: skip
    assert told["matched_by"] == {"id": 1}
    assert main([*command, str(tmp_path / "out2"), "--no-deletions"]) == 0
    captured = capsys.readouterr().out
    assert "1 relabelled, 1 added" in captured
    assert "1 objects are not in the file and were left as they are" in captured


def test_only_deletions(run: Run, tmp_path: Path) -> None:
    export_run(run, "coco", tmp_path / "x.json")
    data = json.loads((tmp_path / "x.json").read_text())
    data["annotations"] = data["annotations"][1:]
    (tmp_path / "x.json").write_text(json.dumps(data))
    report = brought(run, tmp_path / "x.json", tmp_path / "out")
    assert (report.num_masks, report.kinds) == (0, {"removed": 1})
    assert list(events(tmp_path / "out")) == ["removed"]


def test_a_mask_rubbed_out_is_removed(run: Run, tmp_path: Path) -> None:
    export_run(run, "coco", tmp_path / "x.json")
    data = json.loads((tmp_path / "x.json").read_text())
    data["annotations"][0]["segmentation"] = dict(encode_rle(np.zeros((HEIGHT, WIDTH), bool)))
    (tmp_path / "x.json").write_text(json.dumps(data))
    brought(run, tmp_path / "x.json", tmp_path / "out")
    assert [one["object_id"] for one in events(tmp_path / "out")["removed"]] == ["id#0"]


def test_objects_that_may_be_in_what_was_not_read_are_not_removed(run: Run, tmp_path: Path) -> None:
    export_run(run, "cvat", tmp_path / "x.xml")
    text = (tmp_path / "x.xml").read_text()
    first = re.search("    <mask.*?</mask>\n", text, re.S)
    assert first is not None
    box = '<box label="disc" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    (tmp_path / "x.xml").write_text(text.replace(first.group(), box))
    report = brought(run, tmp_path / "x.xml", tmp_path / "out", unchanged_counts=True)
    assert (report.num_missing, report.kinds["removed"]) == (1, 0)
    assert [one.reason for one in report.problems] == ["a box is no mask; draw a mask or a polygon"]
    forced = brought(run, tmp_path / "x.xml", tmp_path / "out2", unchanged_counts=True, deletions=True)
    assert forced.kinds["removed"] == 0


@pytest.mark.parametrize("kind", ["coco", "cvat"])
def test_what_an_export_left_out_nobody_deleted(run: Run, tmp_path: Path, kind: str) -> None:
    file = tmp_path / ("x.xml" if kind == "cvat" else "x.json")
    export_run(run, kind, file, ExportOptions(frozenset({"id#1"}), only_accepted=True))
    report = brought(run, file, tmp_path / "out", unchanged_counts=True)
    assert (report.num_masks, report.num_missing, report.kinds["removed"]) == (1, 3, 0)
    forced = brought(run, file, tmp_path / "out2", unchanged_counts=True, deletions=True)
    assert forced.kinds["removed"] == 3


def test_label_studio_divides_accepted_and_other_masks(run: Run, tmp_path: Path) -> None:
    export_run(run, "label-studio", tmp_path / "x.json", ExportOptions(frozenset({"id#1"})))
    tasks = json.loads((tmp_path / "x.json").read_text())
    # The person submits the prediction of a.png, which has no accepted mask in it.
    for task in tasks:
        task.setdefault("annotations", [])
    tasks[0]["annotations"].append({"result": tasks[0]["predictions"][0]["result"], "updated_at": "2026-01-01"})
    (tmp_path / "x.json").write_text(json.dumps(tasks))
    report = brought(run, tmp_path / "x.json", tmp_path / "out")
    assert ({e.object_id for e in report.events}, report.kinds["removed"], report.num_missing) == ({"id#0"}, 0, 1)


def test_copies_within_a_picture(run: Run, tmp_path: Path) -> None:
    export_run(run, "cvat", tmp_path / "x.xml")
    text = (tmp_path / "x.xml").read_text()
    first = re.search("    <mask.*?</mask>\n", text, re.S)
    assert first is not None
    moved = re.sub('left="[0-9]+"', 'left="24"', first.group())
    # The copy stands first; the object is the one that lies where it lay. What repeats a mask is told.
    (tmp_path / "x.xml").write_text(text.replace(first.group(), moved + 2 * first.group()))
    report = brought(run, tmp_path / "x.xml", tmp_path / "out")
    assert (report.num_untouched, report.kinds) == (4, {"added": 1})
    assert [one.reason for one in report.problems] == ["repeats another mask of this picture and label"]
    # In one group they are parts of one object.
    grouped = [one.replace("<mask ", '<mask group_id="4" ') for one in (moved, first.group())]
    (tmp_path / "y.xml").write_text(text.replace(first.group(), "".join(grouped)))
    report = brought(run, tmp_path / "y.xml", tmp_path / "out2")
    assert report.kinds == {"corrected": 1}


def test_polygons_of_one_id_are_parts_or_copies(run: Run, tmp_path: Path) -> None:
    def polygon(points: str) -> str:
        return f'<polygon label="disc" points="{points}"><attribute name="object_id">id#0</attribute></polygon>'

    def imported(*polygons: str) -> ImportReport:
        size = f'width="{WIDTH}" height="{HEIGHT}"'
        text = f'<annotations><image name="a.png" {size}>{"".join(polygons)}</image></annotations>'
        (tmp_path / "x.xml").write_text(text)
        return brought(run, tmp_path / "x.xml", tmp_path / "out", deletions=False, force=True)

    one = polygon("3.0,3.0;10.0,3.0;10.0,10.0;3.0,10.0")
    assert imported(one, polygon("12.0,3.0;14.0,3.0;14.0,9.0")).kinds == {"corrected": 1}
    assert imported(polygon("20.0,13.0;27.0,13.0;27.0,20.0;20.0,20.0"), one).kinds == {"corrected": 1, "added": 1}


def test_two_sheets_of_one_picture(run: Run, tmp_path: Path) -> None:
    label_studio_edited(run, tmp_path / "x.json")
    tasks = json.loads((tmp_path / "x.json").read_text())
    second = json.loads(json.dumps(tasks[0]))
    second["id"] = 9
    second["annotations"][0] |= {"updated_at": "2026-02-01", "result": []}
    second["data"] = {"image": "/data/upload/1/0a1b2c3d-a.png"}
    (tmp_path / "x.json").write_text(json.dumps([second, *tasks]))
    report = brought(run, tmp_path / "x.json", tmp_path / "out")
    assert [one.reason for one in report.problems] == ["task 9 is the same picture ('a.png') and takes its place"]
    assert not [event for event in report.events if event.image == "a.png"]
    assert report.num_missing == 2


def test_a_coco_file_may_list_a_picture_twice(tmp_path: Path) -> None:
    data = json.loads(source_file(tmp_path).read_text())
    data["images"].append({**data["images"][1], "id": 9, "file_name": "./b.png"})
    data["annotations"][3]["image_id"] = 9
    (tmp_path / "coco.json").write_text(json.dumps(data))
    run = make_run(tmp_path / "coco.json", tmp_path / "run", "audit")
    export_run(run, "coco", tmp_path / "x.json")
    edited = json.loads((tmp_path / "x.json").read_text())
    for one, mask in ((edited["annotations"][2], disc(16, 12, 6)), (edited["annotations"][3], NEW)):
        one["segmentation"] = dict(encode_rle(mask))
    (tmp_path / "x.json").write_text(json.dumps(edited))
    result = record_corrections(run, tmp_path / "x.json")
    assert [(one.kind, one.object_id) for one in result.events] == [("corrected", "7"), ("corrected", "8")]
    assert result.problems == []


def test_new_objects_on_pictures_without_any_and_on_unknown_ones(tmp_path: Path) -> None:
    source = source_file(tmp_path)
    run = make_run(source, tmp_path / "run", "audit")
    picture(tmp_path / "empty.png")
    export_run(run, "coco", tmp_path / "x.json")
    data = json.loads((tmp_path / "x.json").read_text())
    for number, (name, width) in enumerate([("empty.png", WIDTH), ("none.png", WIDTH), ("../a.png", WIDTH)], 50):
        data["images"].append({"id": number, "file_name": name, "height": HEIGHT, "width": width})
        mask = dict(encode_rle(NEW))
        data["annotations"].append({"id": number, "image_id": number, "category_id": 4, "segmentation": mask})
    wide = {"id": 60, "image_id": 50, "category_id": 3, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    data["annotations"].append(wide)
    (tmp_path / "x.json").write_text(json.dumps(data))
    report = brought(run, tmp_path / "x.json", tmp_path / "out")
    assert {(event.kind, event.image, event.label) for event in report.events} == {
        ("added", "empty.png", "cat"), ("added", "empty.png", "dog"),
    }  # fmt: skip
    assert [one.where for one in report.problems] == ["annotations[5] (id 51)", "image '../a.png'"]


def test_objects_that_the_run_has_no_answer_for(tmp_path: Path) -> None:
    """A COCO file holds them too: untouched they are nothing, changed they are told, new they are not."""
    run = make_run(source_file(tmp_path), tmp_path / "run", "audit")
    journal = tmp_path / "run" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:2]))  # The run has come to the first picture.
    export_run(run, "coco", tmp_path / "x.json")
    with pytest.raises(InputError, match="3 masks are as exported"):
        brought(run, tmp_path / "x.json", tmp_path / "out")
    data = json.loads((tmp_path / "x.json").read_text())
    data["annotations"][2]["segmentation"] = dict(encode_rle(NEW))
    (tmp_path / "x.json").write_text(json.dumps(data))
    report = brought(run, tmp_path / "x.json", tmp_path / "out", unchanged_counts=True)
    assert [one.reason for one in report.problems] == [
        "object '7' failed in the run, or the run has not come to it: go on with the run, then import again"
    ]
    assert report.kinds == {"confirmed": 1}


@pytest.mark.parametrize("ours", [True, False])
def test_right_masks_with_new_ids_calibrate_the_right_objects(tmp_path: Path, ours: bool) -> None:
    run = make_run(source_file(tmp_path), tmp_path / "run", "audit")
    data = json.loads((tmp_path / "coco.json").read_text())
    right = {"7": disc(16, 12, 8), "8": disc(3, 3, 2)}
    annotations = [one for one in data["annotations"] if str(one["id"]) in right]
    for one in annotations:
        one["segmentation"] = dict(encode_rle(right[str(one["id"])]))
        if ours:
            one["sample_id"] = str(one["id"])
    # 7's mask under the id 8, and the other way about; the picture and the class tell them apart.
    for one, number in zip(annotations, (8, 5), strict=True):
        one["id"] = number
    strange = {"id": 7, "image_id": 2, "category_id": 4, "segmentation": [[28, 1, 31, 1, 31, 4, 28, 4]]}
    (tmp_path / "right.json").write_text(json.dumps({**data, "annotations": [*annotations, strange]}))
    found = read_checked(tmp_path / "right.json", run)
    given = disc(16, 12, 9)
    assert {name: check.iou for name, check in found.checks.items()} == {
        "7": pytest.approx(right["7"].sum() / given.sum()), "8": 1.0,
    }  # fmt: skip
    assert found.unknown == ("annotations[2] (id 7)",)
    assert found.num_by_overlap == (0 if ours else 2)


def test_crowds_are_no_new_objects(tmp_path: Path) -> None:
    run = make_run(source_file(tmp_path), tmp_path / "run", "audit")
    export_run(run, "coco", tmp_path / "x.json")
    data = json.loads((tmp_path / "x.json").read_text())
    data["annotations"][0]["segmentation"] = [[2, 2, 9, 2, 9, 8, 2, 8]]
    data["annotations"].append({**data["annotations"][1], "id": 99, "segmentation": None})
    (tmp_path / "x.json").write_text(json.dumps(data))
    report = brought(run, tmp_path / "x.json", tmp_path / "out")
    assert (report.kinds, report.problems) == ({"corrected": 1}, [])


@pytest.mark.parametrize("segmentation", [None, [], "missing"])
def test_an_annotation_without_a_mask_removes_nothing(tmp_path: Path, segmentation: Any) -> None:
    run = make_run(source_file(tmp_path), tmp_path / "run", "audit")
    export_run(run, "coco", tmp_path / "x.json")
    data = json.loads((tmp_path / "x.json").read_text())
    data["annotations"][0]["segmentation"] = [[2, 2, 9, 2, 9, 8, 2, 8]]
    data["annotations"][3]["segmentation"] = segmentation
    if segmentation == "missing":
        del data["annotations"][3]["segmentation"]
    (tmp_path / "x.json").write_text(json.dumps(data))
    report = brought(run, tmp_path / "x.json", tmp_path / "out")
    assert (report.kinds, report.num_missing) == ({"corrected": 1}, 0)
    assert [one.where for one in report.problems] == ["annotations[3] (id 8)"]
    assert "has no segmentation" in report.problems[0].reason
    found = read_checked(tmp_path / "x.json", run)
    assert (set(found.checks), found.open, found.unknown) == ({"5", "7"}, 1, ())


@pytest.mark.parametrize("job", ["audit", "annotate"])
def test_masks_that_were_empty_when_exported_are_not_rubbed_out(tmp_path: Path, job: Any) -> None:
    data = json.loads(source_file(tmp_path).read_text())
    no_pixel = [[5, 5, 5, 5, 5, 5]], dict(encode_rle(np.zeros((HEIGHT, WIDTH), bool))), [[0.4, 0.4, 0.6, 0.4, 0.6, 0.6]]
    data["annotations"] += [
        {"id": 50 + number, "image_id": 2, "category_id": 3, "segmentation": one} for number, one in enumerate(no_pixel)
    ]
    (tmp_path / "coco.json").write_text(json.dumps(data))
    run = make_run(tmp_path / "coco.json", tmp_path / "run", job)
    export_run(run, "coco", tmp_path / "x.json")
    edited = json.loads((tmp_path / "x.json").read_text())
    assert record_corrections(run, tmp_path / "x.json").events == []
    edited["annotations"][3]["segmentation"] = no_pixel[1]
    (tmp_path / "x.json").write_text(json.dumps(edited))
    report = brought(run, tmp_path / "x.json", tmp_path / "out")
    assert [(one.kind, one.object_id) for one in report.events] == [("removed", "8")]
    assert [one.object_id for one in record_corrections(run, tmp_path / "x.json").events] == ["8"]
