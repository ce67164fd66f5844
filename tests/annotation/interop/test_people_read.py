"""What reads a run reads people's record: acceptance, summaries, work lists, every export."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from edited_runs import big_source, hand_run, happened, person, source_masks
from interop_runs import HEIGHT, WIDTH, disc

from segagent.annotation.batch import Run, decide, summarise_run
from segagent.annotation.interop import ExportOptions, export_run
from segagent.annotation.review import write_review
from segagent.cli.main import main
from segagent.core import InputError, encode_rle, iou
from segagent.datasets import FolderDataset, open_dataset
from segagent.runs.journal import Journal

MINE = disc(20, 12, 7)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """5 failed, 17 not found, 20 and 1000 audited with a predicted IoU of 0.5."""
    return hand_run(tmp_path / "run", big_source(tmp_path / "data"), {"5": "failed", "17": "not_found"})


def audited(tmp_path: Path) -> Run:
    return hand_run(tmp_path / "all", big_source(tmp_path / "data2"))


def mine(kind: str, one: str, **more: object):
    return person(kind, one, mask=encode_rle(MINE), **more)


CASES = {
    "nothing": ([], None, None),
    "skip": ([person("verdict", "20", verdict="skip")], None, None),
    "unsure": ([person("verdict", "20", verdict="unsure")], None, None),
    "ok": ([person("verdict", "20", verdict="ok")], True, True),
    "wrong": ([person("verdict", "20", verdict="wrong")], False, False),
    "changed": ([mine("stroke", "20")], True, "iou"),
    "changed, unsure": ([mine("stroke", "20"), person("verdict", "20", verdict="unsure")], True, "iou"),
    "changed, wrong": ([mine("stroke", "20"), person("verdict", "20", verdict="wrong")], False, None),
    "changed, undone": ([mine("stroke", "20"), person("undo", "20")], None, None),
    "policy's": ([mine("agent", "20", policy="p")], False, None),
    "policy's, ok": ([mine("agent", "20", policy="p"), person("verdict", "20", verdict="ok")], True, "iou"),
    "absent": ([person("verdict", "20", verdict="absent")], "gone", False),
    "removed": ([person("removed", "20")], "gone", False),
    "relabelled": ([person("relabelled", "20", label="mug")], None, None),
    "relabelled, ok": ([person("relabelled", "20", label="mug"), person("verdict", "20", verdict="ok")], True, None),
}
"""What is done to 20; whether it is accepted, None: the run decides; what it tells of the run's mask."""


@pytest.mark.parametrize("case", CASES)
def test_what_a_standing_means_to_acceptance(run: Run, case: str) -> None:
    events, accepted, check = CASES[case]
    # Somebody's word on another mask, so that there is something to decide by: such masks are wrong.
    happened(run, person("verdict", "1000", verdict="wrong"), *events)
    found = decide(run, 0.9)
    assert found.num_checked == 1 + (check is not None)
    assert ("20" in found.accepted) == (accepted is True)
    assert ("20" in found.to_see) == (accepted in (None, False))
    assert "1000" in found.to_see
    assert "17" in found.to_see
    assert "5" not in (*found.accepted, *found.to_see)
    assert any("came to while they worked" in line for line in found.warnings)


def test_masks_of_people_for_what_the_run_has_none_of(run: Run) -> None:
    happened(
        run,
        person("verdict", "1000", verdict="wrong"),
        mine("polygon", "5"),
        mine("polygon", "17"),
        person("added", "new", image="none.png", label="cat"),
    )
    assert decide(run, 0.9).accepted == ("5", "17")
    happened(run, mine("click", "new", image="none.png"))
    found = decide(run, 0.9)
    assert (found.accepted, found.to_see) == (("5", "17", "new"), ("1000", "20"))
    assert (found.expected_bad, found.expected_iou) == (0, 1)


def test_that_nothing_is_there_may_be_right(run: Run) -> None:
    happened(run, person("verdict", "17", verdict="ok"), person("verdict", "1000", verdict="wrong"))
    assert decide(run, 0.9).to_see == ("1000", "20")


def test_a_drawn_sample_is_none_that_people_came_to(run: Run) -> None:
    happened(run, person("verdict", "1000", verdict="wrong", did={"num": 50, "seed": 0}))
    assert not any("came to" in line for line in decide(run, 0.9).warnings)


def test_checks_of_people_go_before_a_file(run: Run, tmp_path: Path) -> None:
    checked = [{"object_id": "20", "verdict": "ok"}, {"object_id": "1000", "verdict": "ok"}]
    (tmp_path / "checked.json").write_text(json.dumps(checked))
    happened(run, person("verdict", "20", verdict="wrong"))
    found = decide(run, 0.1, checked=tmp_path / "checked.json")
    assert (found.num_checked, found.accepted, found.to_see) == (2, ("1000",), ("20", "17"))


def test_nothing_to_decide_by_is_told(run: Run) -> None:
    with pytest.raises(InputError, match="holds no masks"):
        decide(run, 0.9)


def test_the_summary_counts_what_people_did(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert "people" not in summarise_run(run)
    happened(
        run,
        person("verdict", "20", verdict="ok"),
        person("relabelled", "1000", by="bob", label="wolf", seen=0),
        mine("stroke", "1000", by="bob"),
        person("verdict", "17", verdict="unsure", seen=0),
        person("note", "17", text="dark", by="bob", seen=0),
        mine("added", "new", image="none.png", label="cat"),
        person("removed", "5"),
    )
    told = summarise_run(run)["people"]
    assert told == {
        "events": 7, "people": {"ann": 4, "bob": 2}, "notes": 1,
        "verdicts": {"ok": 1, "wrong": 0, "absent": 0, "unsure": 1, "skip": 0},
        "confirmed": 1, "wrong": 0, "corrected": 1, "taken": 0, "added": 1, "removed": 1, "relabelled": 1,
        "rephrased": 0, "contested": 1, "remaining": 1,
    }  # fmt: skip
    assert main(["summary", str(run.folder)]) == 0
    lines = capsys.readouterr().out
    assert "people: 1 confirmed, 1 corrected, 1 added, 1 removed, 1 relabelled; by ann (4), bob (2)" in lines
    assert "not decided on: 1, 1 of them unsure; 1 contested" in lines


@pytest.mark.parametrize("kind", ["coco", "label-studio", "cvat", "yolo-seg", "masks", "parquet"])
def test_every_format_holds_what_people_left(tmp_path: Path, run: Run, kind: str) -> None:
    happened(
        run,
        mine("stroke", "5"),
        mine("stroke", "17"),
        person("relabelled", "20", label="wolf"),
        person("removed", "1000"),
        mine("added", "new", image="none.png", label="cat"),
        person("added", "begun", image="none.png", label="cat"),
    )
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    report = export_run(run, kind, out)
    assert report.written == {"corrected": 2, "audited": 1, "added": 1}
    assert ([one.object_id for one in report.removed], report.without) == (["1000"], [])
    side = out / "removed.json" if out.is_dir() else tmp_path / "out.removed.json"
    (gone,) = json.loads(side.read_text())["removed"]
    assert (gone["object_id"], gone["reason"], gone["by"], gone["label"]) == ("1000", "removed", "ann", "mug")
    if kind == "parquet":
        read = list(open_dataset(f"parquet:{out}"))
        assert [one.category for one in read] == ["dog", "cat", "wolf", "cat"]
        assert (read[0].load_target()[0] == MINE).all()
        return
    text = out.read_text() if out.is_file() else "".join(p.read_text() for p in out.rglob("*.jsonl"))
    if kind == "masks":
        samples = {one.sample_id: one for one in FolderDataset(out)}
        assert {name: (one.category, one.text) for name, one in samples.items()} == {
            "5": ("dog", "dog"), "17": ("cat", "cat"), "20": ("wolf", "wolf"), "new": ("cat", "cat"),
        }  # fmt: skip
        assert (samples["new"].load_target()[0] == MINE).all()
        text = (out / "manifest.json").read_text()
    assert text.count("corrected") >= 2
    assert "1000" not in text or kind == "coco"
    again = tmp_path / "again"
    export_run(run, kind, again)
    if out.is_file():
        assert again.read_bytes() == out.read_bytes()
    # An earlier list of what was removed is replaced with the export.
    happened(run, person("restored", "1000"))
    export_run(run, kind, out, ExportOptions(force=True))
    assert json.loads(side.read_text())["removed"] == []


def test_only_accepted_and_wrong_ones(tmp_path: Path) -> None:
    run = audited(tmp_path)
    happened(
        run,
        mine("stroke", "5"),
        person("verdict", "17", verdict="ok"),
        person("verdict", "20", verdict="wrong"),
        mine("stroke", "1000"),
        person("verdict", "1000", verdict="wrong"),
        mine("added", "new", image="none.png", label="cat"),
        mine("added", "words", image="none.png", label="fog", policy="p"),
    )
    accepted = frozenset(decide(run, 0.9).accepted)
    assert accepted == {"5", "17", "new"}
    export_run(run, "coco", tmp_path / "x.json", ExportOptions(accepted, only_accepted=True))
    data = json.loads((tmp_path / "x.json").read_text())
    assert [one["id"] for one in data["annotations"]] == [5, 6, 17, 1001]
    # A class that only a mask has that is left out is not added.
    assert [one["name"] for one in data["categories"]] == ["dog", "mug", "cat"]
    export_run(run, "coco", tmp_path / "y.json", ExportOptions(accepted))
    entries = {one["id"]: one for one in json.loads((tmp_path / "y.json").read_text())["annotations"]}
    assert entries[1000]["segagent"]["proposal"]["segmentation"] == encode_rle(MINE)
    assert entries[1000]["segmentation"] == encode_rle(disc(22, 12, 6))
    assert [entries[n]["segagent"]["accepted"] for n in (5, 17, 20, 1000, 1001, 1002)] == [
        True, True, False, False, True, False,
    ]  # fmt: skip
    assert [entries[n]["segagent"]["made_by"] for n in (5, 17, 20, 1001, 1002)] == [
        "person", "person", "given", "person", "model",
    ]  # fmt: skip


def test_a_repaired_mask_that_a_person_calls_wrong_takes_no_place(tmp_path: Path) -> None:
    run = hand_run(tmp_path / "run", big_source(tmp_path / "data"), dict.fromkeys(("5", "20"), "repaired"), "refine")
    happened(
        run,
        person("verdict", "5", verdict="wrong"),
        person(
            "take", "20", did={"take": "given"}, mask=encode_rle(source_masks(tmp_path / "data" / "coco.json")["20"])
        ),
    )
    export_run(run, "coco", tmp_path / "x.json")
    entries = {one["id"]: one for one in json.loads((tmp_path / "x.json").read_text())["annotations"]}
    before = {one["id"]: one for one in json.loads((tmp_path / "data" / "coco.json").read_text())["annotations"]}
    for one in (5, 20):
        assert entries[one]["segmentation"] == before[one]["segmentation"]
        assert "replaced" not in entries[one]["segagent"]
    assert "proposal" in entries[5]["segagent"]
    assert iou(source_masks(tmp_path / "x.json")["20"], disc(8, 8, 5)) == 1
    assert entries[20]["segagent"]["made_by"] == "person"
    assert (HEIGHT, WIDTH) == (24, 32)


def test_the_work_list_says_how_objects_stand(run: Run, tmp_path: Path) -> None:
    happened(
        run,
        mine("stroke", "20"),
        person("relabelled", "20", by="<b>bob", label='"><script>'),
        person("verdict", "1000", verdict="unsure"),
        person("removed", "5"),
        mine("added", "new", image="none.png", label="cat"),
        person("note", "17", text="dark"),
    )
    write_review(run, tmp_path / "page")
    listed = {one["object_id"]: one for one in json.loads((tmp_path / "page" / "worklist.json").read_text())["objects"]}
    assert {name: (one["standing"], one["by"]) for name, one in listed.items()} == {
        "5": ("removed", "ann"), "17": ("", ""), "20": ('corrected, class "><script>', "<b>bob"),
        "1000": ("unsure", "ann"), "new": ("added", "ann"),
    }  # fmt: skip
    assert [one["outcome"] for one in listed.values()][-1] == "added"
    with (tmp_path / "page" / "worklist.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["standing"] for row in rows] == [one["standing"] for one in listed.values()]
    page = (tmp_path / "page" / "index.html").read_text()
    assert "unsure (by ann)" in page
    assert "by &lt;b&gt;bob" in page
    assert 'class "><script>' not in page


def test_an_object_that_is_tried_again_later_keeps_what_people_drew(run: Run, tmp_path: Path) -> None:
    happened(run, mine("polygon", "5"))
    records = {one.object_id: one for one in audited(tmp_path).objects()}
    with Journal(run.folder / "journal.jsonl", run.config, run.notes) as journal:
        journal.append(run.num_images, [records["5"].to_dict()])
    report = export_run(run, "coco", tmp_path / "x.json")
    assert report.written == {"corrected": 1, "audited": 2}
    entries = {one["id"]: one for one in json.loads((tmp_path / "x.json").read_text())["annotations"]}
    assert entries[5]["segmentation"] == encode_rle(MINE)
    assert entries[5]["segagent"]["instead_of"]["outcome"] == "audited"


def test_the_record_of_another_run_is_refused(run: Run, tmp_path: Path) -> None:
    happened(run, person("removed", "20"))
    changed = Run(run.folder, {**run.config, "job": "refine"}, run.notes)
    with pytest.raises(InputError, match="about another run"):
        export_run(changed, "coco", tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


def test_events_about_an_object_that_is_nowhere_are_told(run: Run, tmp_path: Path) -> None:
    happened(run, person("removed", "77"))
    with pytest.raises(InputError, match=r"people\.jsonl: tells of object '77', which is not in"):
        export_run(run, "coco", tmp_path / "x.json")


def test_a_record_torn_at_its_end_is_read_up_to_there(run: Run, tmp_path: Path) -> None:
    happened(run, mine("stroke", "20"), person("removed", "1000"))
    path = run.folder / "people.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    report = export_run(run, "coco", tmp_path / "x.json")
    assert (report.written["corrected"], report.removed) == (1, [])
