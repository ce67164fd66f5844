"""What differs between the members of the SAM family."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class SamFamily:
    """One family of checkpoints.

    ``kind``: the word before the colon. ``model_class``: its class in transformers. ``model_types``: the
    ``model_type`` of configurations that this class reads (the published SAM 2 and SAM 3 checkpoints carry the video
    model's). ``keeps_aspect``: the picture is scaled to fit the square input and padded at right and bottom; otherwise
    both sides are scaled to the input's. ``mean``, ``std``: of the RGB channels in [0, 1], where the checkpoint says
    nothing. ``half``: the number format of the encoder on a GPU, the one its authors use. ``max_logit``: bound on the
    low-resolution logits that are fed back, None where the authors set none.
    """

    kind: str
    model_class: str
    model_types: tuple[str, ...]
    keeps_aspect: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    half: torch.dtype
    max_logit: float | None


_ALL = (
    SamFamily("sam", "SamModel", ("sam",), True, _IMAGENET_MEAN, _IMAGENET_STD, torch.float16, None),
    SamFamily("samhq", "SamHQModel", ("sam_hq",), True, _IMAGENET_MEAN, _IMAGENET_STD, torch.float16, None),
    SamFamily("sam2", "Sam2Model", ("sam2", "sam2_video"), False, _IMAGENET_MEAN, _IMAGENET_STD, torch.bfloat16, 32.0),
    SamFamily(
        "sam3",
        "Sam3TrackerModel",
        ("sam3_tracker", "sam3_tracker_video", "sam3_video"),
        False,
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
        torch.bfloat16,
        32.0,
    ),
)

FAMILIES: dict[str, SamFamily] = {family.kind: family for family in _ALL}
"""The families by the word before the colon in a specification string."""
