"""The experiment about gains: its figures from episodes made up, its bounds, and its command end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import episodes
from typer.testing import CliRunner

from segagent.cli.main import app
from segagent.core import Image, InputError, Observation, empty_mask
from segagent.environment import SimulatedAnnotator, Target
from segagent.policies import ScriptedPolicy
from segagent.reproduce.findings import FAILS, HOLDS, OPEN, TOO_FEW
from segagent.reproduce.gains.config import GainsConfig, quick_gains
from segagent.reproduce.gains.models import GRPO, LONGER, SFT, STAR_PLUS
from segagent.reproduce.gains.page import make_page
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
    masks = [
        JudgedMask(float(np.clip(t + rng.normal(0, noise), 0, 1)), t, f"image {i % 30}", "") for i, t in enumerate(true)
    ]
    tables = gains_tables(CONFIG, played, {("mini-HRES", SFT): masks})
    return {"config": CONFIG.to_dict(), "command": "it", "versions": {"segagent": "0"}, "tables": tables}


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


@pytest.mark.slow
def test_the_command_end_to_end_and_nothing_is_done_twice(tmp_path: Path) -> None:
    small = ["--quick", "--d-0-scenes", "2", "--hard-scenes", "2", "--test-scenes", "1", "--max-steps", "1"]
    made = CliRunner().invoke(app, ["reproduce", "gains", "-o", str(tmp_path), *small])
    assert made.exit_code == 0, made.output
    first = json.loads((tmp_path / "results.json").read_text())
    assert (tmp_path / "gains.md").read_text().startswith("# Gains")
    journals = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.jsonl")}
    again = CliRunner().invoke(app, ["reproduce", "gains", "-o", str(tmp_path), *small])
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "results.json").read_text()) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.jsonl")} == journals
