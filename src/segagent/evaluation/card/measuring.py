"""A card out of stored episodes: no model, no data set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from segagent.core import InputError
from segagent.core.failures import Failure
from segagent.core.versions import __version__
from segagent.evaluation.bootstrap import Interval
from segagent.evaluation.calibration import reliability
from segagent.evaluation.card.abilities import FromNothing, from_degraded, from_nothing
from segagent.evaluation.card.figures import FIGURES, SCORE, SCORE_DEFINITION
from segagent.evaluation.card.protocol import Benchmark, DataSet, card_name, without_folders
from segagent.evaluation.measuring import MeasuredSample
from segagent.evaluation.metrics import Sums, agreement
from segagent.evaluation.results import EvaluationRun, Found, judged_samples, measure_run, open_runs, read_samples

CARD_SCHEMA = "segagent.card/1"

_AGREEMENT_NAMES = {
    "Pearson": "Pearson",
    "Spearman": "Spearman",
    "predicted IoU MAE": "MAE",
    "AUROC@80": "AUROC@80",
    "ECE": "ECE",
}
_BASELINES = {
    "centre": ("gIoU", "cIoU", "first-click hit rate"),
    "outline": ("gIoU", "cIoU", "Pr@0.8"),
    "annotator": ("gIoU", "cIoU"),
}

Figures: TypeAlias = dict[str, dict[str, Any]]
"""By key of :class:`segagent.evaluation.card.figures.Figure`: value, low, high (null: unknown) and count."""


@dataclass(frozen=True)
class Section:
    """One data set's part of a card, JSON-ready, and what its gallery is made of."""

    content: dict[str, Any]
    run: EvaluationRun
    found: list[Found]
    dataset: DataSet


def measure_section(one: DataSet, out: str | Path, config: Benchmark) -> Section:
    """The figures of one data set, from what :func:`play_benchmark` stored. Raises ``InputError`` for damaged files."""
    folders = {play: Path(out) / one.folder / play for play in config.plays()}
    # Not every policy has outlines of its own.
    runs = {play: open_runs([at])[0] for play, at in folders.items() if play != "outline" or at.is_dir()}
    played: list[FromNothing] = []
    found: list[Found] = []
    states = 0
    for sample in judged_samples(runs["full"]):
        about = sample.trajectory
        made = _measured(sample, lambda s: from_nothing(s, config.search))
        found.append(Found(len(played), about.sample_id, about.image, about.text, made.returned, made.iou))
        played.append(made)
        states += len(about.steps)
    nothing = Sums.total(made.sums for made in played)
    given = Sums.total(_measured(s, lambda s: from_degraded(s, config.search)) for s in judged_samples(runs["refine"]))
    figures = {
        **_ratios(nothing),
        **_ratios(given),
        **_agreement("self-assessment", nothing),
        **_agreement("given masks", given),
    }
    pairs = nothing.pairs
    content = {
        "data": one.label,
        "fingerprint": one.dataset.fingerprint,
        "counts": {
            "images": len({one.image for one in found}),
            "sentences": len(found),
            "without target": len(found) - round(nothing.sum_of("localisation/IoU after one action")[1]),
            "refined": round(given.sum_of("refinement/start IoU")[1]),
            "states": states,
            "states with a predicted IoU": sum(made.scored for made in played),
            "failed": len(_failed(runs.values())),
        },
        "figures": {figure.key: figures.get(figure.key, _unknown()) for figure in FIGURES},
        "baselines": {name: _baseline(runs[name], names) for name, names in _BASELINES.items() if name in runs},
        "stopped": dict(sorted(Counter(made.stopped for made in played).items())),
        "reliability": [asdict(b) for b in reliability([p[0] for p in pairs], [p[1] for p in pairs])] if pairs else [],
    }
    return Section(content, runs["full"], found, one)


def make_card(sections: Sequence[Section], config: Benchmark, name: str | None = None) -> dict[str, Any]:
    """The whole card, JSON-ready. ``name``: how leaderboards call it; None for the policy's specification."""
    runs = [section.run for section in sections]
    about = runs[0].config
    policy = str(about["policy"])
    return {
        "schema": CARD_SCHEMA,
        "name": card_name(name, policy),
        "policy": without_folders(policy),
        "policy_answers": str(about["policy_answers"]),
        "tool": without_folders(str(about["tool"])),
        "tool_answers": str(about["tool_answers"]),
        "protocol": config.to_dict(),
        "score": {"figure": SCORE, "definition": SCORE_DEFINITION},
        "data": [section.content for section in sections],
        "versions": {**runs[0].versions, "measured with segagent": __version__},
    }


def _measured(sample: MeasuredSample, measure: Callable[[MeasuredSample], Any]) -> Any:
    try:
        return measure(sample)
    except ValueError as error:
        raise InputError(f"sample {sample.trajectory.sample_id!r:.80}: damaged record ({error})") from error


def _failed(runs: Any) -> set[str]:
    """Samples that failed in any play."""
    failures = (Failure.from_dict(record) for run in runs for _, record in read_samples(run))
    return {failure.sample_id for failure in failures if failure is not None}


def _ratios(sums: Sums) -> Figures:
    """Each with what it was divided by as the count; cIoU, divided by pixels, with the number of masks."""
    counted = {name: round(sums.sum_of(name)[1]) for name in sums.names}
    if "masks/cIoU" in counted:
        counted["masks/cIoU"] = counted["masks/gIoU"]
    return {name: _value(interval, counted[name]) for name, interval in sums.intervals().items()}


def _agreement(ability: str, sums: Sums) -> Figures:
    pairs = sums.pairs
    found = agreement(pairs)
    return {
        f"{ability}/{ours}": _value(found[theirs], len(pairs))
        for theirs, ours in _AGREEMENT_NAMES.items()
        if theirs in found
    }


def _baseline(run: EvaluationRun, names: Sequence[str]) -> Figures:
    results, _ = measure_run(run)
    metrics, counts = results["metrics"], results["counts"]
    first = {"first-click hit rate": ("localisation/first-click hit rate", counts["with_target"])}
    found = {name: first.get(name, (f"masks/{name}", counts["trajectories"])) for name in names if name in metrics}
    return {key: {**metrics[name], "count": count} for name, (key, count) in found.items()}


def _value(interval: Interval, count: int) -> dict[str, Any]:
    known = {name: value if math.isfinite(value) else None for name, value in interval.to_dict().items()}
    return {**known, "count": count}


def _unknown() -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "count": 0}
