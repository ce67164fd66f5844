"""Losses of the click tool."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of cross-entropy + normalised focal + soft IoU loss, a scalar.

    ``logits`` and ``target`` (0 or 1) are (batch, side, side) float. Cross-entropy calibrates, the focal term keeps
    hard pixels alive, and the soft IoU gives a small object the weight of a large one.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = logits.sigmoid()
    wrong = (probability - target).abs() ** 2
    # Dividing by the batch item's own focal weight keeps the gradient from vanishing as the item gets easy.
    focal = (wrong * entropy).sum((1, 2)) / wrong.detach().sum((1, 2)).clamp_min(1.0)
    overlap = (probability * target).sum((1, 2))
    union = (probability + target - probability * target).sum((1, 2))
    soft_iou = 1 - (overlap + 1) / (union + 1)
    return (entropy.mean((1, 2)) + 0.5 * focal + soft_iou).mean()
