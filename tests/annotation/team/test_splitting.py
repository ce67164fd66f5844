"""Objects dealt out: everyone's share, images together, hard and easy alike, and as many twice as was asked for."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from team_runs import coco_file, done, event, record, written

from segagent.annotation.batch import Run
from segagent.annotation.team import read_assignments, split_run
from segagent.annotation.team.splitting import people_named
from segagent.core import InputError
from segagent.core.failures import Failure


class Listed(Run):
    """A run whose records are at hand."""

    def records(self):
        return iter(self.notes["records"])


def listed(of_image: list[int], predicted: list[float | None]) -> Listed:
    records = []
    for number, (image, value) in enumerate(zip(of_image, predicted, strict=True)):
        name = f"{image}.png"
        records.append(Failure(str(number), name, "x") if value == -1 else record(str(number), name, predicted=value))
    return Listed(Path("nowhere"), {}, {"records": records})


OBJECTS = st.lists(st.tuples(st.integers(0, 9), st.none() | st.just(-1.0) | st.floats(0, 1)), min_size=1, max_size=60)


@given(OBJECTS, st.integers(1, 5), st.floats(0, 1), st.integers(0, 3))
@settings(max_examples=60)
def test_all_objects_are_dealt_out(objects, people: int, overlap: float, seed: int) -> None:
    run = listed([image for image, _ in objects], [value for _, value in objects])
    names = people_named(str(people))
    if people == 1:
        overlap = 0.0
    dealt = split_run(run, names, overlap, seed)
    assert list(dealt.objects) == [str(number) for number in range(len(objects))]
    assert all(1 <= len(given_) == len(set(given_)) <= 2 for given_ in dealt.objects.values())
    assert dealt.num_shared == round(overlap * len(objects))
    assert dealt == split_run(run, names, overlap, seed)
    # An image is one person's, unless it is more than a share.
    images = Counter(image for image, _ in objects)
    fair = -(-len(objects) // people)
    owners: dict[int, set[str]] = {}
    for number, (image, _) in enumerate(objects):
        owners.setdefault(image, set()).add(dealt.objects[str(number)][0])
    assert all(len(owners[image]) <= -(-count // fair) for image, count in images.items())
    loads = Counter(given_[0] for given_ in dealt.objects.values())
    largest = min(max(images.values()), fair)
    assert max(loads.values()) - min(loads[name] for name in names) <= max(largest, 1) or len(images) < people


def test_shares_are_as_large_and_as_hard_and_pairs_as_frequent() -> None:
    rng = np.random.default_rng(0)
    run = listed([number // 2 for number in range(600)], rng.uniform(size=600).tolist())
    dealt = split_run(run, ["a", "b", "c"], 0.2, seed=1)
    predicted = {one.object_id: one.predicted_iou for one in run.records()}
    own = {who: [name for name, given_ in dealt.objects.items() if given_[0] == who] for who in "abc"}
    for names in own.values():
        assert abs(len(names) - 200) <= 2
        quarters = np.histogram([predicted[name] for name in names], [0, 0.25, 0.5, 0.75, 1])[0]
        assert (np.abs(quarters - 50) <= 9).all()
    twice = [name for name, given_ in dealt.objects.items() if len(given_) == 2]
    assert len(twice) == 120
    assert abs(np.mean([predicted[name] for name in twice]) - np.mean(list(predicted.values()))) < 0.01
    pairs = Counter(tuple(sorted(dealt.objects[name])) for name in twice)
    assert set(pairs) == set(combinations("abc", 2))
    assert max(pairs.values()) - min(pairs.values()) <= 8
    assert split_run(run, ["a", "b", "c"], 0.2, seed=2) != dealt


@pytest.mark.parametrize("people", ["0", "", "a,,b", "a,a", "1001", "99999999999"])
def test_people_are_a_number_or_different_names(people: str) -> None:
    with pytest.raises(InputError, match="--people"):
        people_named(people)
    assert people_named(" Ann , Ben O'Neil") == ("Ann", "Ben O'Neil")
    assert people_named("2") == ("person-1", "person-2")


def test_what_cannot_be_dealt() -> None:
    run = listed([1], [0.5])
    for people, overlap, words in (
        (["a"], 0.5, "two people"),
        (["a", "b"], 1.5, "from 0 to 1"),
        (["a", "a"], 0, "different"),
    ):
        with pytest.raises(InputError, match=words):
            split_run(run, people, overlap)


def test_the_command_writes_what_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from segagent.cli.main import main

    file = coco_file(tmp_path, [(1, "a.png", "cat"), (2, "b.png", "dog")])
    run = written(tmp_path / "run", file, [record("1"), record("2", "b.png", "dog")])
    assert main(["split", str(run.folder), "--people", "Ann,Bén", "--overlap", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "2 objects, 1 of them for two people" in out
    path = run.folder / "assignments.json"
    content = json.loads(path.read_text())
    assert content["schema"] == "segagent.assignments/1"
    dealt = read_assignments(path)
    assert dealt.to_dict() == content
    assert dealt == split_run(run, ["Ann", "Bén"], 0.5)
    assert main(["split", str(run.folder), "--people", "2"]) == 2  # Work that is dealt out is not dealt anew by chance.
    assert "--force" in capsys.readouterr().err
    one = tmp_path / "one.json"
    assert main(["split", str(run.folder), "--people", "2", "--only", "id=2", "-o", str(one), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects"] == 1
    for spoiled in (
        {"schema": "x"},
        {**content, "people": []},
        {**content, "objects": {"1": ["Zoe"]}},
        {**content, "objects": []},
    ):
        one.write_text(json.dumps(spoiled))
        with pytest.raises(InputError, match=r"one\.json"):
            read_assignments(one)


def test_what_is_dealt_out_reaches_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    from segagent.cli.main import main
    from segagent.server.review import serving

    served = []
    monkeypatch.setattr(serving, "serve_review", lambda run, plan, **more: served.append((run, plan)))
    file = coco_file(tmp_path, [(1, "a.png", "cat"), (2, "b.png", "dog")])
    run = written(tmp_path / "run", file, [record("1"), record("2", "b.png", "dog")], guidelines="Tails count.")
    assert main(["split", str(run.folder), "--people", "Ann,Ben", "--overlap", "1"]) == 0
    dealt = read_assignments(run.folder / "assignments.json")
    page = ["review", str(run.folder), "--serve"]
    assert main([*page, "--assign", str(run.folder / "assignments.json"), "--by", "Ann"]) == 0
    assert main([*page, "--assign", "Cy,Di", "--only", "id=2"]) == 0
    assert main([*page, "--assign", str(tmp_path / "gone.json")]) == 2
    (first, plan), (second, other) = served
    assert (plan.shares, plan.people, plan.guidelines, plan.by) == (dealt.objects, dealt.people, "Tails count.", "Ann")
    assert set(first.ids()) == {"1", "2"}
    assert set(second.ids()) == set(other.shares) == {"2"}
    assert other.people == ("Cy", "Di")


def test_notes_are_found_by_their_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from segagent.cli.main import main

    file = coco_file(tmp_path, [(1, "a.png", "cat"), (2, "b.png", "dog")])
    run = written(tmp_path / "run", file, [record("1"), record("2", "b.png", "dog")])
    texts = ["The LEG is hidden\nbehind a chair", "ﬁne, but Straße", "leg cut off"]
    done(run, [event("note", "12"[number % 2], text=text, minute=number) for number, text in enumerate(texts)])
    done(run, [event("verdict", "1", verdict="ok"), event("rephrased", "1", text="leg of a cat")])
    for search, found in (("", [1, 2, 3]), ("leg", [1, 3]), ("hidden leg", [1]), ("FINE STRASSE", [2]), ("arm", [])):
        assert main(["notes", str(run.folder), "--search", search, "--json"]) == 0
        assert [one["number"] for one in json.loads(capsys.readouterr().out)["notes"]] == found
    assert main(["notes", str(run.folder), "--only", "category=dog"]) == 0
    out = capsys.readouterr().out
    assert "1 notes" in out
    assert "Straße" in out
    assert main(["notes", str(run.folder)]) == 0
    assert "hidden\\nbehind" in capsys.readouterr().out
