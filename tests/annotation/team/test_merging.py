"""Runs joined: nothing lost, nothing twice, nothing under another's name; people's records in order of time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from team_runs import block, coco_file, done, event, made, record, written

from segagent.annotation.batch import Only, Run, decide, open_run, summarise_run
from segagent.annotation.diff import sources
from segagent.annotation.interop.export import ExportOptions, export_run
from segagent.annotation.people import Event, read_events, stand, standings_of
from segagent.annotation.review import write_review
from segagent.annotation.team import agreement_of, merge_runs, only_these
from segagent.core import InputError, encode_rle
from segagent.core.failures import Failure
from segagent.datasets import open_dataset
from segagent.runs.journal import Journal

OBJECTS = [(1, "a.png", "cat"), (2, "a.png", "dog"), (3, "b.png", "dog"), (4, "c.png", "cat"), (5, "c.png", "a b")]


def records_of(run: Run) -> dict[str, dict]:
    found = {(one.sample_id if isinstance(one, Failure) else one.object_id): one.to_dict() for one in run.records()}
    assert len(found) == len(list(run.records()))
    return found


@given(st.lists(st.integers(0, 2), min_size=5, max_size=5))
@settings(max_examples=12)
def test_parts_of_one_data_set_are_the_whole_again(part_of: list[int]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = coco_file(folder, OBJECTS)
        whole = made(file, folder / "whole")
        parts = []
        for part in sorted(set(part_of)):
            chosen = [f"id={one[0]}" for one, of in zip(OBJECTS, part_of, strict=True) if of == part]
            parts.append(made(file, folder / f"part{part}", only=Only.parse(chosen)).folder)
        if len(parts) < 2:
            with pytest.raises(InputError, match="two runs"):
                merge_runs(parts, folder / "out")
            return
        merged = merge_runs(parts, folder / "out")
        assert records_of(merged.run) == records_of(whole)
        assert not merged.renamed
        assert not merged.run.made_of_some
        assert merged.run.num_images_left() == 0
        assert merged.run.num_images == whole.num_images
        assert merged.run.costs()["policy_calls"] == whole.costs()["policy_calls"]
        for run, out in ((whole, "w.json"), (merged.run, "m.json")):
            export_run(run, "coco", folder / out)
        assert (folder / "w.json").read_bytes() == (folder / "m.json").read_bytes()


def test_several_data_sets_with_the_same_ids_and_names(tmp_path: Path) -> None:
    first = made(coco_file(tmp_path / "mon", OBJECTS[:3]), tmp_path / "run" / "day")
    second = made(
        coco_file(tmp_path / "tue", OBJECTS[1:], categories=["a b", "cat", "dog", "eel"]), tmp_path / "other" / "day"
    )
    merged = merge_runs([first.folder, second.folder], tmp_path / "out")
    assert merged.renamed
    assert merged.classes == ("cat", "dog", "a b", "eel")
    assert merged.num_objects == 7
    assert list(records_of(merged.run)) == ["day/1", "day/2", "day/3", "day_2/2", "day_2/3", "day_2/4", "day_2/5"]
    dataset = merged.run.dataset()
    assert [sample.sample_id for sample in dataset] == list(records_of(merged.run))
    assert [group.image_name for group in dataset.groups()] == [
        "day/a.png",
        "day/b.png",
        "day_2/a.png",
        "day_2/b.png",
        "day_2/c.png",
    ]
    for sample in dataset:
        mask, _ = sample.load_target(sample.load_image())
        assert (mask == block(int(sample.sample_id.partition("/")[2]))).all()
    assert dataset.load_image("day_2/c.png").height
    assert open_dataset(dataset.spec).fingerprint == dataset.fingerprint
    # Everything that opens a run opens this one.
    assert write_review(merged.run, tmp_path / "page").result["without_picture"] == 0
    assert summarise_run(merged.run)["images"] == 5
    assert sources.open_source(merged.run.folder).problems == []
    for kind in ("coco", "cvat", "label-studio", "yolo-seg", "masks"):
        export_run(merged.run, kind, tmp_path / f"out-{kind}")
    content = json.loads((tmp_path / "out-coco").read_text())
    assert [one["name"] for one in content["categories"]] == list(merged.classes)
    assert [one["file_name"] for one in content["images"]] == [group.image_name for group in dataset.groups()]
    # COCO files joined are one COCO file, with all that they say.
    written_ = {one["segagent"]["object_id"]: one for one in content["annotations"]}
    assert list(written_) == list(records_of(merged.run))
    assert [one["id"] for one in content["annotations"]] == [1, 2, 3, 4, 5, 6, 7]
    for sample in dataset:
        one = written_[sample.sample_id]
        number = int(sample.sample_id.partition("/")[2])
        assert one["note"] == f"n\u00e9 {number}"
        assert one["segmentation"] == encode_rle(block(number))
        assert content["categories"][one["category_id"] - 1]["name"] == sample.category
        assert content["images"][one["image_id"] - 1]["file_name"] == sample.image_name
    assert only_these(merged.run, Only.parse(["image=day_2/*", "category=dog"])).chosen == {"day_2/2", "day_2/3"}


def test_what_people_did_arrives_in_the_joined_file(tmp_path: Path) -> None:
    runs = [made(coco_file(tmp_path / name, OBJECTS[:3]), tmp_path / f"run-{name}") for name in "xy"]
    drawn, added = encode_rle(block(55)), encode_rle(block(66))
    done(
        runs[1],
        [
            event("stroke", "1", mask=drawn),
            event("removed", "2"),
            event("relabelled", "3", label="eel", was="dog", image="b.png"),
            event("added", "added-1", mask=added, label="cat", text="cat", image="b.png"),
        ],
    )
    merged = merge_runs([run.folder for run in runs], tmp_path / "out")
    export_run(merged.run, "coco", tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    of = {one["segagent"]["object_id"]: one for one in content["annotations"]}
    assert set(of) == {"run-x/1", "run-x/2", "run-x/3", "run-y/1", "run-y/3", "run-y/added-1"}
    assert of["run-y/1"]["segmentation"] == drawn
    assert of["run-y/1"]["note"] == "n\u00e9 1"
    assert of["run-x/1"]["segmentation"] == encode_rle(block(1))
    names = {one["id"]: one["name"] for one in content["categories"]}
    assert names[of["run-y/3"]["category_id"]] == "eel"
    assert of["run-y/added-1"]["segmentation"] == added
    pictures = {one["id"]: one["file_name"] for one in content["images"]}
    assert pictures[of["run-y/added-1"]["image_id"]] == "run-y/b.png"
    with pytest.raises(InputError, match="never replaced"):
        export_run(merged.run, "coco", tmp_path / "x" / "coco.json", ExportOptions(force=True))
    # Of a choice the others stay as they are.
    some = only_these(merged.run, Only.parse(["id=run-y/1"]))
    export_run(some, "coco", tmp_path / "some.json")
    told = {
        one["id"]: one.get("segagent", {}).get("object_id")
        for one in json.loads((tmp_path / "some.json").read_text())["annotations"]
    }
    assert told == {1: None, 2: None, 3: None, 4: "run-y/1", 5: None, 6: None}


def test_data_sets_of_the_same_pictures_share_them(tmp_path: Path) -> None:
    cats = made(coco_file(tmp_path, [(1, "a.png", "cat"), (4, "b.png", "cat")], name="cats.json"), tmp_path / "cats")
    dogs = made(coco_file(tmp_path, [(7, "c.png", "dog"), (8, "b.png", "dog")], name="dogs.json"), tmp_path / "dogs")
    merged = merge_runs([cats.folder, dogs.folder], tmp_path / "out")
    assert not merged.renamed
    assert [group.image_name for group in merged.run.dataset().groups()] == ["a.png", "b.png", "c.png"]
    assert list(records_of(merged.run)) == ["1", "4", "8", "7"]
    assert merged.run.num_images == 3


def test_a_joined_run_is_joined_again(tmp_path: Path) -> None:
    runs = [made(coco_file(tmp_path / name, OBJECTS[:2]), tmp_path / f"run-{name}").folder for name in ("x", "y", "z")]
    two = merge_runs(runs[:2], tmp_path / "two")
    three = merge_runs([two.run.folder, runs[2]], tmp_path / "three")
    assert list(records_of(three.run)) == ["run-x/1", "run-x/2", "run-y/1", "run-y/2", "1", "2"]
    for sample in three.run.dataset():
        mask, _ = sample.load_target(sample.load_image())
        assert (mask == block(int(sample.sample_id.rpartition("/")[2]))).all()


def test_a_joined_run_is_not_gone_on_with_and_not_replaced(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    parts = [made(file, tmp_path / one, only=Only.parse([f"category={one}"])).folder for one in ("cat", "dog")]
    merged = merge_runs(parts, tmp_path / "out")
    assert merged.run.made_of_some
    assert "category=cat or category=dog" in summarise_run(merged.run)["only"]
    with pytest.raises(InputError, match="other settings"):
        made(file, tmp_path / "out")
    with pytest.raises(InputError, match="exists"):
        merge_runs(parts, tmp_path / "out")
    again = merge_runs(parts, tmp_path / "out", force=True)
    done(again.run, [event("verdict", "1", verdict="ok")])
    with pytest.raises(InputError, match="people have done something to it since"):
        merge_runs(parts, tmp_path / "out", force=True)
    assert [one.verdict for one in read_events(again.run)] == ["ok"]
    with pytest.raises(InputError, match="no export wrote"):
        merge_runs(parts, parts[0], force=True)
    with pytest.raises(InputError, match="each given once"):
        merge_runs([parts[0], parts[0]], tmp_path / "twice")


def test_different_answers_are_told_and_decided(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    first = written(tmp_path / "first", file, [record("1", number=1), record("2"), Failure("3", "b.png", "gone")])
    second = written(tmp_path / "second", file, [record("1", number=2), record("2"), record("3", "b.png", number=3)])
    with pytest.raises(InputError, match=r"'1' in .*first and .*second.*--keep"):
        merge_runs([first.folder, second.folder], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for keep, number in (("first", 1), ("last", 2)):
        merged = merge_runs([first.folder, second.folder], tmp_path / f"keep-{keep}", keep=keep)
        masks = {one.object_id: one.mask for one in merged.run.objects()}
        assert (masks["1"] == block(number)).all()
        assert (masks["3"] == block(3)).all()  # An answer goes before a failure.
        assert merged.num_twice == 3
        assert merged.num_failed == 0
        assert any("gave way" in line for line in merged.warnings)
    # People's work goes before what nobody has looked at, whoever is named last.
    done(first, [event("verdict", "1", verdict="ok")])
    merged = merge_runs([first.folder, second.folder], tmp_path / "people", keep="last")
    assert (next(one for one in merged.run.objects() if one.object_id == "1").mask == block(1)).all()
    assert [one.verdict for one in read_events(merged.run)] == ["ok"]


def test_what_cannot_be_joined(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    first = written(tmp_path / "first", file, [record("1")])
    others = {
        "job 'refine'|job": {"job": "refine"},
        "policy": {"policy": "another"},
        "calibration has changed": {"calibration": {"predicted": [0.0, 1.0], "expected": [0.0, 0.5]}},
    }
    for number, (words, settings_) in enumerate(others.items()):
        other = written(tmp_path / f"other{number}", file, [record("2")], **settings_)
        with pytest.raises(InputError, match=words):
            merge_runs([first.folder, other.folder], tmp_path / "out")
    other = written(tmp_path / "seeded", file, [record("2")], seed=4, guidelines="rules")
    merged = merge_runs([first.folder, other.folder], tmp_path / "out")
    assert "seed null, now 4" in merged.warnings[0]
    assert "guidelines" not in merged.run.config
    bats = [{"name": "bat", "supercategory": "animal"}]
    animals = written(
        tmp_path / "x", coco_file(tmp_path / "animals", [(1, "a.png", "bat")], categories=bats), [record("1")]
    )
    bats = [{"name": "bat", "supercategory": "sports"}]
    sports = written(
        tmp_path / "y", coco_file(tmp_path / "sports", [(1, "a.png", "bat")], categories=bats), [record("1")]
    )
    with pytest.raises(InputError, match=r"different classes by one name.*'bat' \('animal' and 'sports'\)"):
        merge_runs([animals.folder, sports.folder], tmp_path / "bats")
    spelled = written(
        tmp_path / "z", coco_file(tmp_path / "spelled", [(9, "z.png", "A_B")], categories=["A_B"]), [record("9")]
    )
    told = merge_runs([first.folder, spelled.folder], tmp_path / "alike").warnings
    assert any("'a b' and 'A_B'" in line for line in told)
    file.unlink()
    with pytest.raises(InputError, match=r"coco.json"):
        merge_runs([first.folder, other.folder], tmp_path / "lost")


def test_joined_data_sets_import_nothing() -> None:
    part = {"name": "a", "dataset": "python:os:getcwd", "ids": "", "images": ""}
    with pytest.raises(InputError, match="not imported"):
        open_dataset(f"joined:{json.dumps([part])}")
    for odd in ("joined:[]", "joined:[1]", 'joined:[{"name": 1}]', 'joined:[{"name": "a", "dataset": "joined:[]"}]'):
        with pytest.raises(InputError, match="joined"):
            open_dataset(odd)


KINDS = st.sampled_from(["click", "verdict", "undo", "redo", "removed", "restored", "relabelled", "note"])
DOINGS = st.lists(
    st.tuples(
        KINDS, st.sampled_from("123"), st.sampled_from(["ann", "ben"]), st.none() | st.integers(0, 90), st.booleans()
    ),
    max_size=12,
)


def events_of(doings, run_number: int) -> list[Event]:
    made_: list[Event] = []
    for number, (kind, object_id, by, minute, looked) in enumerate(doings, 1):
        last = max((n for n, one in enumerate(made_, 1) if one.object_id == object_id), default=0)
        more = {"seen": last if looked else 0, "request": f"{run_number}-{number}"}
        more |= {"mask": encode_rle(block(number))} if kind == "click" else {}
        more |= {"verdict": "ok"} if kind == "verdict" else {}
        more |= {"label": f"label {number}"} if kind == "relabelled" else {}
        more |= {"text": f"note {number}"} if kind == "note" else {}
        made_.append(event(kind, object_id, by, minute, **more))
    return made_


def bare(one):
    """A standing without the numbers of its events."""
    moments = [replace(moment, number=0, drawn=None, judged=None, named=None) for moment in one.moments]
    return moments, one.place, one.notes, one.by, one.when, one.people, len(one.contested)


@given(st.lists(DOINGS, min_size=2, max_size=3))
@settings(max_examples=30)
def test_peoples_records_are_joined_and_every_object_stands_as_it_stood(all_doings) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        runs = []
        for number, doings in enumerate(all_doings):
            file = coco_file(folder / f"d{number}", OBJECTS[:3])
            run = written(folder / f"run{number}", file, [record(one) for one in "123"])
            runs.append(done(run, events_of(doings, number)) if doings else run)
        merged = merge_runs([run.folder for run in runs], folder / "out")
        events = list(read_events(merged.run))
        assert [one.number for one in events] == list(range(1, len(events) + 1))
        assert len(events) == merged.num_events == sum(map(len, all_doings))
        assert len({one.request for one in events}) == len(events)
        standings = standings_of(merged.run)
        for run in runs:
            for object_id, one in standings_of(run).items():
                assert bare(standings.pop(f"{run.folder.name}/{object_id}")) == bare(one)
        assert not standings


@given(DOINGS, DOINGS, st.integers(0, 12))
@settings(max_examples=30)
def test_one_object_in_two_runs_the_last_word_counts_and_copies_count_once(common, later, cut) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = coco_file(folder, OBJECTS[:3])
        runs = [written(folder / one, file, [record(one) for one in "123"]) for one in ("first", "copy")]
        before = events_of([(kind, name_, by, 1, looked) for kind, name_, by, _, looked in common], 0)
        after = [
            replace(one, request=f"x{one.request}", when="2026-03-02T00:00:00Z", seen=None)
            for one in events_of(later, 1)
        ]
        done(runs[0], before[:cut]) if before[:cut] else None
        done(runs[1], [*before, *after]) if before or after else None
        merged = merge_runs([run.folder for run in runs], folder / "out")
        # One is the other's beginning: nothing is twice, and everything stands as in the longer one.
        assert merged.num_events == len(before) + len(after)
        told = standings_of(merged.run)
        assert {key: bare(one)[:3] for key, one in told.items()} == {
            key: bare(one)[:3] for key, one in stand(read_events(runs[1])).items()
        }


def test_events_come_in_the_order_of_time_and_the_later_word_holds(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    first = written(tmp_path / "first", file, [record("1"), record("2")])
    second = written(tmp_path / "second", file, [record("1"), record("3", "b.png")])
    done(first, [event("verdict", "1", "ann", 30, verdict="ok"), event("removed", "2", "ann", 5)])
    done(
        second,
        [
            event("note", "3", "ben", None, text="no time"),
            event("verdict", "1", "ben", 10, verdict="wrong"),
            event("undo", "1", "ben", 40),
            event("verdict", "1", "ben", 50, verdict="absent", seen=3),
        ],
    )
    merged = merge_runs([first.folder, second.folder], tmp_path / "out")
    told = [(one.object_id, one.by, one.kind, one.number, one.seen) for one in read_events(merged.run)]
    assert told == [
        ("2", "ann", "removed", 1, None),
        ("3", "ben", "note", 2, None),
        ("1", "ann", "verdict", 3, None),
        ("1", "ben", "verdict", 4, None),
        ("1", "ben", "undo", 5, None),
        ("1", "ben", "verdict", 6, 0),  # He had seen his own work alone.
    ]
    assert standings_of(merged.run)["1"].now.verdict == "absent"
    assert any("worked on in several" in line for line in merged.warnings)


def test_people_at_copies_of_a_run_have_not_seen_each_other(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    runs = [written(tmp_path / who, file, [record(one) for one in "123"]) for who in ("ann", "ben", "cy")]
    for minute, (who, run) in enumerate(zip(("ann", "ben"), runs, strict=False)):
        drawn = encode_rle(block(20 + minute))
        done(run, [event("click", "1", who, minute, mask=drawn, seen=0, request=f"{who}1")])
        done(run, [event("verdict", "1", who, minute, verdict="ok", seen=1, request=f"{who}2")])
    done(
        runs[2],
        [event("verdict", "2", "ann", 9, verdict="ok", seen=0), event("verdict", "2", "cy", 9, verdict="ok", seen=1)],
    )
    done(runs[0], [event("verdict", "2", "ann", 1, verdict="wrong", seen=0)])
    found = agreement_of(merge_runs([run.folder for run in runs], tmp_path / "out").run)
    one, other = block(20), block(21)
    (compared,) = found.compared
    assert compared.people == ("ann", "ben")
    assert compared.iou == pytest.approx((one & other).sum() / (one | other).sum())
    assert found.num_after == 1  # Cy's, who had seen Ann's in one and the same run.


def test_an_unfinished_run_stays_unfinished(tmp_path: Path) -> None:
    first = written(tmp_path / "x", coco_file(tmp_path / "mon", OBJECTS), [record("1")], num_images=4)
    second = written(tmp_path / "y", coco_file(tmp_path / "tue", OBJECTS), [record("1"), record("2")], num_images=3)
    merged = merge_runs([first.folder, second.folder], tmp_path / "out")
    assert merged.run.num_images_left() == first.num_images_left() + second.num_images_left() == 4


def test_a_retried_object_is_taken_once(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    first = written(tmp_path / "x", file, [Failure("1", "a.png", "gone"), record("4", "c.png")], num_images=2)
    with Journal(first.folder / "journal.jsonl", first.config, first.notes) as journal:
        journal.append(2, [record("1", number=8).to_dict()])
    second = written(tmp_path / "y", file, [record("3", "b.png")])
    merged = merge_runs([first.folder, second.folder], tmp_path / "out")
    assert merged.num_failed == 0
    assert (next(one for one in merged.run.objects() if one.object_id == "1").mask == block(8)).all()


def test_the_calibration_goes_along(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    runs = [written(tmp_path / name, file, [record(name, predicted=0.9)]) for name in "12"]
    checks = tmp_path / "checked.json"
    checks.write_text(json.dumps([{"object_id": name, "verdict": "ok"} for name in "12"]))
    merged = merge_runs([run.folder for run in runs], tmp_path / "out")
    assert decide(merged.run, 0.5, checked=checks).accepted == ("1", "2")
    (runs[1].folder / "calibration.json").write_text("{}")
    assert (
        merge_runs([run.folder for run in runs], tmp_path / "again").run.folder / "calibration.json"
    ).read_text() == "{}"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from segagent.cli.main import main

    runs = [str(made(coco_file(tmp_path / name, OBJECTS[:2]), tmp_path / f"run-{name}").folder) for name in "xy"]
    assert main(["merge", *runs, "-o", str(tmp_path / "out")]) == 0
    assert "4 objects of 2 runs" in capsys.readouterr().out
    assert main(["merge", *runs, "-o", str(tmp_path / "out2"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_objects"] == 4
    assert main(["merge", runs[0], "-o", str(tmp_path / "out3")]) == 2
    assert main(["merge", *runs, "-o", str(tmp_path / "out4"), "--keep", "both"]) == 2
    assert open_run(tmp_path / "out").job == "audit"
