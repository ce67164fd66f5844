from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import Guessing, episodes, made_up_results, played

from segagent.core import Image
from segagent.environment import Episode, Target
from segagent.reproduce.episodes import Played
from segagent.reproduce.findings import FAILS, HOLDS, OPEN, TOO_FEW, findings, verdict, verdict_at_most, verdict_same
from segagent.reproduce.page import make_page
from segagent.reproduce.reading import Scores, best_mask, best_within_calls, early_stop, endless, last_mask
from segagent.reproduce.tables import complexity_table, steps_table
from segagent.reproduce.trainings import LONGER, SFT, STAR, STAR_PLUS
from segagent.search import SearchConfig, run_search, with_rewards
from segagent.tools.fake import DiscTool

GOOD = {SFT: 0.6, LONGER: 0.62, STAR: 0.63, STAR_PLUS: 0.75}
BAD = {SFT: 0.6, LONGER: 0.62, STAR: 0.63, STAR_PLUS: 0.45}


def verdicts(results: dict) -> dict[str, str]:
    return {one["claim"]: one["verdict"] for one in results["findings"]}


def test_findings_that_hold_and_that_do_not() -> None:
    good, bad = verdicts(made_up_results(GOOD)), verdicts(made_up_results(BAD, fall=-0.1, search_gain=-0.1))
    for claim in (
        "mini-HRES: StaR+ is at least 3 points above SFT, greedy without PRM (cIoU)",
        "mini-HRES: StaR+ is above plain StaR, greedy without PRM (cIoU)",
        "mini-HRES: search is at least 5 points above SFT, greedy (cIoU)",
    ):
        assert (good[claim], bad[claim]) == (HOLDS, FAILS)
    assert good["mini-RES, SFT: at step 11 the mIoU with PRM is above that without"] == HOLDS
    assert good["mini-HRES, SFT: without PRM the last steps make it worse"] == HOLDS
    assert bad["mini-HRES, SFT: without PRM the last steps make it worse"] == FAILS
    assert good["SFT, mini-RES, random clicks: Pearson at least 0.85"] == HOLDS
    assert good["mini-RES: the mask's colour makes no difference: red"] == FAILS
    assert good["mini-RES: the coordinate format makes no difference: b"] == HOLDS
    undo = "mini-HRES, SFT: best-first search (stepping back) is above Alg. 2 at 34 model calls each (mIoU)"
    assert good[undo] == OPEN


def test_the_page_says_what_the_findings_say() -> None:
    for results in (made_up_results(GOOD), made_up_results(BAD)):
        before = json.dumps(results)
        page = make_page(results)
        assert make_page(json.loads(before)) == page
        assert json.dumps(results) == before
        for one in results["findings"]:
            assert f"| {one['claim']} | {one['paper'] or '-'} | {one['ours']} | **{one['verdict']}** |" in page
        assert "@plot" not in page
        assert "| nan" not in page
    results["plots"] = ["steps"]
    assert "![steps](pictures/steps.png)" in make_page(results, plots="pictures")


def test_few_scenes_tell_nothing() -> None:
    results = made_up_results(GOOD)
    results["counts"]["test"]["mini-HRES"] = 3
    assert {one.verdict for one in findings(results)} == {TOO_FEW}


def test_verdicts() -> None:
    assert verdict({"value": 0.1, "low": 0.01, "high": 0.2}) == HOLDS
    assert verdict({"value": 0.1, "low": -0.01, "high": 0.2}) == OPEN
    assert verdict({"value": -0.1, "low": -0.2, "high": -0.01}) == FAILS
    assert verdict({"value": 0.1, "low": None, "high": None}) == OPEN
    assert verdict_at_most({"value": 7, "low": 6, "high": 7.9}, 8) == HOLDS
    assert verdict_at_most({"value": 9, "low": 8.5, "high": 10}, 8) == FAILS
    assert verdict_same({"value": 0, "low": -0.01, "high": 0.01}) == HOLDS
    assert verdict_same({"value": 0, "low": -0.05, "high": 0.01}) == OPEN
    assert verdict_same({"value": 0.1, "low": 0.05, "high": 0.2}) == FAILS


@given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(-1, 1), st.floats(0, 0.5))
def test_more_is_never_judged_worse(value: float, down: float, up: float, bar: float, more: float) -> None:
    rank = {FAILS: 0, OPEN: 1, HOLDS: 2}
    before = verdict({"value": value, "low": value - down, "high": value + up}, bar)
    after = verdict({"value": value + more, "low": value - down + more, "high": value + up + more}, bar)
    assert rank[after] >= rank[before]


def test_reading_states_off_an_episode() -> None:
    one = played("a", [0, 0.3, 0.8, 0.5, 0.6, 0.55, 0.9], [0, 0.2, 0.7, 0.6, 0.65, 0.1, 0.99], siblings=1)
    assert one.calls == [1, 3, 5, 7, 9, 11, 13]
    assert last_mask(one, 3) == (3, 2)
    assert best_mask(one, 5) == (2, 5)
    assert early_stop(one, 6) == (2, 5)
    assert best_within_calls(one, 4) == (1, 1)
    assert best_within_calls(one, 100) == (6, 6)
    scores = Scores.of([[one]], best_mask, 6)
    assert (scores.interval("mIoU").value, scores.calls) == (0.9, (13,))


def test_a_perfect_prm_never_falls_and_seeds_are_told_apart() -> None:
    runs = [episodes(0.7, fall=0.5, seed=seed) for seed in (0, 1)]
    table = steps_table(runs, (1, 3, 5, 7, 11))
    curve = [row["mIoU"]["value"] for row in table["with PRM"].values()]
    assert curve == sorted(curve)
    assert len(table["with PRM"]["3"]["by_seed"]["mIoU"]) == 2
    assert table["with PRM"]["3"]["episodes"] == 60
    assert table["gain"]["11"]["mIoU"]["low"] > 0
    pooled = table["with PRM"]["3"]
    assert pooled["mIoU"]["value"] == pytest.approx(np.mean(pooled["by_seed"]["mIoU"]))


def test_only_equal_images_are_paired() -> None:
    first, second = (Scores.of([episodes(0.5, number=n)], last_mask, 3) for n in (3, 4))
    with pytest.raises(ValueError, match="same images"):
        first.above(second, "mIoU")


def test_clicks_are_capped_and_failures_counted() -> None:
    table = complexity_table({"easy": [[0.5, 0.9], [0.81]], "hard": [[0.1] * 20, [0.2, 0.82, 0.86]]}, 20)
    assert table["splits"]["easy"]["NoC@80"]["value"] == 1.5
    assert table["splits"]["hard"]["NoC@85"] | {"low": 0, "high": 0} == {
        "value": 11.5,
        "low": 0,
        "high": 0,
        "failures": 1,
        "objects": 2,
    }


@pytest.mark.parametrize(
    "config", [endless(5), endless(20, 3, max_calls=25), endless(20, 3, best_first=True, max_calls=25)]
)
def test_calls_are_those_the_search_made(config: SearchConfig) -> None:
    image = Image.of(np.zeros((40, 50, 3), np.uint8))
    target = np.zeros((40, 50), np.bool_)
    target[5:20, 5:20] = True
    made = run_search([Episode(image, f"it {n}", seed=n) for n in range(6)], Guessing(), DiscTool(), config)
    for trajectory in made:
        done = with_rewards(trajectory, Target(target))
        one = Played(done, ((0, 1),) * (len(done.steps) + 1), False)
        assert one.calls[-1] == trajectory.num_policy_calls
