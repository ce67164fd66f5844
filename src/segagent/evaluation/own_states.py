"""What a policy thinks of the masks of its own episodes, beside the truth: what a calibration is fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from segagent.core import Policy, SegmentationTool
from segagent.core.failures import Failure
from segagent.datasets import Dataset
from segagent.datasets.loading import load_samples
from segagent.environment import Episode, Target
from segagent.evaluation.evidence import Evidence
from segagent.search import SearchConfig, rollout, with_rewards


@dataclass
class OwnStates:
    """Equally long ``predicted`` and ``true`` IoU in [0, 1] of the states after the start, the ``images`` they belong
    to, and whether they are ``final``; and the samples that ``failed``, as (sample id, reason).
    """

    predicted: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    final: list[bool] = field(default_factory=list)
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
        self.failed += [(before + sample, reason) for sample, reason in other.failed]

    def evidence(self) -> Evidence:
        """The states as evidence."""
        return Evidence.of(self.predicted, self.true, self.images, self.final)


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
    ``progress`` is told (images done, images in all).
    """
    states = OwnStates()
    # No stop: all steps are wanted, and all are scored.
    search = SearchConfig(max_steps, stop_iou=2.0, patience=max_steps)
    for number, group in enumerate(dataset.groups(), 1):
        episodes, targets = [], []
        for one in load_samples(group.samples()):
            if isinstance(one, Failure):
                states.failed.append((one.sample_id, one.reason))
                continue
            sample = one.sample
            episodes.append(Episode(one.image, sample.text, sample.sample_id, sample.image_name, seed=seed))
            targets.append(Target(one.mask, one.ignore))
        for done, target in zip(rollout(episodes, policy, tool, search), targets, strict=True):
            rewarded = with_rewards(done, target)
            for index in range(1, len(rewarded.steps) + 1):
                said, true = rewarded.predicted_iou_at(index), rewarded.reward_at(index)
                if said is not None and true is not None:
                    states.predicted.append(said)
                    states.true.append(true)
                    states.images.append(group.image_name)
                    states.final.append(index == rewarded.returned)
        progress(number, dataset.num_images)
    return states
