"""What one episode adds to the figures of a card. The definitions in words are in ``figures``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from segagent.core import Finish, Trajectory
from segagent.evaluation.card.protocol import TOLERANCE
from segagent.evaluation.measuring import MeasuredSample, Rules, measure
from segagent.evaluation.metrics import Pair, Ratio, Sums
from segagent.search import SearchConfig
from segagent.search.stopping import shortened


@dataclass(frozen=True, slots=True)
class FromNothing:
    """What an episode from nothing adds: ``whole`` is all T steps, ``returned`` the state that stopping returns."""

    sums: Sums
    returned: int
    iou: float
    stopped: str
    scored: int


def from_nothing(sample: MeasuredSample, search: SearchConfig) -> FromNothing:
    """An episode that was played to its full length, and what ``search`` would have made of it.

    Raises ``ValueError`` where masks are damaged.
    """
    rules = Rules("res", search.max_steps)
    whole = measure(sample, rules)
    cut = shortened(sample.trajectory, search)
    outside = sample.seconds - sample.trajectory.seconds
    kept = measure(replace(sample, trajectory=cut, seconds=outside + cut.seconds), rules)
    (played,), (ended,) = whole.sums.images.values(), kept.sums.images.values()
    ratios: dict[str, Ratio] = {f"masks/{name}": ended.ratios[name] for name in ("gIoU", "cIoU", "Pr@0.8")}
    if "first-click hit rate" in played.ratios:
        ratios["localisation/first-click hit rate"] = played.ratios["first-click hit rate"]
    if "T-acc" in played.ratios:
        ratios["localisation/IoU after one action"] = whole.ious[min(1, len(whole.ious) - 1)], 1
    ratios |= {f"stopping/{name}": (value, 1) for name, value in stopping(whole.ious, cut).items()}
    cost = ("calls", "tokens", "seconds", "seconds per accepted mask", "invalid replies")
    ratios |= {f"cost/{name}": ended.ratios[name] for name in cost if name in ended.ratios}
    return FromNothing(
        Sums.of(sample.trajectory.image, ratios, played.pairs), kept.state, kept.iou, cut.stopped, len(played.pairs)
    )


def stopping(ious: Sequence[float], cut: Trajectory) -> dict[str, float]:
    """The figures of stopping: ``ious`` of all states of the full-length episode, ``cut`` what stopping made of it."""
    best = max(ious)
    reached = max(ious[: len(cut.steps) + 1])
    needed = next(index for index, value in enumerate(ious) if value >= best - TOLERANCE)
    used = sum(not isinstance(step.action, Finish) for step in cut.steps)
    return {
        "IoU lost": best - ious[cut.returned],
        "lost by stopping": best - reached,
        "lost by choosing": reached - ious[cut.returned],
        "early stops": float(used < needed),
        "late stops": float(used > needed),
        "steps used": float(used),
        "steps needed": float(needed),
    }


def from_degraded(sample: MeasuredSample, search: SearchConfig) -> Sums:
    """An episode from a degraded mask: refinement, and as a pair what the policy thought of the start.

    Raises ``ValueError`` where masks are damaged.
    """
    measured = measure(sample, Rules("refine", search.max_steps))
    trajectory, ious = sample.trajectory, measured.ious
    tried = [
        ious[index] > ious[step.parent]
        for index, step in enumerate(trajectory.steps, 1)
        if not isinstance(step.action, Finish)
    ]
    ratios: dict[str, Ratio] = {
        "refinement/start IoU": (ious[0], 1),
        "refinement/gain, one step": (ious[min(1, len(ious) - 1)] - ious[0], 1),
        "refinement/gain, episode": (measured.iou - ious[0], 1),
        "refinement/steps that raise it": (sum(tried), len(tried)),
        "refinement/made worse": (float(measured.iou < ious[0]), 1),
    }
    said = trajectory.start.predicted_iou
    pairs: list[Pair] = [] if said is None else [(said, ious[0])]
    return Sums.of(trajectory.image, ratios, pairs)
