"""A SAM of realistic cost for timing: random weights, so its masks mean nothing.

The encoder is ViT-B's (768 wide, 12 heads, window 14) with fewer layers and a smaller input, the decoder is the
published one (256 wide). So that episodes make all their steps, as they would with trained weights, the masks handed
out are small discs around the clicks; the decoder's work, with its own mask input, is done for every request all the
same and thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

from segagent.core import Image, Segmentation, SegmentRequest
from segagent.tools.fake import DiscTool
from segagent.tools.sam import FAMILIES, SamTool


def save_costly_sam(folder: Path, *, side: int, layers: int) -> None:
    """A checkpoint of input ``side`` and ``layers`` encoder layers, every third of them with global attention."""
    config = transformers.SamConfig(
        vision_config={
            "image_size": side,
            "num_hidden_layers": layers,
            "global_attn_indexes": list(range(2, layers, 3)),
        },
        prompt_encoder_config={"image_size": side},
    )
    torch.manual_seed(0)
    transformers.SamModel(config).save_pretrained(folder)


@dataclass(frozen=True, eq=False)
class _Embedding:
    sam: object
    disc: object


class CostlySam:
    """See the module. ``remember`` False encodes a picture anew whenever it is asked for, as published loops do."""

    name = "costly SAM"
    accepts_box = True

    def __init__(self, folder: Path, *, remember: bool) -> None:
        cache = 512 * 1024**2 if remember else 0
        self._sam = SamTool(FAMILIES["sam"], str(folder), device="cpu", cache_bytes=cache)
        self._disc = DiscTool(radius=6)
        self.num_encoded = 0
        self._sam.model.vision_encoder.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.num_encoded += 1

    def embed(self, images: Sequence[Image]) -> list[object]:
        pairs = zip(self._sam.embed(images), self._disc.embed(images), strict=True)
        return [_Embedding(sam, disc) for sam, disc in pairs]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        work, answers = [], []
        for request in requests:
            assert isinstance(request.embedding, _Embedding)
            work.append(SegmentRequest(request.embedding.sam, request.mask, request.memory, request.prompts))
            answers.append(SegmentRequest(request.embedding.disc, request.mask, None, request.prompts))
        return [
            Segmentation(disc.mask, sam.memory)
            for sam, disc in zip(self._sam.segment(work), self._disc.segment(answers), strict=True)
        ]


def make_costly_sam(folder: Path, *, remember: bool = True) -> CostlySam:
    """For :func:`functools.partial`, so that it can be sent to other processes."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return CostlySam(folder, remember=remember)
