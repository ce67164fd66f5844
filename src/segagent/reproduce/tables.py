"""The paper's tables in miniature, as JSON-able values, from episodes that were played before."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from segagent.evaluation.bootstrap import bootstrap_ratio, bootstrap_unpaired
from segagent.evaluation.measuring import click_metrics
from segagent.reproduce.episodes import Played
from segagent.reproduce.reading import (
    Choose,
    Scores,
    best_mask,
    best_within_calls,
    difference,
    early_stop,
    last_mask,
)
from segagent.reproduce.trainings import LONGER, SFT, STAR, STAR_PLUS

BySeed: TypeAlias = Sequence[Sequence[Played]]
"""Episodes of each seed, all about the same images in the same order."""

NO_PRM, STOP, PRM, SEARCH = "no PRM", "PRM stop", "PRM, all steps", "search"
"""How a model is played in Fig. 4: the last of T masks; PRM as stop signal; best-scored of T masks; Alg. 2."""


def complexity_table(curves: Mapping[str, Sequence[Sequence[float]]], max_clicks: int) -> dict[str, Any]:
    """Fig. 3: clicks that the simulated annotator needs to reach an IoU, by split, and the second minus the first."""
    table: dict[str, Any] = {"max_clicks": max_clicks, "splits": {}, "harder": {}}
    measured = {name: [click_metrics([0.0, *ious], max_clicks) for ious in objects] for name, objects in curves.items()}
    for level in ("80", "85"):
        needed = {name: [one[f"NoC@{level}"][0] for one in objects] for name, objects in measured.items()}
        for name, clicks in needed.items():
            table["splits"].setdefault(name, {})[f"NoC@{level}"] = {
                **bootstrap_ratio(clicks).to_dict(),
                "failures": round(math.fsum(one[f"failed@{level}"][0] for one in measured[name])),
                "objects": len(clicks),
            }
        easy, hard = needed.values()
        table["harder"][f"NoC@{level}"] = bootstrap_unpaired(hard, easy).to_dict()
    return table


def steps_table(greedy: BySeed, steps: Sequence[int]) -> dict[str, Any]:
    """Table 2: the curve over steps with PRM and without, read off the same episodes, and the differences."""
    with_prm = {s: Scores.of(greedy, best_mask, s) for s in steps}
    without = {s: Scores.of(greedy, last_mask, s) for s in steps}
    later = list(itertools.pairwise(steps))
    return {
        "with PRM": {str(s): scores.to_dict() for s, scores in with_prm.items()},
        "without PRM": {str(s): scores.to_dict() for s, scores in without.items()},
        "gain": {str(s): difference(with_prm[s], without[s]) for s in steps},
        "changes": {
            "with PRM": {f"{a}-{b}": difference(with_prm[b], with_prm[a]) for a, b in later},
            "without PRM": {f"{a}-{b}": difference(without[b], without[a]) for a, b in later},
        },
        "first_click_hit": bootstrap_ratio(
            [p.first_hit for one in greedy for p in one], None, [p.trajectory.image for one in greedy for p in one]
        ).to_dict(),
    }


def search_table(models: Mapping[str, tuple[BySeed, BySeed]], max_steps: int, candidates: int) -> dict[str, Any]:
    """Fig. 4: every model (greedy episodes, searched ones) played in every way, and the differences that matter."""
    ways: list[tuple[str, int, Choose]] = [
        (NO_PRM, 0, last_mask),
        (STOP, 0, early_stop),
        (PRM, 0, best_mask),
        (SEARCH, 1, best_mask),
    ]
    scores = {
        (model, way): Scores.of(runs[which], choose, max_steps)
        for model, runs in models.items()
        for way, which, choose in ways
    }
    rows = {model: {way: scores[model, way].to_dict() for way, _, _ in ways} for model in models}
    searched = [p for _, search in models.values() for one in search for p in one]
    base = scores[SFT, NO_PRM]
    table: dict[str, Any] = {
        "candidates": candidates,
        "steps": max_steps,
        "rows": rows,
        "over_sft": {
            model: {way: difference(scores[model, way], base) for way, _, _ in ways if (model, way) != (SFT, NO_PRM)}
            for model in models
        },
        "same_way": {},
        "calls_per_step": _calls_per_step(searched, max_steps),
    }
    for first, second in ((STAR_PLUS, SFT), (STAR_PLUS, LONGER), (STAR_PLUS, STAR), (STAR, SFT), (LONGER, SFT)):
        if first in models and second in models:
            table["same_way"][f"{first} over {second}"] = {
                way: difference(scores[first, way], scores[second, way]) for way, _, _ in ways
            }
    return table


def _calls_per_step(searched: Sequence[Played], max_steps: int) -> dict[str, float]:
    """Model calls per search step, the start's own call left out: the mean, and the most in one step."""
    per_step = [np.diff(p.calls[: max_steps + 1]) for p in searched if p.trajectory.steps]
    together = np.concatenate(per_step) if per_step else np.zeros(1)
    return {"mean": float(together.mean()), "most": float(together.max())}


def undo_table(runs: Mapping[str, Mapping[str, Sequence[Played]]], budgets: Sequence[int]) -> dict[str, Any]:
    """For each model: ways of searching (by name, the first one being Alg. 2) with the same model calls."""
    table: dict[str, Any] = {"budgets": list(budgets), "models": {}}
    for model, ways in runs.items():
        scores = {
            way: {b: Scores.of([episodes], best_within_calls, b) for b in budgets} for way, episodes in ways.items()
        }
        first = next(iter(scores))
        table["models"][model] = {
            "rows": {way: {str(b): s.to_dict() for b, s in one.items()} for way, one in scores.items()},
            "over_first": {
                way: {str(b): difference(one[b], scores[first][b]) for b in budgets}
                for way, one in scores.items()
                if way != first
            },
        }
    return table


def variants_table(variants: Mapping[str, Sequence[Played]], steps: int) -> dict[str, Any]:
    """Tables 4, 5 and 6: the same weights used in several ways, with PRM, and each one minus the first."""
    scores = {name: Scores.of([played], best_mask, steps) for name, played in variants.items()}
    first = next(iter(scores))
    return {
        "steps": steps,
        "rows": {name: one.to_dict() for name, one in scores.items()},
        "over_first": {name: difference(one, scores[first]) for name, one in scores.items() if name != first},
        "same_clicks": {
            name: float(np.mean([_actions(a) == _actions(b) for a, b in zip(played, variants[first], strict=True)]))
            for name, played in variants.items()
        },
    }


def _actions(played: Played) -> list[Any]:
    return [step.action for step in played.trajectory.steps]


def references_table(
    centre: Sequence[Played],
    outline: Sequence[Played],
    upper: Sequence[Played],
    greedy: BySeed,
    shipped: Mapping[str, Sequence[Played]],
    steps: int,
) -> dict[str, Any]:
    """What the numbers are to be seen beside: blind and single clicks and no click below, the annotator above."""
    rows = {
        "image centre, one click": Scores.of([centre], last_mask, 1),
        "own outline, no click (the same for all models)": Scores.of([outline], last_mask, 0),
        "SFT, one greedy click": Scores.of(greedy, last_mask, 1),
        "simulated annotator (upper bound)": Scores.of([upper], best_mask, steps),
    }
    if shipped:
        rows["shipped model, no PRM"] = Scores.of([shipped["greedy"]], last_mask, steps)
        rows["shipped model, PRM"] = Scores.of([shipped["greedy"]], best_mask, steps)
        rows["shipped model, search"] = Scores.of([shipped["search"]], best_mask, steps)
    return {"steps": steps, "rows": {name: one.to_dict() for name, one in rows.items()}}
