"""Stage 5: the process reward model's last layer, from states of the policy's own episodes above all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segagent.learning.policy.loop import Stage, StageBudget
from segagent.learning.policy.rollouts import RewardRow
from segagent.learning.policy.train_states import soft_iou_labels
from segagent.policies.state_head import NUM_IOU, RewardHead

Table = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def tabulate(rows: Sequence[RewardRow]) -> Table:
    """Rows as tensors: mixed, region, sentence, summary, IoU."""
    return (
        torch.stack([r.mixed for r in rows]),
        torch.stack([r.region for r in rows]),
        torch.stack([r.sentence for r in rows]),
        torch.stack([r.summary for r in rows]),
        torch.tensor([r.iou for r in rows], dtype=torch.float32),
    )


def train_reward(
    work: Path,
    rows: Sequence[RewardRow],
    held_out: Sequence[RewardRow],
    budget: StageBudget,
    seed: int,
    *,
    resume: bool,
) -> RewardHead:
    """Train, or continue to train, the reward head; returns the averaged weights."""
    torch.manual_seed(seed)
    stage = Stage("reward", RewardHead(), work, budget, resume=resume)
    network = stage.network
    mixed, region, sentence, summary, ious = tabulate(rows)
    weights = np.array([{"own": 2.0, "annotator": 1.0, "made up": 0.5}[row.source] for row in rows])
    weights /= weights.sum()
    network.train()
    for step in stage.batches():
        rng = np.random.default_rng((seed, 5, step))
        pick = torch.from_numpy(rng.choice(len(rows), 256, p=weights))
        # Without dropout a few thousand states are learnt by heart.
        seen = functional.dropout(region[pick], 0.5)
        logits = network(mixed[pick], seen, functional.dropout(sentence[pick], 0.5), summary[pick])
        loss = -(soft_iou_labels(ious[pick]) * logits.log_softmax(1)).sum(1).mean()
        stage.update(loss)
        if step % 500 == 499 and held_out:
            assert isinstance(stage.average, RewardHead)
            stage.log({"val": reward_quality(stage.average, held_out)})
    assert isinstance(stage.average, RewardHead)
    return stage.average


@torch.no_grad()
def reward_quality(network: RewardHead, rows: Sequence[RewardRow]) -> dict[str, float]:
    """Pearson correlation (0 where all are equal) and mean absolute error of the predicted IoU; ``mixed_`` the
    same before the reward
    head.
    """
    mixed, region, sentence, summary, ious = tabulate(rows)
    bins = torch.arange(NUM_IOU) / (NUM_IOU - 1)
    said = {
        "": network(mixed, region, sentence, summary).softmax(1) @ bins,
        "mixed_": mixed @ bins,
    }
    quality = {}
    for name, value in said.items():
        pearson = float(torch.corrcoef(torch.stack((value, ious)))[0, 1])
        quality[f"{name}r"] = round(pearson, 4) if math.isfinite(pearson) else 0.0
        quality[f"{name}mae"] = round(float((value - ious).abs().mean()), 4)
    return quality
