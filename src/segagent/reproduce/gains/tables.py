"""What the episodes of the experiment about gains come to: rows, and which findings hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segagent.evaluation.bootstrap import bootstrap_statistics
from segagent.reproduce.episodes import Played
from segagent.reproduce.findings import FEWEST, TOO_FEW, Finding, plain, points, step_cost, verdict, verdict_at_most
from segagent.reproduce.gains.config import GainsConfig
from segagent.reproduce.gains.models import GRPO, HARD, LONGER, MODELS, SFT, SHIPPED, STAR_PLUS
from segagent.reproduce.masks import JudgedMask
from segagent.reproduce.reading import Choice, Choose, Scores, best_mask, last_mask

NO_PRM, PRM, SEARCH, SAMPLED = "no PRM", "PRM", "search", "sampled search"
TRUE_PRM, TRUE_SEARCH, TRUE_STATE = "true PRM", "search, true PRM", "search, best state"
PlayedBy = Mapping[tuple[str, str, str], list[list[Played]]]
"""Episodes of each seed by (split, model, way)."""

_RESAMPLES = 2000


def truly_best(played: Played, steps: int) -> Choice:
    """The state with the best true IoU: a bound."""
    ious = [a / b if b else 1.0 for a, b in played.overlaps[: min(steps, len(played.trajectory.steps)) + 1]]
    best = int(np.argmax(ious))
    return Choice(best, len(ious) - 1)


_READ: dict[str, tuple[str, Choose]] = {
    NO_PRM: ("greedy", last_mask),
    PRM: ("greedy", best_mask),
    TRUE_PRM: ("greedy", truly_best),
    SEARCH: ("search", best_mask),
    SAMPLED: ("sampled search", best_mask),
    TRUE_STATE: ("search", truly_best),
    TRUE_SEARCH: ("true search", best_mask),
}
"""How a model is played, and what is read off: the last of T masks of the greedy episode, the one with the best
predicted IoU, the one with the best true IoU; the search, over distinct objects first or over samples alone, with the
best predicted IoU; the state on the search's path with the best true IoU; the search that the true IoU guides.
"""


def gains_tables(
    config: GainsConfig, played: PlayedBy, masks: Mapping[tuple[str, str], list[JudgedMask]]
) -> dict[str, Any]:
    """All tables; of what was not played there are no rows."""
    hard, steps = "mini-HRES", config.max_steps
    scores = {
        (model, how): Scores.of(played[hard, model, way], choose, steps)
        for model in (*MODELS, SHIPPED)
        for how, (way, choose) in _READ.items()
        if (hard, model, way) in played
    }
    tables: dict[str, Any] = {
        "rows": {f"{model}, {how}": one.to_dict() for (model, how), one in scores.items()},
        "references": {
            f"{split}, {name}": Scores.of(played[split, name, ""], choose, budget).to_dict()
            for split in ("mini-RES", hard)
            for name, choose, budget in (("outline", last_mask, 0), ("simulated", best_mask, steps))
            if (split, name, "") in played
        },
        "simple": {
            f"{model}, {how}": Scores.of(played["mini-RES", model, "greedy"], choose, steps).to_dict()
            for model in (SFT, STAR_PLUS)
            for how, choose in ((NO_PRM, last_mask), (PRM, best_mask))
            if ("mini-RES", model, "greedy") in played
        },
        "hits": {
            model: float(np.mean([p.first_hit for one in played[hard, model, "greedy"] for p in one]))
            for model in (*MODELS, SHIPPED)
            if (hard, model, "greedy") in played
        },
        "calls": calls_per_step(played, config),
    }
    tables["compared"] = _compared(scores, masks, hard)
    return tables


def calls_per_step(played: PlayedBy, config: GainsConfig) -> dict[str, float]:
    """Model calls per step of the searches, the start's own left out: mean and most."""
    made = [
        p for (_, _, way), runs in played.items() if way in ("search", "sampled search") for one in runs for p in one
    ]
    steps = [n for p in made for n in np.diff(p.calls[: config.max_steps + 1]).tolist()]
    return {"mean": float(np.mean(steps)), "most": float(max(steps)), "K": config.candidates} if steps else {}


_FIG_4 = "+14.7, +9.8 (Fig. 4)"
_CLAIMS: tuple[tuple[str, str, str, tuple[str, str], tuple[str, str], float], ...] = (
    ("StaR+ is at least 3 points above SFT", "+15.1 (Fig. 4)", "cIoU", (STAR_PLUS, NO_PRM), (SFT, NO_PRM), 0.03),
    (f"StaR+ is above {LONGER}", "", "cIoU", (STAR_PLUS, NO_PRM), (LONGER, NO_PRM), 0.0),
    (f"StaR+ is above {HARD}", "", "cIoU", (STAR_PLUS, NO_PRM), (HARD, NO_PRM), 0.0),
    ("GRPO after StaR+ is at least 2 points above it", "", "mIoU", (GRPO, NO_PRM), (STAR_PLUS, NO_PRM), 0.02),
    ("search is at least 5 points above SFT, greedy", _FIG_4, "cIoU", (SFT, SEARCH), (SFT, NO_PRM), 0.05),
    ("shipped: search is at least 5 points above greedy", "", "cIoU", (SHIPPED, SEARCH), (SHIPPED, NO_PRM), 0.05),
    ("distinct objects first is above samples alone", "", "cIoU", (SFT, SEARCH), (SFT, SAMPLED), 0.0),
)
"""Claim, what the paper says, metric, first and second of the difference, bar."""
_SHARES = {
    f"{model}: the PRM gets at least half of what a perfect one would, in the same search": model
    for model in (SFT, SHIPPED)
}
_PEARSON, _MAE = "SFT, random clicks: Pearson at least 0.85", "SFT, random clicks: MAE at most 9 points"


def _compared(
    scores: Mapping[tuple[str, str], Scores], masks: Mapping[tuple[str, str], list[JudgedMask]], split: str
) -> dict[str, Any]:
    """Each claim's value with its 95 % interval and with one corrected for the number of claims (Bonferroni)."""
    told = [claim for claim in _CLAIMS if claim[3] in scores and claim[4] in scores]
    shares = [
        claim
        for claim, model in _SHARES.items()
        if all((model, how) in scores for how in (SEARCH, TRUE_SEARCH, NO_PRM))
    ]
    judged = masks.get((split, SFT), [])
    num = len(told) + len(shares) + 2 * bool(judged)
    if not num:
        return {}
    found: dict[str, Any] = {}
    for name, confidence in (("interval", 0.95), ("corrected", 1 - 0.05 / num)):
        if told or shares:
            for claim, one in _bootstrapped(scores, told, shares, confidence).items():
                found.setdefault(claim, {})[name] = one
        if judged:
            for claim, one in _filtered(judged, confidence).items():
                found.setdefault(claim, {})[name] = one
    return {"number": num, "claims": found}


def _bootstrapped(
    scores: Mapping[tuple[str, str], Scores], told: Sequence[Any], shares: Sequence[str], confidence: float
) -> dict[str, Any]:
    columns = {key: tuple(np.array(c, np.float64) for c in (s.intersections, s.unions)) for key, s in scores.items()}
    images = next(iter(scores.values())).images
    if any(one.images != images for one in scores.values()):
        raise ValueError("only episodes about the same images can be compared in pairs")

    def metric(key: tuple[str, str], name: str, rows: npt.NDArray[np.int64]) -> float:
        top, bottom = (column[rows] for column in columns[key])
        if name == "cIoU":
            return float(top.sum() / bottom.sum())
        return float(np.divide(top, bottom, out=np.ones_like(top), where=bottom > 0).mean())

    def statistics(rows: npt.NDArray[np.int64]) -> dict[str, float]:
        values = {
            claim: metric(first, name, rows) - metric(second, name, rows) for claim, _, name, first, second, _ in told
        }
        for claim in shares:
            base, gained, possible = (
                metric((_SHARES[claim], how), "mIoU", rows) for how in (NO_PRM, SEARCH, TRUE_SEARCH)
            )
            values[claim] = (gained - base) / (possible - base) if possible > base else float("nan")
        return values

    found = bootstrap_statistics(statistics, images, confidence=confidence, num_resamples=_RESAMPLES)
    return {name: one.to_dict() for name, one in found.items()}


def _filtered(judged: Sequence[JudgedMask], confidence: float) -> dict[str, Any]:
    said, true = (np.array([getattr(one, name) for one in judged]) for name in ("predicted", "true"))

    def statistics(rows: npt.NDArray[np.int64]) -> dict[str, float]:
        pearson = float("nan")
        if min(np.ptp(said[rows]), np.ptp(true[rows])) > 0:
            pearson = float(np.corrcoef(said[rows], true[rows])[0, 1])
        return {_PEARSON: pearson, _MAE: float(100 * np.abs(said[rows] - true[rows]).mean())}

    images = [one.image for one in judged]
    found = bootstrap_statistics(statistics, images, confidence=confidence, num_resamples=_RESAMPLES)
    return {name: one.to_dict() for name, one in found.items()}


def findings(results: Mapping[str, Any]) -> list[Finding]:
    """Every claim with its verdict by the corrected interval."""
    tables = results["tables"]
    compared = tables["compared"].get("claims", {})
    few = min((row["episodes"] for row in tables["rows"].values()), default=0) < FEWEST
    found = []
    for claim, paper, name, _, _, bar in _CLAIMS:
        if claim in compared:
            one = compared[claim]
            found.append(Finding(f"{claim} ({name})", paper, points(one["interval"]), verdict(one["corrected"], bar)))
    for claim, paper, bar, most in (
        *((claim, "", 0.5, False) for claim in _SHARES),
        (_PEARSON, "0.91 (Table 3)", 0.85, False),
        (_MAE, "5.58 (Table 3)", 9.0, True),
    ):
        if claim in compared:
            one = compared[claim]
            told = (verdict_at_most if most else verdict)(one["corrected"], bar)
            found.append(Finding(claim, paper, plain(one["interval"]), told))
    if tables["calls"]:
        found.append(step_cost(tables["calls"], tables["calls"]["K"]))
    return [Finding(one.claim, one.paper, one.ours, TOO_FEW) for one in found] if few else found
