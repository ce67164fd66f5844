"""The experiment about gains: its figures from episodes made up, its bounds, and its order end to end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import Guessing, episodes

from segagent.core import Image, InputError, Observation, Proposal, empty_mask
from segagent.environment import SimulatedAnnotator, Target
from segagent.learning.sft import TrainedModel
from segagent.policies import ScriptedPolicy
from segagent.reproduce import episodes as played_episodes
from segagent.reproduce import masks
from segagent.reproduce.findings import FAILS, HOLDS, OPEN, TOO_FEW
from segagent.reproduce.gains import models, tables
from segagent.reproduce.gains.config import GainsConfig, quick_gains
from segagent.reproduce.gains.models import GRPO, LONGER, SFT, STAR_PLUS
from segagent.reproduce.gains.page import make_page
from segagent.reproduce.gains.run import reproduce_gains
from segagent.reproduce.gains.tables import findings, gains_tables
from segagent.reproduce.masks import JudgedMask
from segagent.reproduce.players import Player, TrulyJudged

CONFIG = GainsConfig(seeds=1, max_steps=4)


def results(levels: dict[tuple[str, str], float], number: int = 30, noise: float = 0.02) -> dict[str, Any]:
    """Results in which each model, played in each way, reaches its level."""
    played = {
        ("mini-HRES", model, way): [episodes(level, number=number, siblings=0 if way == "greedy" else 3)]
        for (model, way), level in levels.items()
    }
    rng = np.random.default_rng(0)
    true = rng.random(200)
    judged = [
        JudgedMask(float(np.clip(t + rng.normal(0, noise), 0, 1)), t, f"image {i % 30}", "") for i, t in enumerate(true)
    ]
    made = gains_tables(CONFIG, played, {("mini-HRES", SFT): judged})
    return {"config": CONFIG.to_dict(), "seeds": [0], "command": "it", "versions": {"segagent": "0"}, "tables": made}


LEVELS = {
    (SFT, "greedy"): 0.5,
    (SFT, "search"): 0.6,
    (SFT, "true search"): 0.7,
    (STAR_PLUS, "greedy"): 0.6,
    (LONGER, "greedy"): 0.6,
    (GRPO, "greedy"): 0.55,
}


def by_claim(levels: dict[tuple[str, str], float], **how: Any) -> dict[str, tuple[str, str]]:
    return {one.claim: (one.ours, one.verdict) for one in findings(results(levels, **how))}


def test_gains_are_told_by_what_was_played() -> None:
    told = by_claim(LEVELS)
    assert told["StaR+ is at least 3 points above SFT (cIoU)"][1] == HOLDS
    assert told["StaR+ is at least 3 points above SFT (cIoU)"][0].startswith("+10.0 [")
    assert told["StaR+ is above SFT, trained on (cIoU)"] == ("+0.0 [+0.0, +0.0]", OPEN)
    assert told["GRPO after StaR+ is at least 2 points above it (mIoU)"][1] == FAILS
    assert told["search is at least 5 points above SFT, greedy (cIoU)"][1] == HOLDS
    share = next(ours for claim, (ours, _) in told.items() if claim.startswith("SFT: the PRM gets at least half"))
    assert share.startswith("0.50 [")
    assert told["SFT, random clicks: Pearson at least 0.85"][1] == HOLDS
    assert told["a search step costs at most K = 4 model calls"] == ("mean 4.00, most 4", HOLDS)
    assert not any("hard scenes too" in claim or "samples alone" in claim for claim in told)


def test_more_findings_make_each_harder_to_hold() -> None:
    one = results(LEVELS)["tables"]["compared"]
    assert one["number"] == 7
    for claim in one["claims"].values():
        assert claim["corrected"]["low"] <= claim["interval"]["low"]
        assert claim["corrected"]["high"] >= claim["interval"]["high"]


def test_few_scenes_tell_nothing_and_a_page_is_made_of_anything() -> None:
    assert {verdict for _, verdict in by_claim(LEVELS, number=5).values()} == {TOO_FEW}
    made = results(LEVELS)
    page = make_page(made)
    assert "7 findings with an interval" in page
    assert "| SFT, search, true PRM |" in page
    assert make_page(results({(SFT, "greedy"): 0.5}))


def test_the_truth_takes_the_place_of_the_predicted_iou_alone() -> None:
    image = Image.of(np.zeros((8, 8, 3), np.uint8))
    mask = np.zeros((8, 8), np.bool_)
    mask[:, :4] = True
    inner = ScriptedPolicy(["0.9 Positive point: (0.5, 0.5)"] * 4)
    judged = TrulyJudged(inner, {SimulatedAnnotator.key(image, "it"): Target(mask)})
    half = np.zeros((8, 8), np.bool_)
    half[:, :2] = True
    shown = [Observation(image, "it", empty_mask(8, 8)), Observation(image, "it", half)]
    told = judged.propose(shown)
    plain = ScriptedPolicy(["0.9 Positive point: (0.5, 0.5)"] * 4).propose(shown)
    assert [one.predicted_iou for (one,) in told] == [0.0, 0.5]
    assert [replace(a, predicted_iou=None) for (a,) in told] == [replace(b, predicted_iou=None) for (b,) in plain]


def test_records_of_players_from_before_say_the_same() -> None:
    assert "judge" not in Player("embedded").to_dict()
    assert Player("embedded", judge="truth").to_dict()["judge"] == "truth"


def test_meaningless_settings_are_refused() -> None:
    for change in ({"seeds": 0}, {"candidates": 1}, {"seed": -1}, {"max_steps": 0}):
        with pytest.raises(InputError):
            quick_gains(**change)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_RESAMPLES", 200)


class GuessingApart(Guessing):
    """One that proposes distinct clicks when asked to."""

    def propose_apart(
        self, observations: Sequence[Observation], num_proposals: int, apart: float, **how: Any
    ) -> list[list[Proposal]]:
        return self.propose(observations, num_proposals, **how)


def stub(folder: Path, name: str, made: list[str]) -> TrainedModel:
    folder.mkdir(parents=True, exist_ok=True)
    made.append(name)
    return TrainedModel(f"embedded:{folder}", 1, 2, ((1, 0.5),), 1.0)


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> tuple[GuessingApart, list[str]]:
    """A policy that guesses, and what was trained: trainings that do nothing stand for the real ones."""
    policy, told = GuessingApart(), []  # type: tuple[GuessingApart, list[str]]
    for place in (played_episodes, masks):
        monkeypatch.setattr(place, "load_player", lambda player: policy)
    trainings = {
        "train_sft": lambda policy, files, out, *_, fresh, **__: stub(out, f"sft {fresh}", told),
        "run_star": lambda model, data, out, *_, **__: stub(
            out, "star on " + data.spec.split("complexity=")[1][:4], told
        ),
        "train_policy_on": lambda policy, sets, out, *_, **__: stub(out, f"sft on {len(sets)}", told),
        "train_own_prm": lambda model, data, out, *_, **__: stub(out, f"prm of {Path(model).name}", told),
        "train_grpo": lambda model, data, out, *_, **__: stub(Path(out), f"grpo from {Path(model).name}", told),
        "generate_dataset": lambda data, tool, path, *_, **__: None,
        "load_annotator_set": lambda path: path,
    }
    for name, training in trainings.items():
        monkeypatch.setattr(models, name, training)
    return policy, told


def test_everything_is_made_in_order_and_nothing_is_played_twice(
    tmp_path: Path, stubs: tuple[GuessingApart, list[str]]
) -> None:
    policy, made = stubs
    config = quick_gains(tool="disc", test_scenes=1, max_steps=1)
    first = reproduce_gains(tmp_path, config, command="it")
    trained = ["sft bare", "prm of sft", "star on hard", "prm of star", "sft on 1", "grpo from star-prm", "sft on 2"]
    assert made == trained
    assert (tmp_path / "gains.md").read_text().startswith("# Gains")
    assert json.loads((tmp_path / "results.json").read_text()) == first
    assert {one["verdict"] for one in first["findings"]} == {TOO_FEW}
    assert {"shipped, search", "SFT, search, true PRM", "StaR+, then GRPO, no PRM"} <= set(first["tables"]["rows"])
    assert len(list((tmp_path / "runs").rglob("*.jsonl"))) == 23
    asked = policy.asked
    assert asked > 0
    assert reproduce_gains(tmp_path, config, command="it") == first
    assert policy.asked == asked
    with pytest.raises(InputError, match="other settings"):
        reproduce_gains(tmp_path, replace(config, updates=7))
