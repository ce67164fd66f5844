"""Pictures made into patches by table, against the checkpoint's own processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from PIL import Image as PillowImage
from tiny_checkpoints import make_llava, make_qwen3, make_qwen25, make_qwen_vl

from segagent.core import Pixels
from segagent.policies.chat import Question
from segagent.policies.chat.format import Picture
from segagent.policies.hf.loading import load_checkpoint
from segagent.policies.hf.pictures import quick_processor
from segagent.policies.hf.prompts import encode_questions, prompt_text

SIZES = ((48, 64), (56, 84), (61, 200), (300, 180), (30, 40), (480, 640))


@pytest.fixture(scope="module")
def processors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    makers = {"qwen2.5": make_qwen25, "qwen3": make_qwen3, "llava": make_llava, "qwen-vl": make_qwen_vl}
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        name: load_checkpoint(str(make(folder / name)), device="cpu", dtype=None).processor
        for name, make in makers.items()
    }


def question(number: int, *sizes: tuple[int, int]) -> Question:
    random = np.random.default_rng(number)
    shown = (random.integers(0, 256, (*size, 3), np.uint8) for size in sizes)
    return Question(tuple(Picture(pixels, str(number)) for pixels in shown), "the mug " * (1 + number))


def own(processor: Any, questions: list[Question]) -> Any:
    pictures = [[PillowImage.fromarray(picture.pixels) for picture in one.pictures] for one in questions]
    texts = [prompt_text(processor, one) for one in questions]
    return processor(text=texts, images=pictures, padding=True, return_tensors="pt")


@pytest.mark.parametrize("name", ["qwen2.5", "qwen3", "llava", "qwen-vl"])
def test_tensors_are_the_processors_own(name: str, processors: dict[str, Any]) -> None:
    """Whatever is resized or not, alike or not, one or two to a question."""
    processor = processors[name]
    assert (quick_processor(processor) is processor) == (name in ("llava", "qwen-vl"))
    for questions in (
        [question(number, size) for number, size in enumerate(SIZES)],
        [question(number, SIZES[0], SIZES[3]) for number in range(2)],
        [question(7, SIZES[1])],
    ):
        wanted, made = own(processor, questions), encode_questions(processor, questions)
        assert list(made) == list(wanted)
        for key in wanted:
            assert made[key].dtype == wanted[key].dtype
            assert torch.equal(made[key], wanted[key]), key


def test_every_value_of_every_colour(processors: dict[str, Any]) -> None:
    steps = np.arange(56 * 84, dtype=np.int64).reshape(56, 84)
    pixels: Pixels = np.stack([steps % 256, steps // 3 % 256, 255 - steps % 256], axis=-1).astype(np.uint8)
    one = [Question((Picture(pixels, "steps"),), "x")]
    assert torch.equal(
        encode_questions(processors["qwen2.5"], one)["pixel_values"], own(processors["qwen2.5"], one)["pixel_values"]
    )


def test_changed_settings_are_noticed(processors: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    processor = processors["qwen3"]
    one = [question(0, (96, 128))]
    before = encode_questions(processor, one)["pixel_values"]
    monkeypatch.setattr(processor.image_processor, "image_mean", (0.25, 0.5, 0.75))
    after = encode_questions(processor, one)["pixel_values"]
    assert torch.equal(after, own(processor, one)["pixel_values"])
    assert not torch.equal(after, before)
    monkeypatch.setattr(processor.image_processor, "size", {"shortest_edge": 4096, "longest_edge": 8192})
    fewer = encode_questions(processor, one)
    assert len(fewer["pixel_values"]) < len(after)
    assert torch.equal(fewer["pixel_values"], own(processor, one)["pixel_values"])


def test_a_processor_that_works_otherwise_is_left_to_itself(
    processors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the known name whose patches lie in another order, or whose pictures are resized by another rule."""
    processor = processors["qwen2.5"]
    pictures = processor.image_processor
    first, resize = type(pictures)._preprocess, type(pictures).resize

    def turned(self: Any, *args: Any, **settings: Any) -> Any:
        made = first(self, *args, **settings)
        made["pixel_values"] = torch.as_tensor(made["pixel_values"]).flip(-1)
        return made

    def coarse(self: Any, image: Any, size: Any, resample: Any, factor: int, **settings: Any) -> Any:
        return resize(self, image, size, PillowImage.Resampling.NEAREST, factor, **settings)

    for number, (name, made) in enumerate((("_preprocess", turned), ("resize", coarse))):
        with monkeypatch.context() as patch:
            patch.setattr(type(pictures), name, made)
            patch.setattr(pictures, "image_mean", (0.1, 0.2, 0.1 * number))  # Else the ready one would be taken.
            assert (quick_processor(processor) is processor) == (name == "_preprocess")
            for size in ((61, 200), (56, 84)):
                one = [question(0, size)]
                wanted = own(processor, one)
                for key, values in encode_questions(processor, one).items():
                    assert torch.equal(values, wanted[key])
