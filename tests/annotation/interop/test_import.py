"""Corrections by people, in each format, back into data sets and training data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interop_runs import HEIGHT, WIDTH, disc, make_run, source_file

from segagent.annotation.batch import Run
from segagent.annotation.interop import ExportOptions, ImportOptions, export_run, import_corrections
from segagent.annotation.interop.brush_rle import encode_brush
from segagent.annotation.interop.cvat import mask_runs
from segagent.core import Click, InputError, encode_rle, iou
from segagent.datasets import FolderDataset
from segagent.learning.sft import load_annotator_set
from segagent.learning.trajectories import read_trajectories
from segagent.tools.fake import DiscTool

RIGHT = disc(9, 11, 6)
OTHER = disc(20, 10, 4)


@pytest.fixture
def masks(run: Run) -> dict[str, np.ndarray]:
    return {r.object_id: r.trajectory.mask_at(r.trajectory.returned) for r in run.objects()}


def tool() -> DiscTool:
    return DiscTool(3)


Edit = Callable[[Any], None]


def label_studio(run: Run, folder: Path, edit: Edit, options: ExportOptions = ExportOptions()) -> Path:  # noqa: B008
    """What Label Studio exports after a person (number 7) has submitted every prediction, ``edit`` done to it."""
    export_run(run, "label-studio", folder / "tasks.json", options)
    tasks = json.loads((folder / "tasks.json").read_text())
    for number, task in enumerate(tasks):
        task["id"] = number + 1
        task.setdefault("annotations", [])
        for prediction in task.pop("predictions", []):
            task["annotations"].append(
                {
                    "id": 10 + number,
                    "result": prediction["result"],
                    "completed_by": {"id": 7, "email": "ann@example.org"},
                    "updated_at": "2026-01-02T03:04:05Z",
                    "was_cancelled": False,
                }
            )
    edit(tasks)
    (folder / "done.json").write_text(json.dumps(tasks))
    return folder / "done.json"


def region(tasks: Any, object_id: str) -> dict[str, Any]:
    name = "segagent." + object_id.replace("#", "%23")
    (found,) = [r for t in tasks for a in t["annotations"] for r in a["result"] if r["id"] == name]
    assert isinstance(found, dict)
    return found


def set_mask(tasks: Any, object_id: str, mask: np.ndarray) -> None:
    region(tasks, object_id)["value"]["rle"] = encode_brush(mask)


def test_label_studio(run: Run, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    file = label_studio(run, tmp_path, lambda tasks: set_mask(tasks, "id#0", RIGHT))
    report = import_corrections(run, file, tmp_path / "out", tool)
    assert (report.num_masks, report.num_changed, report.num_untouched, report.problems) == (3, 1, 0, [])
    opened = FolderDataset(tmp_path / "out" / "corrected")
    read = {sample.sample_id: sample.load_target()[0] for sample in opened}
    assert set(read) == {"id#0", "id#1", "id#3"}
    assert (read["id#0"] == RIGHT).all()
    assert (read["id#3"] == masks["id#3"]).all()
    checked = {one["object_id"]: one["iou"] for one in json.loads((tmp_path / "out" / "checked.json").read_text())}
    assert checked == {"id#0": pytest.approx(iou(masks["id#0"], RIGHT), abs=1e-6), "id#1": 1.0, "id#3": 1.0}
    entries = json.loads((tmp_path / "out" / "corrected" / "manifest.json").read_text())["samples"]
    facts = {entry["id"]: entry["segagent"] for entry in entries}["id#0"]
    assert (facts["made_by"], facts["by"], facts["when"]) == ("person", "ann@example.org", "2026-01-02T03:04:05Z")
    assert facts["instead_of"]["clicks"]
    assert facts["outcome"] == "corrected"
    assert {entry["id"]: entry["segagent"] for entry in entries}["id#1"]["outcome"] == "confirmed"


def test_trajectories_start_from_the_runs_mask_and_train(
    run: Run, tmp_path: Path, masks: dict[str, np.ndarray]
) -> None:
    file = label_studio(run, tmp_path, lambda tasks: set_mask(tasks, "id#0", RIGHT))
    import_corrections(run, file, tmp_path / "out", tool)
    made = {one.sample_id: one for one in read_trajectories(tmp_path / "out" / "trajectories.jsonl")}
    assert (made["id#0"].mask_at(0) == masks["id#0"]).all()
    assert made["id#0"].start.reward == pytest.approx(iou(masks["id#0"], RIGHT))
    rewards = [made["id#0"].reward_at(index) or 0 for index in range(len(made["id#0"].steps) + 1)]
    assert len(rewards) > 1
    assert rewards == sorted(rewards)
    assert (made["id#1"].steps, made["id#1"].stopped) == ((), "tau_stop")
    # What `segagent train sft` reads: the data set is where the header says, and unchanged.
    training = load_annotator_set(tmp_path / "out" / "trajectories.jsonl")
    assert len(training.examples) == sum(len(one.steps) + 1 for one in made.values())
    assert training.dataset.load_image(training.examples[0].image).width == WIDTH
    assert {sample.sample_id for sample in training.dataset} >= {example.sample_id for example in training.examples}


def test_persons_clicks_are_played(run: Run, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    def edit(tasks: Any) -> None:
        set_mask(tasks, "id#3", RIGHT)
        for x, y, label in ((9, 11, "positive"), (19, 12, "negative"), (30, 2, "positive"), (9, 8, "positive")):
            tasks[1]["annotations"][0]["result"].append(
                {"id": f"k{x}", "type": "keypointlabels", "from_name": "clicks", "to_name": "image",
                 "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
                 "value": {"x": (x + 0.5) / WIDTH * 100, "y": (y + 0.5) / HEIGHT * 100, "width": 0.5,
                           "keypointlabels": [label]}}
            )  # fmt: skip

    report = import_corrections(run, label_studio(run, tmp_path, edit), tmp_path / "out", tool)
    assert report.problems == []
    by_person = [t for t in read_trajectories(tmp_path / "out" / "trajectories.jsonl") if t.policy == "person"]
    assert [one.sample_id for one in by_person] == ["id#3"]
    # The third click helps nothing, so the trajectory ends before it.
    assert [step.action for step in by_person[0].steps] == [Click(9, 11, True), Click(19, 12, False)]
    assert by_person[0].stopped == "tau_diff"
    assert report.num_trajectories == 4


def test_label_studio_polygons_new_regions_and_two_people(run: Run, tmp_path: Path) -> None:
    def edit(tasks: Any) -> None:
        points = [[x / WIDTH * 100, y / HEIGHT * 100] for x, y in ((2, 2), (12, 2), (12, 9), (2, 9))]
        drawn = region(tasks, "id#3")
        drawn.update(id="x7Fg", type="polygonlabels", value={"points": points, "polygonlabels": ["the other"]})
        drawn.pop("meta")
        second = json.loads(json.dumps(tasks[0]["annotations"][0]))
        second.update(id=99, completed_by=8, updated_at="2026-01-03T00:00:00Z")
        second["result"][0]["value"]["rle"] = encode_brush(OTHER)
        tasks[0]["annotations"].insert(0, second)

    report = import_corrections(run, label_studio(run, tmp_path, edit), tmp_path / "out", tool)
    assert [one.reason for one in report.problems] == ["by ann@example.org: a later one takes its place"]
    read = {sample.sample_id: sample.load_target()[0] for sample in FolderDataset(tmp_path / "out" / "corrected")}
    square = np.zeros((HEIGHT, WIDTH), bool)
    square[2:9, 2:12] = True
    assert (read["id#3"] == square).all()
    assert (read["id#0"] == OTHER).all()


def test_an_accepted_mask_nobody_touched_is_no_persons_word(run: Run, tmp_path: Path) -> None:
    options = ExportOptions(frozenset({"id#0", "id#1"}))
    file = label_studio(run, tmp_path, lambda tasks: set_mask(tasks, "id#0", RIGHT), options)
    report = import_corrections(run, file, tmp_path / "out", tool)
    assert (report.num_masks, report.num_untouched) == (2, 1)
    counted = import_corrections(run, file, tmp_path / "all", tool, ImportOptions(unchanged_counts=True))
    assert (counted.num_masks, counted.num_untouched) == (3, 0)


def test_an_object_that_was_not_found_is_drawn_by_a_person(run: Run, tmp_path: Path) -> None:
    def edit(tasks: Any) -> None:
        new = json.loads(json.dumps(region(tasks, "id#3")))
        new.update(id="new", value={"format": "rle", "rle": encode_brush(RIGHT), "brushlabels": ["a ghost é"]})
        new.pop("meta")
        tasks[1]["annotations"][0]["result"].append(new)

    report = import_corrections(run, label_studio(run, tmp_path, edit), tmp_path / "out", tool)
    assert report.problems == []
    assert "id#2" not in {one["object_id"] for one in report.checked}
    made = {one.sample_id: one for one in read_trajectories(tmp_path / "out" / "trajectories.jsonl")}
    assert made["id#2"].steps


def test_cvat(run: Run, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    export_run(run, "cvat", tmp_path / "a.xml")
    text = (tmp_path / "a.xml").read_text()
    runs, left, top, width, height = mask_runs(RIGHT)
    lines = text.splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines) if "id#0" in line) - 1
    label = 'label="disc" source="semi-auto" occluded="0" z_order="0"'
    rle = ", ".join(map(str, runs))
    lines[place] = f'<mask {label} rle="{rle}" left="{left}" top="{top}" width="{width}" height="{height}">\n'
    polygon = '<polygon label="disc" source="manual" points="30.0,1.0;32.0,1.0;32.0,3.0;30.0,3.0">'
    clicks = '<points label="disc" points="9.5,11.5;3.5,2.5">'
    attribute = '<attribute name="object_id">id#0</attribute>'
    lines.insert(place, f"{polygon}{attribute}</polygon>{clicks}{attribute}</points>\n")
    text = "".join(lines).replace("<name>segagent</name>", "<name>x</name><owner><username>bea</username></owner>")
    (tmp_path / "a.xml").write_text(text)
    report = import_corrections(run, tmp_path / "a.xml", tmp_path / "out", tool)
    assert (report.num_masks, report.num_untouched, report.problems) == (1, 2, [])
    expected = RIGHT.copy()
    expected[1:3, 30:32] = True
    (sample,) = FolderDataset(tmp_path / "out" / "corrected")
    assert (sample.load_target()[0] == expected).all()
    entries = json.loads((tmp_path / "out" / "corrected" / "manifest.json").read_text())["samples"]
    assert entries[0]["segagent"]["by"] == "bea"
    assert {t.policy for t in read_trajectories(tmp_path / "out" / "trajectories.jsonl")} == {"simulated", "person"}


def test_coco_source_and_fresh(run: Run, tmp_path: Path, masks: dict[str, np.ndarray]) -> None:
    export_run(run, "coco", tmp_path / "fresh.json")
    data = json.loads((tmp_path / "fresh.json").read_text())
    data["annotations"][1].update(segmentation=[[2, 2, 8, 2, 8, 8, 2, 8]], clicks=[[4, 4, True]])
    (tmp_path / "fresh.json").write_text(json.dumps(data))
    report = import_corrections(run, tmp_path / "fresh.json", tmp_path / "out", tool, ImportOptions(by="cid"))
    assert (report.num_masks, report.num_untouched) == (1, 2)
    assert report.checked[0]["object_id"] == "id#1"
    coco = make_run(source_file(tmp_path), tmp_path / "run", "refine")
    # Object 8's mask was repaired but not accepted, so the file kept the given one: that is no correction.
    export_run(coco, "coco", tmp_path / "x.json", ExportOptions(frozenset({"5"})))
    edited = json.loads((tmp_path / "x.json").read_text())
    edited["annotations"][2]["segmentation"] = dict(encode_rle(RIGHT))
    (tmp_path / "x.json").write_text(json.dumps(edited))
    report = import_corrections(coco, tmp_path / "x.json", tmp_path / "out2", tool)
    assert [one["object_id"] for one in report.checked] == ["7"]
    assert report.num_untouched == 2


@pytest.mark.parametrize(("found", "accepted"), [(0.95, None), (0.0, frozenset({"7"}))])
def test_masks_that_the_export_left_alone_are_no_corrections(
    tmp_path: Path, found: float, accepted: frozenset[str] | None
) -> None:
    coco = make_run(source_file(tmp_path), tmp_path / "run", "annotate", found=found)
    export_run(coco, "coco", tmp_path / "x.json", ExportOptions(accepted))
    with pytest.raises(InputError, match="3 masks are as exported"):
        import_corrections(coco, tmp_path / "x.json", tmp_path / "out", tool)


def broken_entries(tasks: Any) -> None:
    set_mask(tasks, "id#1", RIGHT)
    good = json.loads(json.dumps(region(tasks, "id#1")))
    result = tasks[1]["annotations"][0]["result"]
    for number, change in enumerate(
        [
            {"id": "segagent.nobody"},
            {"id": "segagent.gone"},
            {"original_width": WIDTH + 1},
            {"image_rotation": 90},
            {"value": {"rle": "x"}},
            {"value": {"points": [[1, 2], ["a", 3]]}},
            {"type": "rectanglelabels"},
            {"original_height": None},
            {"id": "free", "meta": None},
        ]
    ):
        changed = {**json.loads(json.dumps(good)), "id": f"segagent.id%23{20 + number}", **change}
        result.append(changed)


def test_bad_entries_are_told_and_the_rest_goes_on(run: Run, tmp_path: Path) -> None:
    report = import_corrections(run, label_studio(run, tmp_path, broken_entries), tmp_path / "out", tool)
    # The shape with the id of an object of another picture is a new one here.
    assert (report.num_masks, report.kinds["added"]) == (4, 1)
    told = "\n".join(f"{one.where}: {one.reason}" for one in report.problems)
    for words in (
        "'nobody' is not an object of the run", "is for a picture of 33 x 24", "was rotated", "'original_height' must",
        "of type 'rectanglelabels' is no mask", "repeats another mask",
    ):  # fmt: skip
        assert words in told
    lines = [json.loads(line) for line in (tmp_path / "out" / "problems.jsonl").read_text().splitlines()]
    assert len(lines) == len(report.problems) == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"original_width": WIDTH + 1}, "is for a picture of 33 x 24"),
        ({"value": {"rle": [1, 2, 3], "brushlabels": ["disc"]}}, "ends in the middle"),
        ({"value": {"points": [[1, 2], [3, 4]]}}, "at least three points"),
        ({"value": {"points": [[1, 2], [3, 4], [5, 1e9]]}}, "far outside"),
        ({"value": 7}, "needs 'rle' or 'points'"),
    ],
)
def test_a_bad_mask_of_a_known_object(run: Run, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    file = label_studio(run, tmp_path, lambda tasks: region(tasks, "id#0").update(change))
    report = import_corrections(run, file, tmp_path / "out", tool)
    assert [one for one in report.problems if words in one.reason]
    assert report.num_masks == 2


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<annotations><image name="&b;" width="1" height="1"/></annotations>"""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "nonsense", "not valid JSON"),
        ("a.json", "7", "not a file of corrections"),
        ("a.json", "{}", "'images' must be"),
        ("a.json", "[]", "no mask that a person"),
        ("a.json", '[{"image": "x", "mask": 3}]', "not as JSON-MIN"),
        ("a.json", "[" * 100_000, "not valid JSON"),
        ("a.xml", BOMB, "document type or entities"),
        ("a.xml", "<annotations><image", "not valid XML"),
        ("a.xml", "<kml/>", "expected <annotations>"),
        ("a.xml", "<annotations><track/></annotations>", "holds tracks"),
        ("a.xml", "", "not valid XML"),
    ],
)
def test_bad_files_leave_nothing(run: Run, tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        import_corrections(run, tmp_path / name, tmp_path / "out", tool)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ('rle="1, 2" left="0" top="0" width="2" height="2"', "describes 3 pixels"),
        ('rle="99999999999" left="0" top="0" width="2" height="2"', "describes 99999999999"),
        ('rle="4" left="31" top="0" width="2" height="2"', "outside the picture"),
        ('rle="x" left="0" top="0" width="2" height="2"', "separated by commas"),
        ('rle="4" left="-1" top="0" width="2" height="2"', "'left' must be"),
        ('rle="4"', "'left' must be"),
    ],
)
def test_bad_cvat_masks(run: Run, tmp_path: Path, own: str, words: str) -> None:
    shape = f'<mask label="disc" {own}><attribute name="object_id">id#0</attribute></mask>'
    good = '<polygon label="the other" points="1,1;9,1;9,9"><attribute name="object_id">id#3</attribute></polygon>'
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    (tmp_path / "a.xml").write_text(f'<annotations><image name="a.png" {size}>{shape}{good}</image></annotations>')
    report = import_corrections(run, tmp_path / "a.xml", tmp_path / "out", tool)
    assert report.num_masks == 1
    assert words in report.problems[0].reason
