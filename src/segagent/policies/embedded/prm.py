"""The process reward model's own part: what is seen of the masked region, with and without the words, joined.

Without it the predicted IoU is what the state head says of each hypothesis, mixed by how likely each is meant. With it
the mask is also judged without words (``quality``), and as one more object under the sentence: a good outline of
something else is as wrong as a bad one of what is meant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.policies.embedded.grounding import Grounded, Grounding
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
    """Both parts: how well the mask outlines some thing, and whether that is the thing that is meant.

    ``grounding``: what it reads the sentence with, free to disagree with the policy; None where that is the policy's.
    """

    def __init__(self, grounding: Grounding | None = None) -> None:
        super().__init__()
        self.quality = QualityNet()
        self.joined = JoinedHead()
        self.grounding = grounding


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
    missing = grounded.logits.shape[1] - 2 - len(coverage)
    overlap = functional.pad(overlaps(coverage, mask), (0, missing))[None]
    certain = functional.pad(certainty, (0, missing))[None]
    told = quality.iou.softmax(1)
    return joined_evidence(summary[None], grounded, overlap, certain, quality.compared, told)[0]


def overlaps(coverage: Tensor, mask: Grid) -> Tensor:
    """Soft IoU (n,) of found objects (n, GRID, GRID) with a mask (GRID, GRID), all in 0..1."""
    seen = torch.from_numpy(mask)
    both, either = torch.minimum(coverage, seen).sum((1, 2)), torch.maximum(coverage, seen).sum((1, 2))
    return both / either.clamp(min=1)


def joined_evidence(
    summary: Tensor, grounded: Grounded, overlap: Tensor, certainty: Tensor, compared: Tensor, quality: Tensor
) -> Tensor:
    """:func:`evidence_of` n masks, (n, NUM_EVIDENCE): ``overlap`` and ``certainty`` (n, MAX_OBJECTS) are padded with
    zeros, ``quality`` (n, NUM_IOU) are probabilities. What ``grounded`` was made by learns from it.
    """
    chances = grounded.logits[:, :-1].softmax(1)
    rest = chances[:, 1:]
    meant, best = rest.argmax(1, keepdim=True), overlap.argmax(1, keepdim=True)
    fits = [
        ((logits[:, -1:] - other) / 5).clamp(-3, 3)
        for logits in (grounded.logits, grounded.candidates)
        for other in (
            logits[:, :1],
            logits[:, 1:-1].amax(1, keepdim=True),
            logits[:, :-1].logsumexp(1, keepdim=True),
        )
    ]
    placed = [
        overlap.gather(1, meant), overlap.gather(1, best), (overlap * rest).sum(1, keepdim=True),
        rest.gather(1, best), rest.gather(1, meant), certainty.gather(1, meant), certainty.gather(1, best),
    ]  # fmt: skip
    bins = torch.arange(NUM_IOU, dtype=torch.float32) / (NUM_IOU - 1)
    mean = quality @ bins
    spread = (quality * (bins - mean[:, None]) ** 2).sum(1).sqrt()
    return torch.cat((summary, compared, *fits, *placed, mean[:, None], spread[:, None]), 1)
