"""``--only``: what it takes, in runs, in what is read of them, and in exports."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from team_runs import block, coco_file, done, event, made, record, written

from segagent.annotation.batch import Only, RunConfig, decide, open_run, run_job, summarise_run
from segagent.annotation.batch.choosing import ChosenDataset
from segagent.annotation.diff import sources
from segagent.annotation.interop.export import ExportOptions, export_run
from segagent.annotation.interop.json_spans import read_objects
from segagent.annotation.review import write_review
from segagent.annotation.team import only_these, split_run
from segagent.core import InputError, encode_rle
from segagent.core.failures import Failure
from segagent.datasets import open_dataset
from segagent.policies import CentrePolicy
from segagent.runs.journal import read_journal
from segagent.search import SearchConfig

OBJECTS = [
    (1, "a.png", "cat"),
    (2, "a.png", "dog"),
    (3, "day1/b.png", "dog"),
    (4, "day1/b.png", "a b"),
    (5, "day2/a.png", "cat"),
]


def ids(run) -> list[str]:
    return list(run.ids())


@pytest.mark.parametrize(
    ("conditions", "chosen"),
    [
        ([], "12345"),
        (["image=a.png"], "125"),  # Of any folder, as its last part.
        (["image=day1/*"], "34"),
        (["image=day?/*", "category=dog"], "3"),
        (["category=dog", "category=a b"], "234"),
        (["id=1", "id=4", "category=cat"], "1"),
        (["id=1,id=4, category=cat"], "1"),
        (["image=day2/a.png", "image=day1/b.png", "id=5", "id=2"], "5"),
    ],
)
def test_any_of_a_kind_and_all_kinds(conditions: list[str], chosen: str, tmp_path: Path) -> None:
    only = Only.parse(conditions)
    dataset = open_dataset(str(coco_file(tmp_path, OBJECTS)))
    assert "".join(s.sample_id for s in dataset if only.takes(s.sample_id, s.image_name, s.category)) == chosen
    run = made(dataset.spec, tmp_path / "run")
    assert "".join(ids(only_these(run, only))) == chosen
    if conditions:
        assert "".join(s.sample_id for s in ChosenDataset(dataset, only)) == chosen


def test_a_comma_that_no_condition_follows_is_a_names_own() -> None:
    assert Only.parse(["image=a,b.png,doubtful"]) == Only.parse(["doubtful", "image=a,b.png"])
    assert Only.parse(["category=cup, doubtful ones"]).categories == {"cup, doubtful ones"}


def test_a_name_is_itself_before_it_is_a_pattern() -> None:
    only = Only.parse(["image=shot[1].png"])
    assert only.takes("1", "shot[1].png", None)
    assert only.takes("1", "shot1.png", None)
    assert not only.takes("1", "shot2.png", None)


@pytest.mark.parametrize(
    "condition", ["", "dog", "image", "image=", "colour=red", "doubtful=1", "id=@nowhere", "image=."]
)
def test_anything_else_is_refused(condition: str) -> None:
    with pytest.raises(InputError, match=r"only|nowhere"):
        Only.parse([condition])


def test_ids_come_from_a_list_or_a_work_list(tmp_path: Path) -> None:
    run = made(coco_file(tmp_path, OBJECTS), tmp_path / "run")
    write_review(only_these(run, Only.parse(["doubtful"])), tmp_path / "todo", most=0)
    (tmp_path / "ids.txt").write_text("2\r\n\r\n  3 \n")
    for file in ("ids.txt", "todo/worklist.json"):
        assert ids(only_these(run, Only.parse([f"id=@{tmp_path / file}"]))) == ["2", "3"]
    for name, content in (("empty.txt", "\n"), ("odd.json", '{"objects": [{"object_id": 7}]}'), ("no.json", "[]")):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=name):
            Only.parse([f"id=@{tmp_path / name}"])


@given(
    st.lists(st.sampled_from(["a.png", "day*/*", "b.png"]), max_size=2),
    st.lists(st.sampled_from(["cat", "dog", "a b"]), max_size=2),
    st.lists(st.sampled_from("12345"), max_size=3),
    st.booleans(),
)
@settings(max_examples=25)
def test_a_run_of_some_holds_the_records_of_the_whole_one(images, categories, numbers, doubtful) -> None:
    conditions = [f"image={one}" for one in images] + [f"category={one}" for one in categories]
    conditions += [f"id={one}" for one in numbers] + ["doubtful"] * doubtful
    with TemporaryDirectory() as name:
        file = coco_file(Path(name), OBJECTS)
        whole = made(file, Path(name) / "whole")
        only = Only.parse(conditions)
        try:
            wanted = ids(only_these(whole, only))
        except InputError:
            wanted = []
        taken = [one for one in OBJECTS if only.takes(str(one[0]), one[1], one[2])]
        if not taken and only.in_data:
            with pytest.raises(InputError, match="chooses nothing"):
                made(file, Path(name) / "some", only=only)
            return
        some = made(file, Path(name) / "some", only=only)
        assert ids(some) == wanted
        kept = {one.object_id: one.to_dict() for one in whole.objects()}
        assert [one.to_dict() for one in some.objects()] == [kept[one] for one in wanted]
        assert some.num_images_left() == 0


def test_another_choice_is_another_run(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    run = made(file, tmp_path / "run", only=Only.parse(["category=dog"]))
    assert run.config["only"] == {"category": ["dog"]}
    before = (tmp_path / "run" / "journal.jsonl").read_bytes()
    for other in ([], ["category=cat"], ["category=dog", "image=a.png"], ["category=dog", "doubtful"]):
        with pytest.raises(InputError, match="--only"):
            made(file, tmp_path / "run", only=Only.parse(other))
    made(file, tmp_path / "run", only=Only.parse(["category=dog"]))
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == before


def test_many_ids_are_told_by_number_and_digest() -> None:
    few, many, others = (
        Only.parse([f"id={n}" for n in range(first, last)]) for first, last in ((0, 5), (0, 50), (1, 51))
    )
    assert few.to_dict() == {"id": ["0", "1", "2", "3", "4"]}
    assert "50 objects" in str(many)
    assert many.to_dict() != others.to_dict()


def test_only_a_policy_with_doubts_can_be_asked_for_them(tmp_path: Path) -> None:
    from segagent.annotation.batch import Models
    from segagent.tools.fake import DiscTool

    config = RunConfig("annotate", SearchConfig(1, use_prm=False), only=Only.parse(["doubtful"]))
    dataset = open_dataset(str(coco_file(tmp_path, OBJECTS)))
    with pytest.raises(InputError, match="never says that it has doubts"):
        run_job(dataset, lambda: Models(CentrePolicy(), DiscTool()), tmp_path / "run", config)
    assert not (tmp_path / "run" / "journal.jsonl").exists()


def test_what_fits_nothing_is_told(tmp_path: Path) -> None:
    dataset = open_dataset(str(coco_file(tmp_path, OBJECTS)))
    told: list[str] = []
    ChosenDataset(dataset, Only.parse(["id=1", "id=99", "category=horse", "category=cat"]), told.append)
    assert len(told) == 2
    assert "'horse'" in told[0]
    assert "'99'" in told[1]
    with pytest.raises(InputError, match=r"no image is called 'z\.png'"):
        ChosenDataset(dataset, Only.parse(["image=z.png"]))
    run = made(dataset.spec, tmp_path / "run")
    only_these(run, Only.parse(["id=1", "id=77"]), told.append)
    assert "'77'" in told[2]
    with pytest.raises(InputError, match="no object fits all"):
        only_these(run, Only.parse(["id=1", "category=dog"]))


def test_what_people_called_it_counts_and_failures_are_found_by_their_data_set(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    failed = [Failure("2", "a.png", "broken"), Failure("5", "day2/a.png", "broken")]
    run = written(tmp_path / "run", file, [record("1"), *failed, record("4", "day1/b.png", "a b")])
    done(run, [event("relabelled", "4", label="dog", was="a b"), event("added", "new", label="dog", text="dog")])
    assert set(only_these(run, Only.parse(["category=dog"])).chosen) == {"2", "4", "new"}
    assert set(only_these(run, Only.parse(["category=cat"])).chosen) == {"1", "5"}
    file.unlink()  # Then nobody knows, and nothing is hidden.
    assert set(only_these(run, Only.parse(["category=dog"])).chosen) == {"2", "4", "5", "new"}


def test_everything_that_is_read_of_a_run_keeps_to_the_choice(tmp_path: Path) -> None:
    run = made(coco_file(tmp_path, OBJECTS), tmp_path / "run")
    some = only_these(run, Only.parse(["category=dog"]))
    summary = summarise_run(some)
    assert summary["objects"] == summary["doubted"] == 2
    assert summary["warnings"][0].startswith("only category=dog: 2 objects")
    assert set(split_run(some, ["ann"]).objects) == {"2", "3"}
    review = write_review(some, tmp_path / "page", most=5, sample=5, guidelines="dogs have <b>tails</b>")
    listed = json.loads((tmp_path / "page" / "worklist.json").read_text())["objects"]
    assert {one["object_id"] for one in listed} == {"2", "3"}
    assert review.result["pictured"] == 2
    assert "dogs have &lt;b&gt;tails&lt;/b&gt;" in (tmp_path / "page" / "index.html").read_text()
    checked = tmp_path / "checked.json"
    checked.write_text(json.dumps([{"object_id": one, "verdict": "ok"} for one in "1234"]))
    decision = decide(some, 0.9, checked=checked)
    assert decision.accepted == ("2", "3")
    assert decision.num_checked == 4
    assert not any("not masks of this run" in line for line in decision.warnings)
    export_run(some, "masks", tmp_path / "masks")
    export_run(some, "cvat", tmp_path / "cvat.xml")
    assert (tmp_path / "cvat.xml").read_text().count("<mask") == 2


def test_what_a_run_of_some_did_not_look_at_is_not_removed(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    made(file, tmp_path / "run", only=Only.parse(["id=2"]))
    assert sources.open_source(tmp_path / "run").bad == {"1", "3", "4", "5"}


def spans(content: bytes) -> tuple[list[bytes], bytes]:
    """The annotations as they are written, and all that stands around them."""
    text = content.decode("latin-1")
    begin = text.index("[", text.index('"annotations"'))
    found = list(read_objects(text, begin))
    return [content[one.start : one.end] for one in found], content[: found[0].start] + content[found[-1].end :]


@given(st.sets(st.sampled_from("12345"), min_size=1), st.booleans(), st.sampled_from([None, 1, 3]))
@settings(max_examples=15)
def test_an_export_of_some_leaves_every_other_byte(chosen, only_accepted, indent) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = coco_file(folder, OBJECTS, indent=indent)
        run = made(file, folder / "run")
        some = only_these(run, Only.parse([f"id={one}" for one in chosen]))
        accepted = frozenset({"1", "3"})
        export_run(some, "coco", folder / "out.json", ExportOptions(accepted, only_accepted))
        before, around = spans(file.read_bytes())
        after, around_after = spans((folder / "out.json").read_bytes())
        left_out = {one for one in chosen if one not in accepted} if only_accepted else set()
        old = {str(json.loads(one)["id"]): one for one in before}
        new = {str(json.loads(one)["id"]): one for one in after}
        assert new.keys() == old.keys() - left_out
        assert all(new[one] == old[one] for one in new.keys() - chosen)
        assert all(json.loads(new[one])["segagent"]["object_id"] == one for one in new.keys() & chosen)
        assert around == around_after


def test_an_export_of_a_run_of_some_keeps_what_it_did_not_look_at(tmp_path: Path) -> None:
    file = coco_file(tmp_path, OBJECTS)
    run = made(file, tmp_path / "run", only=Only.parse(["category=dog"]))
    export_run(run, "coco", tmp_path / "out.json", ExportOptions(frozenset({"3"}), only_accepted=True))
    before = {json.loads(one)["id"]: one for one in spans(file.read_bytes())[0]}
    after = {json.loads(one)["id"]: one for one in spans((tmp_path / "out.json").read_bytes())[0]}
    assert after.keys() == {1, 3, 4, 5}
    assert all(after[one] == before[one] for one in (1, 4, 5))


def test_what_people_added_is_exported_where_it_is_chosen(tmp_path: Path) -> None:
    run = made(coco_file(tmp_path, OBJECTS), tmp_path / "run")
    done(run, [event("added", one, label=one, text=one, mask=encode_rle(block(3))) for one in ("cat", "eel")])
    for category, expected in (("eel", {"eel"}), ("dog", {"2", "3"}), ("cat", {"1", "5", "cat"})):
        out = tmp_path / f"{category}.json"
        export_run(only_these(run, Only.parse([f"category={category}"])), "coco", out)
        entries = json.loads(out.read_text())["annotations"]
        assert {one["segagent"]["object_id"] for one in entries if "segagent" in one} == expected
        assert len(entries) == 5 + len(expected & {"cat", "eel"})


def test_the_commands_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from segagent.cli.main import main

    made(coco_file(tmp_path, OBJECTS), tmp_path / "run")
    run, out = str(tmp_path / "run"), tmp_path / "out.json"
    assert main(["export", run, "--to", "coco", "-o", str(out), "--only", "category=dog", "--only", "id=3"]) == 0
    told = [one["id"] for one in json.loads(out.read_text())["annotations"] if "segagent" in one]
    assert told == [3]
    assert main(["summary", run, "--only", "doubtful", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("\n")[2])["objects"] == 2
    assert main(["review", run, "--only", "id=9"]) == 2
    assert "no object has the id '9'" in capsys.readouterr().err
    assert main(["audit", "photo.jpg", "a dog", "--only", "id=9"]) == 2
    assert "--only" in capsys.readouterr().err


def test_records_of_a_run_of_some_are_told_by_its_journal(tmp_path: Path) -> None:
    made(coco_file(tmp_path, OBJECTS), tmp_path / "run", only=Only.parse(["image=day1/*"]))
    header, records = read_journal(tmp_path / "run" / "journal.jsonl")
    assert header["config"]["num_images"] == 1
    assert [one["unit"] for one in records] == [[0, 0, 2], [0, 1, 2]]
    assert summarise_run(open_run(tmp_path / "run"))["only"] == "image=day1/*"
