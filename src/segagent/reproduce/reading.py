"""Reading episodes: which state each way of playing would have returned, and what that scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from segagent.evaluation.bootstrap import Interval, bootstrap_difference, bootstrap_ratio
from segagent.evaluation.selection import state_after
from segagent.reproduce.episodes import Played
from segagent.search import SearchConfig

Metric: TypeAlias = Literal["cIoU", "mIoU"]
METRICS: tuple[Metric, ...] = ("cIoU", "mIoU")


def endless(
    max_steps: int, candidates: int = 1, *, best_first: bool = False, max_calls: int | None = None
) -> SearchConfig:
    """A search that never stops by itself, so that every way of stopping can be read off its episodes."""
    return SearchConfig(
        max_steps,
        candidates,
        stop_iou=2.0,
        patience=10**6,
        best_first=best_first,
        max_policy_calls=max_calls,
    )


class Choice(NamedTuple):
    """The state that is returned, and the last one that had to be looked at for it."""

    state: int
    last: int


Choose: TypeAlias = Callable[[Played, int], Choice]
"""What an episode would have returned with a budget of so many steps (or model calls)."""


def last_mask(played: Played, steps: int) -> Choice:
    """Fixed steps without PRM: the last mask, whatever it looks like (it need not be scored)."""
    state = state_after(played.trajectory, steps, use_prm=False)
    return Choice(state, max(state - 1, 0))


def best_mask(played: Played, steps: int) -> Choice:
    """With PRM: the best-scored mask so far."""
    last = state_after(played.trajectory, steps, use_prm=False)
    return Choice(state_after(played.trajectory, steps, use_prm=True), last)


def early_stop(played: Played, steps: int) -> Choice:
    """The PRM as stop signal: as :class:`segagent.search.SearchConfig` stops by default, the best-scored mask."""
    config, trajectory = SearchConfig(), played.trajectory
    best = at = 0
    while at < min(steps, len(trajectory.steps)):
        if _score(played, best) >= config.stop_iou or at - best >= config.patience:
            break
        at += 1
        if _score(played, at) > _score(played, best):
            best = at
    return Choice(best, at)


def best_within_calls(played: Played, calls: int) -> Choice:
    """With PRM, at most ``calls`` model calls: the best-scored mask until then."""
    needed = played.calls
    last = max(index for index, number in enumerate(needed) if number <= max(calls, 1))
    return Choice(state_after(played.trajectory, last, use_prm=True), last)


def _score(played: Played, index: int) -> float:
    predicted = played.trajectory.predicted_iou_at(index)
    return -1.0 if predicted is None else predicted


@dataclass(frozen=True, eq=False)
class Scores:
    """Chosen masks of one or more seeds over the same images, one entry per episode."""

    intersections: tuple[float, ...]
    unions: tuple[float, ...]
    images: tuple[str, ...]
    seeds: tuple[int, ...]
    calls: tuple[int, ...]

    @staticmethod
    def of(by_seed: Sequence[Sequence[Played]], choose: Choose, budget: int) -> Scores:
        """What ``choose`` returns for every episode of every seed."""
        rows = [
            (*played.overlaps[choice.state], played.trajectory.image, seed, played.calls[choice.last])
            for seed, episodes in enumerate(by_seed)
            for played in episodes
            for choice in (choose(played, budget),)
        ]
        tops, bottoms, images, seeds, calls = zip(*rows, strict=True)
        return Scores(tops, bottoms, images, seeds, calls)

    def columns(self, metric: Metric) -> tuple[Sequence[float], Sequence[float] | None]:
        """Numerators and denominators of the metric; denominators None for a plain mean."""
        if metric == "cIoU":
            return self.intersections, self.unions
        return [a / b if b else 1.0 for a, b in zip(self.intersections, self.unions, strict=True)], None

    def interval(self, metric: Metric) -> Interval:
        """The metric over all seeds, images resampled as a whole."""
        return bootstrap_ratio(*self.columns(metric), self.images)

    def by_seed(self, metric: Metric) -> list[float]:
        """The metric of each seed."""
        top, bottom = self.columns(metric)
        numerators = np.asarray(top, np.float64)
        denominators = np.ones_like(numerators) if bottom is None else np.asarray(bottom, np.float64)
        seeds = np.array(self.seeds)
        return [float(numerators[seeds == s].sum() / denominators[seeds == s].sum()) for s in np.unique(seeds)]

    def above(self, other: Scores, metric: Metric) -> Interval:
        """This one's metric minus the other's, paired by image."""
        if self.images != other.images:
            raise ValueError("only episodes about the same images can be compared in pairs")
        return bootstrap_difference(self.columns(metric), other.columns(metric), self.images)

    def to_dict(self) -> dict[str, Any]:
        """JSON form: both metrics with intervals and by seed, and mean model calls per episode."""
        return {
            **{metric: self.interval(metric).to_dict() for metric in METRICS},
            "by_seed": {metric: self.by_seed(metric) for metric in METRICS},
            "calls": float(np.mean(self.calls)),
            "episodes": len(self.images),
        }


def difference(first: Scores, second: Scores) -> dict[str, Any]:
    """Both metrics of ``first`` minus ``second``, paired by image, and by seed."""
    return {
        **{metric: first.above(second, metric).to_dict() for metric in METRICS},
        "by_seed": {
            metric: [a - b for a, b in zip(first.by_seed(metric), second.by_seed(metric), strict=True)]
            for metric in METRICS
        },
    }
