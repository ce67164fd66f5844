"""Pictures and text as a Qwen-VL's tensors, with the calls of transformers' own processors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor
from transformers import BatchFeature, PreTrainedTokenizerFast

from segagent.imaging import write_bytes
from segagent.policies.hf.qwen_vl.config import NUM_QUERIES
from segagent.policies.hf.qwen_vl.tokenizer import IMAGE_END, IMAGE_PAD, IMAGE_START

VOCABULARY_FILE = "qwen.tiktoken"
_MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073))[:, None, None]
_DEVIATION = torch.tensor((0.26862954, 0.26130258, 0.27577711))[:, None, None]
_EMPTY = IMAGE_START + IMAGE_END
_FULL = IMAGE_START + IMAGE_PAD * NUM_QUERIES + IMAGE_END


class QWenProcessor:
    """``side``: pixels that a picture is squeezed to both ways. ``vocabulary``: ``tokenizer``'s file, to be saved."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, vocabulary: bytes, side: int) -> None:
        self.tokenizer = tokenizer
        self.chat_template = tokenizer.chat_template
        self._vocabulary = vocabulary
        self._side = side

    def __call__(
        self,
        *,
        text: Sequence[str],
        images: Sequence[Sequence[PillowImage.Image]],
        padding: bool = True,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """``input_ids`` and ``attention_mask`` (texts, longest) and the ``pixel_values`` of all pictures in order.

        An empty ``<img></img>`` of a text is the place of one of its pictures. Raises ``ValueError`` where their
        numbers differ.
        """
        for one, pictures in zip(text, images, strict=True):
            if one.count(_EMPTY) != len(pictures):
                raise ValueError(f"{one.count(_EMPTY)} places in a prompt for {len(pictures)} pictures")
        told = [one.replace(_EMPTY, _FULL) for one in text]
        inputs = dict(self.tokenizer(told, padding=padding, return_tensors=return_tensors, return_token_type_ids=False))
        shown = [self._pixels(picture) for pictures in images for picture in pictures]
        return BatchFeature(inputs | ({"pixel_values": torch.stack(shown)} if shown else {}))

    def apply_chat_template(self, messages: Sequence[dict[str, Any]], **settings: Any) -> Any:
        """See transformers' tokenizers."""
        return self.tokenizer.apply_chat_template(list(messages), **{"tokenize": False, **settings})

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the vocabulary, and the name of its kind, as a published checkpoint has them."""
        write_bytes(Path(folder) / VOCABULARY_FILE, self._vocabulary)
        settings = {"tokenizer_class": "QWenTokenizer", "model_max_length": self.tokenizer.model_max_length}
        write_bytes(Path(folder) / "tokenizer_config.json", (json.dumps(settings, indent=1) + "\n").encode())

    def _pixels(self, picture: PillowImage.Image) -> Tensor:
        """(3, side, side) float32: squeezed to a square by Pillow's bicubic filter, with CLIP's mean and deviation."""
        square = picture.convert("RGB").resize((self._side, self._side), PillowImage.Resampling.BICUBIC)
        values = torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255
        return (values - _MEAN) / _DEVIATION
