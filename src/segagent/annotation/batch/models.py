"""What does the work: a policy, a tool and what the policy's predicted IoU is worth."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from segagent.core import Policy
from segagent.evaluation.calibration import Calibration, load_with_evidence
from segagent.evaluation.evidence import Evidence
from segagent.policies import make_policy, with_first_box, with_known_format
from segagent.runs.models import Models as PlayingModels
from segagent.tools import make_tool


@dataclass(frozen=True)
class Models(PlayingModels):
    """``calibration`` None: the predicted IoU is taken as it is. ``evidence``: what the calibration was fitted on."""

    policy: Policy
    calibration: Calibration | None = None
    evidence: Evidence | None = None

    def calibrated(self, predicted_iou: float, doubts: Collection[str] = ()) -> float:
        """The expected IoU of masks that are predicted ``predicted_iou`` while the policy has these ``doubts``."""
        return predicted_iou if self.calibration is None else self.calibration(predicted_iou, bool(doubts))

    def predicted_for(self, calibrated_iou: float) -> float:
        """The lowest predicted IoU, in hundredths, whose calibrated value is at least ``calibrated_iou``.

        2 where there is none: no prediction reaches that.
        """
        reached = self._calibrated_hundredths >= calibrated_iou
        return float(np.argmax(reached)) / 100 if reached.any() else 2.0

    @cached_property
    def _calibrated_hundredths(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([self.calibrated(value / 100) for value in range(101)], np.float64)


MakeModels: TypeAlias = Callable[[], Models]
"""Makes them; it is sent to other processes, so it must be picklable (``partial(make_models, "embedded", ...)``)."""


def make_models(policy: str, tool: str, first_box: str | None = None) -> Models:
    """The models of two specifications, with the calibration stored with the policy.

    ``first_box``: see :func:`segagent.policies.with_first_box`; None leaves it to the policy's specification.
    """
    made = with_known_format(make_policy(policy))
    if first_box is not None:
        made = with_first_box(made, first_box)
    return Models(made, make_tool(tool), *load_with_evidence(policy))
