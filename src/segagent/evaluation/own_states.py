"""What a policy thinks of the masks of its own episodes, beside the truth: what a calibration is fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from segagent.core import Image, Policy, SegmentationTool, Trajectory
from segagent.core.failures import Failure
from segagent.datasets import Dataset
from segagent.evaluation.calibration import Calibration, fit_calibration
from segagent.evaluation.evidence import Evidence
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.run import image_records
from segagent.policies.doubts import speaks_against
from segagent.runs.models import Models
from segagent.search import SearchConfig

ENOUGH_DOUBTED = 100
"""With fewer states of objects that the policy doubts no calibration of their own is fitted."""


@dataclass
class OwnStates:
    """Equally long ``predicted`` and ``true`` IoU in [0, 1] of the states after the start, the ``images`` they belong
    to, and whether they are ``final`` and the policy has doubts about their object (``doubted``); and the samples that
    ``failed``, as (sample id, reason).
    """

    predicted: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    final: list[bool] = field(default_factory=list)
    doubted: list[bool] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: OwnStates, dataset: str | None = None) -> None:
        """``other``'s states too. ``dataset``, where given, tells its images and samples from those of other data sets
        that have the same names.
        """
        before = "" if dataset is None else f"{dataset}: "
        self.predicted += other.predicted
        self.true += other.true
        self.images += [before + image for image in other.images]
        self.final += other.final
        self.doubted += other.doubted
        self.failed += [(before + sample, reason) for sample, reason in other.failed]

    def evidence(self) -> Evidence:
        """The states of objects that the policy does not doubt, as evidence; all where it doubts every one."""
        rows = [row for row, doubted in enumerate(self.doubted) if not doubted] or range(len(self.predicted))
        return Evidence.of(
            [self.predicted[row] for row in rows],
            [self.true[row] for row in rows],
            [self.images[row] for row in rows],
            [self.final[row] for row in rows],
        )

    def calibration(self) -> Calibration:
        """Fitted on the states, those of doubted objects apart where there are :data:`ENOUGH_DOUBTED` and others.

        Raises ``ValueError`` without states.
        """
        surely, doubted = (
            [row for row, marked in enumerate(self.doubted) if marked == doubts] for doubts in (False, True)
        )
        if not surely or len(doubted) < ENOUGH_DOUBTED:
            return fit_calibration(self.predicted, self.true)
        main, other = (
            fit_calibration([self.predicted[row] for row in rows], [self.true[row] for row in rows])
            for rows in (surely, doubted)
        )
        return replace(main, doubted=other)

    def corrected(self, calibration: Calibration) -> list[float]:
        """The expected IoU of each state."""
        return [calibration(said, marked) for said, marked in zip(self.predicted, self.doubted, strict=True)]


def own_states(
    policy: Policy,
    tool: SegmentationTool,
    dataset: Dataset,
    *,
    max_steps: int = 7,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> OwnStates:
    """Greedy episodes of ``max_steps`` steps on every sample, each state with its predicted and its true IoU.

    States without a predicted IoU are left out. The state with the best predicted IoU of an episode is marked final.
    ``progress`` is called with (images done, images in all).
    """
    states, models = OwnStates(), Models(policy, tool)
    # No stop: all steps are wanted, and all are scored.
    config = EvaluationConfig(search=SearchConfig(max_steps, stop_iou=2.0, patience=max_steps), seed=seed)
    for number, group in enumerate(dataset.groups(), 1):
        image: Image | None = None
        for record in image_records(models, group, config, one_seed=True):
            failure = Failure.from_dict(record)
            if failure is not None:
                states.failed.append((failure.sample_id, failure.reason))
                continue
            rewarded = Trajectory.from_dict(record)
            image = image or group.samples()[0].load_image()
            doubted = bool(speaks_against(policy, image, rewarded.text))
            for index in range(1, len(rewarded.steps) + 1):
                said, true = rewarded.predicted_iou_at(index), rewarded.reward_at(index)
                if said is not None and true is not None:
                    states.predicted.append(said)
                    states.true.append(true)
                    states.images.append(group.image_name)
                    states.final.append(index == rewarded.returned)
                    states.doubted.append(doubted)
        progress(number, dataset.num_images)
    return states
