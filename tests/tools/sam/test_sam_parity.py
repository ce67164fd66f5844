"""The tool's logits and masks against the plain use of transformers: processor, whole forward pass, post-processing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from segagent.core import Box, Click, Image, Prompt, SegmentRequest, empty_mask
from segagent.tools.sam import FAMILIES, SamMemory, SamTool
from segagent.tools.sam.frame import Frame

CASES: dict[str, tuple[Prompt, ...]] = {
    "one click": (Click(10, 20, True),),
    "three clicks": (Click(10, 20, True), Click(60, 40, False), Click(30, 5, True)),
    "corner click": (Click(71, 47, True),),
    "box": (Box(5, 8, 50, 44),),
    "box and clicks": (Box(5, 8, 50, 44), Click(20, 20, True), Click(6, 9, False)),
}


@cache
def plain_model(kind: str, checkpoint: Path) -> Any:
    return getattr(transformers, FAMILIES[kind].model_class).from_pretrained(checkpoint).eval()


@cache
def plain_processor(checkpoint: Path) -> Any:
    # The folder holds no tokenizer, so AutoProcessor has all it needs.
    return transformers.AutoProcessor.from_pretrained(checkpoint)


def reference(
    kind: str,
    checkpoint: Path,
    image: Image,
    prompts: Sequence[Prompt],
    mask_input: np.ndarray | None,
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Low-resolution logits (masks, low, low), scores (masks,) and masks bool (masks, height, width)."""
    model = plain_model(kind, checkpoint)
    clicks = [p for p in prompts if isinstance(p, Click)]
    boxes = [p for p in prompts if isinstance(p, Box)]
    points = [[[[float(c.x), float(c.y)] for c in clicks]]] if clicks else None
    labels = [[[int(c.positive) for c in clicks]]] if clicks else None
    corners = [[[float(b.x0), float(b.y0), float(b.x1), float(b.y1)] for b in boxes]] if boxes else None
    if kind in ("sam", "samhq"):
        processor = plain_processor(checkpoint)
        inputs = processor(
            images=np.asarray(image.pixels),
            input_points=None if points is None else points[0],
            input_labels=None if labels is None else labels[0],
            input_boxes=corners,
            return_tensors="pt",
        )
        original, reshaped = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    else:
        # Their processors need torchvision: plain resize and normalisation, as their configurations say.
        side = model.config.prompt_encoder_config.image_size
        mean, std = (torch.tensor(v)[:, None, None] for v in (FAMILIES[kind].mean, FAMILIES[kind].std))
        pixels = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)[None]
        small = torch.nn.functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        scale = np.array([side / image.width, side / image.height])
        inputs = {"pixel_values": (small / 255 - mean) / std}
        if points is not None:
            inputs["input_points"] = torch.tensor(np.array(points) * scale, dtype=torch.float32)
            inputs["input_labels"] = torch.tensor(labels)
        if corners is not None:
            inputs["input_boxes"] = torch.tensor(np.array(corners) * np.tile(scale, 2), dtype=torch.float32)
    if mask_input is not None:
        inputs["input_masks"] = torch.tensor(mask_input)[None, None]
    multimask = len(prompts) == 1 and not boxes and mask_input is None
    inputs = {name: v.float() if v.is_floating_point() else v for name, v in inputs.items()}
    with torch.no_grad():
        output = model(**inputs, multimask_output=multimask)
    if kind in ("sam", "samhq"):
        masks = processor.post_process_masks(output.pred_masks, original, reshaped)[0][0]
    else:
        upscaled = torch.nn.functional.interpolate(output.pred_masks[0], (image.height, image.width), mode="bilinear")
        masks = (upscaled > 0)[0]
    return output.pred_masks[0, 0], output.iou_scores[0, 0], masks.numpy()


def best(logits: torch.Tensor, scores: torch.Tensor, masks: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    index = int(scores.argmax())
    limit = FAMILIES[kind].max_logit
    chosen = logits[index] if limit is None else logits[index].clamp(-limit, limit)
    return chosen.numpy(), masks[index]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["sam", "samhq", "sam2", "sam3"])
@pytest.mark.parametrize("size", [(48, 72), (80, 31), (64, 64)], ids=str)
def test_logits_equal_transformers_own(
    kind: str,
    case: str,
    size: tuple[int, int],
    tools: dict[str, SamTool],
    checkpoints: dict[str, Path],
    picture: Callable[..., Image],
) -> None:
    tool, image = tools[kind], picture(3, *size)
    height, width = size
    prompts = tuple(_moved(p, width / 72, height / 48) for p in CASES[case])
    embedding = tool.embed([image])[0]
    answer = tool.segment([SegmentRequest(embedding, empty_mask(*size), None, prompts)])[0]
    assert isinstance(answer.memory, SamMemory)
    logits, mask = best(*reference(kind, checkpoints[kind], image, prompts, None), kind)
    np.testing.assert_allclose(answer.memory.logits, logits, atol=1e-4, rtol=0)
    assert np.array_equal(answer.mask, mask)

    more = (*prompts, Click(2, 3, False))
    following = tool.segment([SegmentRequest(embedding, answer.mask, answer.memory, more)])[0]
    assert isinstance(following.memory, SamMemory)
    logits, mask = best(*reference(kind, checkpoints[kind], image, more, answer.memory.logits), kind)
    np.testing.assert_allclose(following.memory.logits, logits, atol=1e-4, rtol=0)
    assert np.array_equal(following.mask, mask)


def _moved(prompt: Prompt, along_x: float, along_y: float) -> Prompt:
    if isinstance(prompt, Click):
        return Click(int(prompt.x * along_x), int(prompt.y * along_y), prompt.positive)
    return Box(int(prompt.x0 * along_x), int(prompt.y0 * along_y), int(prompt.x1 * along_x), int(prompt.y1 * along_y))


@pytest.mark.parametrize("kind", ["sam2", "sam3"])
def test_start_mask_equals_transformers_own_downsizing(
    kind: str, tools: dict[str, SamTool], checkpoints: dict[str, Path], picture: Callable[..., Image]
) -> None:
    """SAM 2's model takes a mask input of any size and shrinks it itself."""
    tool, image = tools[kind], picture(5)
    mask = np.zeros((48, 72), np.bool_)
    mask[7:30, 11:50] = True
    prompts = (Click(60, 40, True),)
    answer = tool.segment([SegmentRequest(tool.embed([image])[0], mask, None, prompts)])[0]
    full = np.where(mask, 10.0, -10.0).astype(np.float32)
    logits, expected = best(*reference(kind, checkpoints[kind], image, prompts, full), kind)
    assert isinstance(answer.memory, SamMemory)
    np.testing.assert_allclose(answer.memory.logits, logits, atol=1e-4, rtol=0)
    assert np.array_equal(answer.mask, expected)


@pytest.mark.parametrize("kind", ["sam", "samhq"])
@pytest.mark.parametrize("size", [(48, 72), (130, 70), (64, 64), (1, 9), (333, 500)], ids=str)
def test_own_preprocessing_equals_the_processor(
    kind: str, size: tuple[int, int], checkpoints: dict[str, Path], picture: Callable[..., Image]
) -> None:
    image = picture(1, *size)
    processor = plain_processor(checkpoints[kind])
    expected = processor(images=np.asarray(image.pixels), input_data_format="channels_last", return_tensors="pt")
    family = FAMILIES[kind]
    frame = Frame.of(*size, 64, family)
    own = frame.pixel_values(image, family.mean, family.std)
    assert [frame.resized_height, frame.resized_width] == expected["reshaped_input_sizes"][0].tolist()
    np.testing.assert_allclose(own.numpy(), expected["pixel_values"].numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["sam2", "sam3"])
def test_own_preprocessing_is_what_torchvision_would_do(kind: str, picture: Callable[..., Image]) -> None:
    """Their processors resize uint8 tensors by torch's antialiased interpolation: the same numbers."""
    image, family = picture(1, 130, 170), FAMILIES[kind]
    own = Frame.of(130, 170, 64, family).pixel_values(image, family.mean, family.std)
    tensor = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(tensor, (64, 64), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v)[:, None, None] for v in (family.mean, family.std))
    torch.testing.assert_close(own, (small / 255 - mean) / std, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["sam", "samhq"])
def test_start_mask_as_logits(kind: str) -> None:
    """SAM's input keeps the aspect: the mask lies at the top left, what is beside the picture counts as outside."""
    frame = Frame.of(32, 64, 64, FAMILIES[kind])
    mask = np.zeros((32, 64), np.bool_)
    mask[8:24, 16:48] = True
    logits = frame.low_logits(mask, 16)
    expected = torch.full((16, 16), -10.0)
    expected[2:6, 4:12] = 10.0
    inside, outside = logits[3:5, 5:11], torch.cat([logits[8:].flatten(), logits[:, :2].flatten()])
    assert torch.equal(logits > 0, expected > 0)
    torch.testing.assert_close(inside, torch.full_like(inside, 10.0))
    torch.testing.assert_close(outside, torch.full_like(outside, -10.0))
