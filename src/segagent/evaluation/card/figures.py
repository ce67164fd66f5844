"""The figures of a card and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["percent", "number"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. ``percent`` ones are fractions that pages show times 100. ``better``: "higher", "lower" or ""."""

    ability: str
    name: str
    unit: Unit
    better: str
    definition: str

    @property
    def key(self) -> str:
        """Unique among all figures."""
        return f"{self.ability}/{self.name}"


SCORE = "masks/gIoU"
"""The figure that leaderboards are ordered by."""

SCORE_DEFINITION = (
    "gIoU in percent: mean over sentences of the IoU of the mask that is returned when the policy starts from nothing "
    "and its own predicted IoU, or its Finish, ends the episode. It speaks of policy and tool together, and not of "
    "refinement, self-assessment or cost."
)

_AGREEMENT = (
    ("Pearson", "number", "higher", "correlation of predicted and true IoU"),
    ("Spearman", "number", "higher", "rank correlation of predicted and true IoU"),
    ("MAE", "percent", "lower", "mean distance of predicted and true IoU"),
    (
        "AUROC@80",
        "number",
        "higher",
        "how often a mask with an IoU of at least 0.8 is scored above one below it; 0.5 by chance",
    ),
    ("ECE", "percent", "lower", "expected calibration error over ten bins of the predicted IoU"),
)


def _agreement(ability: str, masks: str) -> tuple[Figure, ...]:
    return tuple(
        Figure(ability, name, "percent" if unit == "percent" else "number", better, f"{meaning}; {masks}")
        for name, unit, better, meaning in _AGREEMENT
    )


FIGURES: tuple[Figure, ...] = (
    Figure("masks", "gIoU", "percent", "higher", "mean over sentences of the IoU of the returned mask"),
    Figure("masks", "cIoU", "percent", "higher", "sum of intersections over sum of unions of the returned masks"),
    Figure("masks", "Pr@0.8", "percent", "higher", "share of returned masks with an IoU of at least 0.8 (accepted)"),
    Figure(
        "localisation",
        "first-click hit rate",
        "percent",
        "higher",
        "share of first actions, from nothing, that are a positive click on the target; sentences without a target and "
        "first boxes left out, invalid replies count as misses",
    ),
    Figure(
        "localisation",
        "IoU after one action",
        "percent",
        "higher",
        "mean IoU after the first action, click or box, from nothing; sentences without a target left out",
    ),
    Figure("refinement", "start IoU", "percent", "", "mean IoU of the degraded masks"),
    Figure("refinement", "gain, one step", "percent", "higher", "mean IoU after the first action minus that before it"),
    Figure("refinement", "gain, episode", "percent", "higher", "mean IoU of the returned mask minus that of the start"),
    Figure(
        "refinement",
        "steps that raise it",
        "percent",
        "higher",
        "share of actions after which the IoU was higher than before; Finish is no such action, an invalid reply is",
    ),
    Figure("refinement", "made worse", "percent", "lower", "share of returned masks with a lower IoU than their start"),
    *_agreement("self-assessment", "every mask that the policy came to from nothing, all steps played"),
    *_agreement("given masks", "the degraded masks that refinement starts from, the same ones for every policy"),
    Figure(
        "stopping",
        "IoU lost",
        "percent",
        "lower",
        "IoU of the best state of all that playing every step comes to, minus that of the returned one",
    ),
    Figure("stopping", "lost by stopping", "percent", "lower", "the part of it that is first reached after the stop"),
    Figure("stopping", "lost by choosing", "percent", "lower", "the part of it that was reached and not returned"),
    Figure(
        "stopping",
        "early stops",
        "percent",
        "lower",
        "share of episodes that stopped before the first state within 0.01 of the best one's IoU",
    ),
    Figure("stopping", "late stops", "percent", "lower", "share of episodes that went on after that state"),
    Figure("stopping", "steps used", "number", "", "mean actions until the stop, Finish not counted"),
    Figure("stopping", "steps needed", "number", "", "mean actions until that state"),
    Figure("cost", "calls", "number", "lower", "calls of the policy's model per sentence, until the stop"),
    Figure("cost", "tokens", "number", "lower", "prompt and completion tokens per sentence, where the model tells"),
    Figure("cost", "seconds", "number", "lower", "per sentence, until the stop: policy, tool and loading the image"),
    Figure(
        "cost",
        "seconds per accepted mask",
        "number",
        "lower",
        "all seconds over the number of returned masks with an IoU of at least 0.8",
    ),
    Figure("cost", "invalid replies", "percent", "lower", "share of actions that could not be carried out"),
)
"""In the order of a card."""

BY_KEY = {figure.key: figure for figure in FIGURES}

TIMED = ("cost/seconds", "cost/seconds per accepted mask")
"""Figures that differ between two runs of the same."""


def abilities() -> list[str]:
    """The abilities in order, each once."""
    return list(dict.fromkeys(figure.ability for figure in FIGURES))
