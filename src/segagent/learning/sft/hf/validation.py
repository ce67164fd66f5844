"""How good a model is that is being trained: it plays a few samples, each process its share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from segagent.core import Trajectory
from segagent.datasets.loading import OncePicture
from segagent.environment import Episode, Target
from segagent.environment.seeds import episode_seed
from segagent.learning.sft.extras import Validation
from segagent.learning.sft.hf.model import with_cache
from segagent.policies.chat import ChatFormat, ChatPolicy
from segagent.policies.hf.loading import Checkpoint
from segagent.policies.hf.model import LocalModel
from segagent.search import SearchConfig, rollout, with_rewards
from segagent.tools import make_tool

CLICKS = (1, 3, 7)
"""After so many clicks the mean IoU is told."""
BEST = f"miou_{CLICKS[-1]}"
_LONGEST_REPLY = 64


class Validator:
    """Plays the samples of a validation with a model as it is at the moment."""

    def __init__(self, validation: Validation, checkpoint: Checkpoint, fmt: ChatFormat, part: int, of: int) -> None:
        """Of the samples every ``of``-th one from ``part`` on is played. Raises ``InputError`` for one that is damaged.

        A sample is read when it is first played.
        """
        self._checkpoint = checkpoint
        self._format = fmt
        self._tool = make_tool(validation.tool)
        self._episodes: list[Episode] = []
        self._targets: list[Target] = []
        picture = OncePicture()
        for sample in islice(validation.dataset, part, validation.samples, of):
            image = picture.of(sample)
            seed = episode_seed(0, sample.sample_id)
            self._episodes.append(Episode(image, sample.text, sample.sample_id, sample.image_name, seed=seed))
            self._targets.append(Target(*sample.load_target(image)))

    def play(self, model: Any) -> list[list[tuple[float | None, float]]]:
        """Of each episode, state by state, the predicted and the true IoU, the empty mask first.

        ``model`` is asked as it is, in evaluation mode, and left as it was.
        """
        inner = model.get_base_model() if hasattr(model, "peft_config") else model
        one = self._checkpoint
        local = LocalModel(
            Checkpoint(inner, one.processor, one.tokenizer, one.model_type), max_new_tokens=_LONGEST_REPLY
        )
        policy = ChatPolicy("in training", local, self._format)
        was_training = inner.training
        inner.eval()
        try:
            with torch.no_grad(), with_cache(inner):
                search = SearchConfig(max(CLICKS), use_prm=False)
                played = list(rollout(self._episodes, policy, self._tool, search))
        finally:
            inner.train(was_training)
        return [_ious(with_rewards(t, target)) for t, target in zip(played, self._targets, strict=True)]


def _ious(trajectory: Trajectory) -> list[tuple[float | None, float]]:
    states = range(len(trajectory.steps) + 1)
    return [(trajectory.predicted_iou_at(state), trajectory.reward_at(state) or 0.0) for state in states]


def figures(played: Sequence[Sequence[tuple[float | None, float]]]) -> dict[str, float]:
    """Mean IoU after some clicks, and the Pearson correlation of predicted and true IoU over all states.

    An episode that ended before counts with its last mask. The correlation is left out where there is none: no IoU was
    predicted, or always the same.
    """
    found = {f"miou_{n}": float(np.mean([states[min(n, len(states) - 1)][1] for states in played])) for n in CLICKS}
    pairs = [(said, true) for states in played for said, true in states if said is not None]
    if len(pairs) > 1:
        said, true = np.array(pairs, np.float64).T
        if said.std() > 0 and true.std() > 0:
            found["pearson"] = float(np.corrcoef(said, true)[0, 1])
    return found
