"""How far people agree: by their own last words, given before they saw another's, beyond chance, with intervals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from team_runs import block, coco_file, done, event, record, written

from segagent.annotation.batch import Run
from segagent.annotation.team import agreement_of
from segagent.annotation.team.agreement import cohens_kappa, krippendorffs_alpha
from segagent.core import InputError, encode_rle

OBJECTS = [(number, f"{number % 4}.png", "cat") for number in range(1, 9)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    records = [record(str(number), image, number=1) for number, image, _ in OBJECTS]
    return written(tmp_path / "run", coco_file(tmp_path, OBJECTS), records)


def mask(number: int):
    return encode_rle(block(number))


def iou(first: int, second: int) -> float:
    one, other = block(first), block(second)
    return float((one & other).sum() / (one | other).sum())


def test_cohens_kappa_of_a_textbook() -> None:
    # 50 applications, two readers: both yes 20, both no 15, 5 and 10 otherwise; kappa 0.4.
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohens_kappa(first, second) == pytest.approx(0.4)
    assert math.isnan(cohens_kappa(first * 0, second * 0))
    assert cohens_kappa(first, first) == 1
    assert cohens_kappa(first, 1 - first) == pytest.approx(-12 / 13, abs=0.1)


def test_krippendorffs_alpha_of_his_example() -> None:
    # Krippendorff (2011), "Computing Krippendorff's alpha-reliability", C: 4 observers, 12 units, nominal: 0.743.
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    counts = np.zeros((12, 6), np.int64)
    for observer in observers:
        for unit, value in enumerate(observer):
            if value is not None:
                counts[unit, value] += 1
    assert krippendorffs_alpha(counts) == pytest.approx(0.743, abs=5e-4)
    assert math.isnan(krippendorffs_alpha(counts * 0))
    assert math.isnan(krippendorffs_alpha(np.array([[2, 0], [3, 0]])))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=30))
@settings(max_examples=50)
def test_alpha_of_two_is_kappa_with_one_chance_for_both(pairs) -> None:
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    counts = np.zeros((len(pairs), 3), np.int64)
    for number, row in enumerate(pairs):
        for word in row:
            counts[number, word] += 1
    alpha, kappa = krippendorffs_alpha(counts), cohens_kappa(first, second)
    if (first == second).all() and len(set(first.tolist())) > 1:
        assert alpha == kappa == 1
    # Scott's pi, corrected for small samples.
    shares = counts.sum(axis=0) / counts.sum()
    chance = float((shares**2).sum())
    if chance < 1:
        pi = (float((first == second).mean()) - chance) / (1 - chance)
        assert alpha == pytest.approx(pi + (1 - pi) / (2 * len(pairs)))


def test_own_last_words(run: Run) -> None:
    done(
        run,
        [
            event("verdict", "1", "ann", verdict="ok", seen=0),
            event("click", "1", "ben", mask=mask(5), seen=0),
            event("stroke", "1", "ben", mask=mask(6), seen=2),
            event("verdict", "1", "ben", verdict="ok", seen=3),
            event("click", "2", "ann", mask=mask(7), seen=0),
            event("undo", "2", "ann", seen=5),
            event("verdict", "2", "ann", verdict="wrong", seen=6),
            event("removed", "2", "ben", seen=0),
            event("verdict", "3", "ann", verdict="unsure", seen=0),
            event("verdict", "3", "ben", verdict="skip", seen=0),
            event("verdict", "4", "ann", verdict="absent", seen=0),
            event("removed", "4", "ben", seen=0),
            event("note", "5", "ann", text="x", seen=0),
            event("verdict", "5", "ben", verdict="ok", seen=0),
            event("click", "6", "ann", mask=mask(8), seen=0),
            event("verdict", "6", "ben", verdict="absent", seen=0),
            event("verdict", "6", None, verdict="ok"),
        ],
    )
    found = agreement_of(run)
    told = {one.object_id: (one.words, one.iou) for one in found.compared}
    # Ben's second and third event on 1 had seen Ann's, so his first click is his own word.
    assert told == {
        "1": (("ok", "wrong"), pytest.approx(iou(1, 5))),
        "2": (("wrong", "absent"), None),
        "4": (("absent", "absent"), None),
        "6": (("wrong", "absent"), 0.0),
    }
    assert [one.object_id for one in found.compared][:2] == ["2", "6"]
    assert found.num_words == {"ann": 5, "ben": 5}
    figures = found.pairs["ann", "ben"]
    assert (figures.num, figures.num_masks) == (4, 2)
    assert figures.same.value == 0.25
    assert figures.iou is not None
    assert figures.iou.value == pytest.approx((iou(1, 5) + 0) / 2)
    assert figures.iou.low <= figures.iou.value <= figures.iou.high
    assert found.all is None
    late = agreement_of(run, after_seeing=True)
    assert {one.object_id: one.iou for one in late.compared}["1"] == pytest.approx(iou(1, 6))


def test_words_after_seeing_do_not_count_unless_asked_for(run: Run) -> None:
    done(run, [event("click", "1", "ann", mask=mask(7), seen=0), event("verdict", "1", "ben", verdict="ok", seen=1)])
    # Where there is nothing else they count, and that is told. Ben says ok to what Ann has drawn.
    found = agreement_of(run)
    assert found.after_seeing
    assert found.num_after == 1
    assert [(one.words, one.iou) for one in found.compared] == [(("wrong", "wrong"), 1.0)]
    # As text, for a nan equals itself in a dataclass up to Python 3.12 only.
    assert repr(agreement_of(run, after_seeing=True)) == repr(found)
    # What is passed over shows nothing.
    done(
        run, [event("verdict", "2", "ann", verdict="skip", seen=0), event("verdict", "2", "ben", verdict="ok", seen=3)]
    )
    done(run, [event("verdict", "2", "cy", verdict="ok", seen=0)])
    found = agreement_of(run)
    assert not found.after_seeing
    assert found.num_after == 1
    assert [one.object_id for one in found.compared] == ["2"]
    with pytest.raises(InputError, match="two people"):
        agreement_of(Run(run.folder, run.config, run.notes, frozenset({"8"})))


def test_three_people_and_intervals_by_image(run: Run) -> None:
    rng = np.random.default_rng(3)
    said = {who: rng.choice(["ok", "wrong"], 8, p=[0.7, 0.3]) for who in ("ann", "ben", "cy")}
    done(
        run,
        [
            event("verdict", str(n), who, verdict=str(word), seen=0)
            for who, words in said.items()
            for n, word in enumerate(words, 1)
        ],
    )
    found = agreement_of(run)
    assert list(found.pairs) == [("ann", "ben"), ("ann", "cy"), ("ben", "cy")]
    for (one, other), figures in found.pairs.items():
        assert figures.num == 8
        assert figures.same.value == pytest.approx(float((said[one] == said[other]).mean()))
    assert found.all is not None
    assert found.all.num == 8
    counts = np.array([[sum(said[who][n] == word for who in said) for word in ("ok", "wrong")] for n in range(8)])
    assert found.all.kappa.value == pytest.approx(krippendorffs_alpha(counts))
    assert found.all.kappa.low <= found.all.kappa.value <= found.all.kappa.high
    assert agreement_of(run) == found


def test_the_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    from segagent.cli.main import main

    done(run, [event("verdict", str(n), who, verdict="ok", seen=0) for n in (1, 2) for who in ("ann", "ben")])
    assert main(["agreement", str(run.folder)]) == 0
    assert "ann and ben: 2 objects" in (out := capsys.readouterr().out)
    assert "no kappa, for all say the same" in out
    done(run, [event("click", "3", "ann", mask=mask(4), seen=0), event("verdict", "3", "ben", verdict="ok", seen=0)])
    assert main(["agreement", str(run.folder)]) == 0
    assert "object 3 in 3.png: ann wrong, ben ok, IoU" in capsys.readouterr().out
    assert main(["agreement", str(run.folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pairs"][0]["people"] == ["ann", "ben"]
    assert [one["object_id"] for one in told["disagreements"]] == ["3"]
    assert main(["agreement", str(run.folder), "--only", "id=8"]) == 2
