"""Which of the paper's findings hold in miniature: computed from the tables, nothing else.

A finding about a difference holds where its whole 95 % interval lies beyond the bar, does not hold where the whole
interval lies short of it, and is "within the interval" otherwise: the experiment is then too small to tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from segagent.reproduce.tables import NO_PRM, PRM, SEARCH, STOP
from segagent.reproduce.trainings import LONGER, SFT, STAR, STAR_PLUS

HOLDS, FAILS, OPEN, TOO_FEW = "holds", "does not hold", "within the interval", "too few scenes"
FEWEST = 20
"""With fewer images than this, intervals by resampling say nothing."""
SAME = 0.02
"""Two ways that differ by less than this (2 points) are the same for the paper's ablations."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``claim`` with what the ``paper`` says (may be empty), our figures in words, and the ``verdict``."""

    claim: str
    paper: str
    ours: str
    verdict: str

    def to_dict(self) -> dict[str, str]:
        """JSON form."""
        return asdict(self)


def verdict(interval: Mapping[str, Any], bar: float = 0.0) -> str:
    """Whether a value (with "low" and "high") is at least ``bar``. An interval that touches the bar tells nothing."""
    low, high = _bounds(interval)
    if not math.isfinite(low + high):
        return OPEN
    return HOLDS if low > bar else FAILS if high < bar else OPEN


def verdict_at_most(interval: Mapping[str, Any], bar: float) -> str:
    """Whether a value is at most ``bar``."""
    low, high = _bounds(interval)
    return verdict({"low": -high, "high": -low}, -bar)


def verdict_same(interval: Mapping[str, Any], margin: float = SAME) -> str:
    """Whether a difference is smaller than ``margin`` either way."""
    low, high = _bounds(interval)
    if not math.isfinite(low + high):
        return OPEN
    if -margin < low and high < margin:
        return HOLDS
    return FAILS if low > margin or high < -margin else OPEN


def never_falls(changes: Mapping[str, Mapping[str, Any]]) -> str:
    """Whether no step of a curve goes down: a fall counts only where its interval excludes none."""
    values = [(float(c["value"]), _bounds(c)[1]) for c in (change["mIoU"] for change in changes.values())]
    if all(value >= 0 for value, _ in values):
        return HOLDS
    return FAILS if any(high < 0 for _, high in values) else OPEN


def _bounds(interval: Mapping[str, Any]) -> tuple[float, float]:
    low, high = (math.nan if interval.get(name) is None else float(interval[name]) for name in ("low", "high"))
    return low, high


def points(interval: Mapping[str, Any]) -> str:
    """A difference as points with its interval, "+5.1 [+2.0, +8.3]"."""
    return _written(interval, "{:+.1f}", 100)


def percent(interval: Mapping[str, Any]) -> str:
    """A share as percent with its interval, "71.3 [69.0, 73.5]"."""
    return _written(interval, "{:.1f}", 100)


def plain(interval: Mapping[str, Any], digits: int = 2) -> str:
    """A number with its interval."""
    return _written(interval, f"{{:.{digits}f}}", 1)


def _written(interval: Mapping[str, Any], form: str, scale: float) -> str:
    value, low, high = (
        "n/a" if interval.get(name) is None else form.format(scale * interval[name])
        for name in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]"


def findings(results: Mapping[str, Any]) -> list[Finding]:
    """Every finding that the tables of ``results.json`` can speak of, in the order of the page."""
    found: list[Finding] = []
    for part in (_complexity, _steps, _search, _undo, _filtering, _variants):
        found += part(results["tables"])
    if min(results["counts"]["test"].values()) < FEWEST:
        return [replace(one, verdict=TOO_FEW) for one in found]
    return found


def _complexity(tables: Mapping[str, Any]) -> Iterator[Finding]:
    for name, more in tables.get("complexity", {}).get("harder", {}).items():
        yield Finding(
            f"mini-HRES needs more clicks than mini-RES ({name})",
            "DIS5K and ThinObject5K need far more clicks than RefCOCO (Fig. 3)",
            f"{plain(more)} clicks more",
            verdict(more),
        )


def _steps(tables: Mapping[str, Any]) -> Iterator[Finding]:
    for split, models in tables.get("steps", {}).items():
        for model, table in models.items():
            where = f"{split}, {model}"
            changes = table["changes"]["with PRM"]
            lowest = min(changes.values(), key=lambda change: float(change["mIoU"]["value"]), default=None)
            if lowest is not None:
                yield Finding(
                    f"{where}: with PRM the mIoU never falls from the first to the last step",
                    "71.53, 72.98, 75.21, 75.43 (Table 2)",
                    f"smallest change between the steps shown {points(lowest['mIoU'])} points",
                    never_falls(changes),
                )
            last = list(table["gain"])[-1]
            yield Finding(
                f"{where}: at step {last} the mIoU with PRM is above that without",
                "+7.2 points at step 7 (Table 2)",
                f"{points(table['gain'][last]['mIoU'])} points",
                verdict(table["gain"][last]["mIoU"]),
            )
            fall = list(table["changes"]["without PRM"].values())[-1]["mIoU"] if changes else None
            if fall is not None:
                yield Finding(
                    f"{where}: without PRM the last steps make it worse",
                    "-5.7 points from step 5 to 7 (Table 2)",
                    f"{points(fall)} points between the last two steps shown",
                    verdict_at_most(fall, 0.0),
                )


def _search(tables: Mapping[str, Any]) -> Iterator[Finding]:
    res = tables.get("search", {}).get("mini-RES", {})
    for model, row in res.get("rows", {}).items():
        yield Finding(
            f"mini-RES, {model} with PRM and search, {res['steps']} steps: mIoU at least 60 (aim: 75)",
            "",
            f"{percent(row[SEARCH]['mIoU'])}",
            verdict(row[SEARCH]["mIoU"], 0.6),
        )
    table = tables.get("search", {}).get("mini-HRES")
    if table is None:
        return
    yield step_cost(table["calls_per_step"], table["candidates"])
    over = table["over_sft"][SFT]
    yield _bar("PRM as stop signal is above SFT", "+4.1 and +2.4 points of cIoU", over[STOP]["cIoU"], 0)
    yield _bar("search is at least 5 points above SFT, greedy", "+14.7 and +9.8", over[SEARCH]["cIoU"], 0.05)
    pairs = table["same_way"]
    for second, claim, paper, bar in (
        (SFT, "StaR+ is at least 3 points above SFT", "+15.1", 0.03),
        (STAR, "StaR+ is above plain StaR", "", 0.0),
        (LONGER, f"StaR+ is above {LONGER}", "", 0.0),
    ):
        pair = pairs.get(f"{STAR_PLUS} over {second}")
        if pair is not None:
            yield _bar(f"{claim}, greedy without PRM", paper, pair[NO_PRM]["cIoU"], bar)
            if second != STAR:
                yield _bar(f"StaR+ is above {second}, both with PRM", "", pair[PRM]["cIoU"], 0.0)
                yield _bar(f"StaR+ is above {second}, both with search", "", pair[SEARCH]["cIoU"], 0.0)


def step_cost(calls: Mapping[str, float], candidates: int) -> Finding:
    """Whether a search step costs at most as many model calls as there are candidates; ``calls``: mean and most."""
    return Finding(
        f"a search step costs at most K = {candidates} model calls",
        "K + 1 in Alg. 2 as written",
        f"mean {calls['mean']:.2f}, most {calls['most']:.0f}",
        HOLDS if calls["most"] <= candidates else FAILS,
    )


def _bar(claim: str, paper: str, interval: Mapping[str, Any], bar: float) -> Finding:
    told = f"{paper} (Fig. 4)" if paper else ""
    return Finding(f"mini-HRES: {claim} (cIoU)", told,
                   f"{points(interval)} points", verdict(interval, bar))  # fmt: skip


def _undo(tables: Mapping[str, Any]) -> Iterator[Finding]:
    table = tables.get("undo", {})
    for model, one in table.get("models", {}).items():
        for way, budgets in one["over_first"].items():
            last = str(table["budgets"][-1])
            up = way.startswith("best first")
            interval = budgets[last]["mIoU"]
            claim = "best-first search (stepping back) is above Alg. 2" if up else "Alg. 2 is above greedy with PRM"
            if not up:
                interval = {"value": -interval["value"], "low": -_bounds(interval)[1], "high": -_bounds(interval)[0]}
            yield Finding(
                f"mini-HRES, {model}: {claim} at {last} model calls each (mIoU)",
                "named as a limitation: no way to undo a bad click" if up else "",
                f"{points(interval)} points",
                verdict(interval),
            )


def _filtering(tables: Mapping[str, Any]) -> Iterator[Finding]:
    for model, rows in tables.get("filtering", {}).items():
        for name, row in rows.items():
            if not row:
                continue
            own = name.endswith("own states")
            if not own and "random clicks" not in name:
                continue
            bars = (("pearson", 0.75),) if own else (("pearson", 0.85), ("spearman", 0.85))
            for metric, bar in bars:
                paper = "" if own else f"{0.91 if metric == 'pearson' else 0.90:.2f} (Table 3)"
                yield Finding(f"{model}, {name}: {metric.capitalize()} at least {bar}", paper,
                              plain(row[metric]), verdict(row[metric], bar))  # fmt: skip
            if not own:
                yield Finding(f"{model}, {name}: MAE at most 8 points", "5.58 (Table 3)", plain(row["mae"], 1),
                              verdict_at_most(row["mae"], 8.0))  # fmt: skip
            if "calibrated" in row:
                before, after = row["ece"], row["calibrated"]["ece"]
                yield Finding(
                    f"{model}, {name}: calibration on val lowers the calibration error (no interval)",
                    "",
                    f"ECE {before:.3f} before, {after:.3f} after",
                    HOLDS if after < before else FAILS,
                )


def _variants(tables: Mapping[str, Any]) -> Iterator[Finding]:
    for key, claim, paper in (
        ("color", "the mask's colour makes no difference: {}", "0.749, 0.750, 0.749 (Table 4)"),
        ("notation", "the coordinate format makes no difference: {}", "0.749 and 0.747 (Table 6)"),
    ):
        for split, table in tables.get(key, {}).items():
            for name, interval in table["over_first"].items():
                yield Finding(
                    f"{split}: {claim.format(name)}",
                    paper,
                    f"{points(interval['mIoU'])} points of mIoU",
                    verdict_same(interval["mIoU"]),
                )
    for tool, table in tables.get("first_action", {}).items():
        for name, interval in table["over_first"].items():
            yield Finding(
                f"tool {tool}: beginning with its own box changes nothing ({name})",
                "+0.0, -0.4 and +1.2 points of cIoU (Table 5)",
                f"{points(interval['cIoU'])} points of cIoU",
                verdict_same(interval["cIoU"]),
            )
