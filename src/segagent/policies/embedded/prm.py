"""The process reward model's own part: what is seen of the masked region, with and without the words, joined.

Without it the predicted IoU is what the state head says of each hypothesis, mixed by how likely each is meant. With it
the mask is also judged without words (``quality``), and as one more object under the sentence: a good outline of
something else is as wrong as a bad one of what is meant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segagent.policies.embedded.grounding import Grounded
from segagent.policies.embedded.quality import NUM_COMPARED, Quality, QualityNet
from segagent.policies.embedded.state_head import NUM_IOU, NUM_SUMMARY, Grid

NUM_EVIDENCE = NUM_SUMMARY + NUM_COMPARED + 15
_MARGIN = 1e-4


class JoinedHead(nn.Module):
    """The IoU of a mask with what is meant: ``evidence`` (n, NUM_EVIDENCE) of :func:`evidence_of`, ``mixed`` and
    ``quality`` (n, NUM_IOU) probabilities -> logits (n, NUM_IOU). Untrained it answers ``mixed``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(NUM_EVIDENCE, affine=False)
        self.layers = nn.Sequential(
            nn.Linear(NUM_EVIDENCE, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 64), nn.GELU()
        )
        self.out = nn.Linear(64, NUM_IOU)
        self.trust = nn.Parameter(torch.tensor([1.0, 0.0]))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, evidence: Tensor, mixed: Tensor, quality: Tensor) -> Tensor:
        """See the class."""
        known = self.trust[0] * torch.log(mixed + _MARGIN) + self.trust[1] * torch.log(quality + _MARGIN)
        logits: Tensor = known + self.out(self.layers(self.norm(evidence).clamp(-5, 5)))
        return logits


class Prm(nn.Module):
    """Both parts: how well the mask outlines some thing, and whether that is the thing that is meant."""

    def __init__(self) -> None:
        super().__init__()
        self.quality = QualityNet()
        self.joined = JoinedHead()


def mean_and_spread(distribution: Tensor) -> tuple[Tensor, Tensor]:
    """Of an IoU distribution (NUM_IOU,): mean and standard deviation, in 0..1."""
    bins = torch.arange(NUM_IOU, dtype=torch.float32) / (NUM_IOU - 1)
    mean = distribution @ bins
    return mean, (distribution @ (bins - mean) ** 2).sqrt()


def evidence_of(
    summary: Tensor, grounded: Grounded, coverage: Tensor, certainty: Tensor, mask: Grid, quality: Quality
) -> Tensor:
    """What there is to judge one mask by, (NUM_EVIDENCE,).

    ``summary`` (NUM_SUMMARY,) of the hypotheses; ``grounded``: the sentence against the found objects and, last, the
    masked region, batch 1; ``coverage`` (n, GRID, GRID) and ``certainty`` (n,) of the found objects; ``mask`` (GRID,
    GRID) in 0..1; ``quality`` of the mask, batch 1.
    """
    num, seen = len(coverage), torch.from_numpy(mask)
    both, either = torch.minimum(coverage, seen).sum((1, 2)), torch.maximum(coverage, seen).sum((1, 2))
    overlap = both / either.clamp(min=1)
    chances = grounded.logits[0, : num + 1].softmax(0)
    meant, best = int(chances[1:].argmax()), int(overlap.argmax())
    fits = [
        ((logits[0, -1] - other) / 5).clamp(-3, 3)
        for logits in (grounded.logits, grounded.candidates)
        for other in (logits[0, 0], logits[0, 1 : num + 1].max(), logits[0, : num + 1].logsumexp(0))
    ]
    mean, spread = mean_and_spread(quality.iou[0].softmax(0))
    placed = [
        overlap[meant], overlap[best], (overlap * chances[1:]).sum(), chances[1 + best], chances[1 + meant],
        certainty[meant], certainty[best],
    ]  # fmt: skip
    return torch.cat((summary, quality.compared[0], torch.stack((*fits, *placed, mean, spread))))
