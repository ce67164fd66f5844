"""A trainer that follows the exported rows sees the tokens and pixels that our own trainer does."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")

import torch
import transformers
from sft_examples import EXAMPLES, DrawnDataset, training_set
from tiny_checkpoints import make_llava, make_qwen3, make_qwen25

from segagent.learning.exports import Conversations
from segagent.learning.sft.hf.encoding import Encoder
from segagent.policies.chat import parse_spec
from segagent.policies.hf import checkpoint_format
from segagent.policies.hf.loading import load_checkpoint


@pytest.mark.parametrize("make", [make_llava, make_qwen25, make_qwen3])
def test_rows_give_the_tokens_of_our_trainer(make: object, tmp_path: Path) -> None:
    assert callable(make)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    checkpoint = load_checkpoint(str(make(tmp_path)), device="cpu", dtype="float32")
    fmt = checkpoint_format(parse_spec("anything", ()), checkpoint)
    encoder = Encoder(checkpoint, fmt, 4096)
    rows = Conversations([training_set()], fmt)
    whole = [one for one in EXAMPLES if one.action is not None]
    assert len(rows) == len(whole)
    for row, one in zip(rows, whole, strict=True):
        text = checkpoint.processor.apply_chat_template(row["messages"], tokenize=False)
        given = checkpoint.processor(text=[text], images=[row["images"]], return_tensors="pt")
        ours = encoder(one, DrawnDataset().load_image(one.image))
        length = ours["input_ids"].shape[1]
        # A template may end with a line break behind the closing token, which our trainer does not teach.
        assert given["input_ids"][:, :length].tolist() == ours["input_ids"].tolist()
        assert given["input_ids"].shape[1] - length <= 1
        assert torch.equal(given["pixel_values"], ours["pixel_values"])
