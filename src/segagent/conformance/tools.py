"""What every segmentation tool must do. Derive a test class from ``ToolConformance`` and give it a ``tool`` fixture."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from segagent.core import (
    BoolMask,
    Box,
    Click,
    Image,
    Prompt,
    Segmentation,
    SegmentationTool,
    SegmentRequest,
    ToolError,
    empty_mask,
)


@cache
def picture(height: int, width: int, seed: int = 0) -> Image:
    """A bright ellipse on a dark, slightly noisy ground."""
    rng = np.random.default_rng(seed)
    bright, dark = rng.integers(130, 245, 3, dtype=np.uint8), rng.integers(0, 90, 3, dtype=np.uint8)
    rows, columns = np.ogrid[:height, :width]
    inside = ((columns / width - 0.5) / 0.3) ** 2 + ((rows / height - 0.5) / 0.35) ** 2 <= 1
    grain = rng.integers(0, 11, (height, width, 1), dtype=np.uint8)
    return Image.of(np.where(inside[..., None], bright, dark) + grain)


def middle(image: Image) -> Click:
    """A positive click in the middle of the picture."""
    return Click(image.width // 2, image.height // 2, True)


def ask(
    tool: SegmentationTool,
    embedding: object,
    image: Image,
    prompts: tuple[Prompt, ...],
    before: Segmentation | None = None,
) -> Segmentation:
    """One request; ``before`` is the answer that it goes on from."""
    mask: BoolMask = empty_mask(image.height, image.width) if before is None else before.mask
    memory = None if before is None else before.memory
    return tool.segment([SegmentRequest(embedding, mask, memory, prompts)])[0]


def play(tool: SegmentationTool, embedding: object, image: Image, clicks: list[Click]) -> list[Segmentation]:
    """The answers after each of ``clicks``."""
    answers: list[Segmentation] = []
    for number in range(1, len(clicks) + 1):
        answers.append(ask(tool, embedding, image, tuple(clicks[:number]), answers[-1] if answers else None))
    return answers


def check_answer(answer: Segmentation, image: Image) -> None:
    """A read-only bool mask of the picture's size."""
    assert answer.mask.dtype == np.bool_
    assert answer.mask.shape == (image.height, image.width)
    assert not answer.mask.flags.writeable


class ToolConformance:
    """Every implementation of ``SegmentationTool`` passes these."""

    def test_name_and_box_flag_are_declared(self, tool: SegmentationTool) -> None:
        assert isinstance(tool.name, str)
        assert tool.name
        assert isinstance(tool.accepts_box, bool)

    def test_no_requests_give_no_answers(self, tool: SegmentationTool) -> None:
        assert tool.segment([]) == []
        assert tool.embed([]) == []

    def test_positive_click_selects_something_under_it(self, tool: SegmentationTool) -> None:
        image = picture(96, 120)
        answer = ask(tool, tool.embed([image])[0], image, (middle(image),))
        assert answer.mask[image.height // 2, image.width // 2]
        assert not answer.mask.all()

    def test_interleaving_images_and_branches_changes_nothing(self, tool: SegmentationTool) -> None:
        first, second = picture(64, 80, 1), picture(72, 56, 2)
        left = [Click(40, 32, True), Click(2, 2, False), Click(50, 40, True)]
        right = [Click(40, 32, True), Click(44, 36, False)]
        other = [Click(28, 36, True), Click(1, 70, False)]
        embedding_1, embedding_2 = tool.embed([first])[0], tool.embed([second])[0]
        alone = [play(tool, embedding_1, first, c) for c in (left, right)] + [play(tool, embedding_2, second, other)]

        both = tool.embed([first, second])
        start = ask(tool, both[0], first, tuple(left[:1]))
        other_start = ask(tool, both[1], second, tuple(other[:1]))
        branch = ask(tool, both[0], first, tuple(right), start)
        left_2 = ask(tool, both[0], first, tuple(left[:2]), start)
        other_2 = ask(tool, both[1], second, tuple(other), other_start)
        left_3 = ask(tool, both[0], first, tuple(left), left_2)
        for got, expected in (
            (start, alone[0][0]),
            (left_2, alone[0][1]),
            (left_3, alone[0][2]),
            (branch, alone[1][1]),
            (other_2, alone[2][1]),
        ):
            np.testing.assert_array_equal(got.mask, expected.mask)

    def test_equal_requests_give_equal_answers(self, tool: SegmentationTool) -> None:
        image = picture(50, 70)
        clicks = [middle(image), Click(3, 3, False)]
        once, again = (play(tool, tool.embed([image])[0], image, clicks) for _ in range(2))
        for a, b in zip(once, again, strict=True):
            np.testing.assert_array_equal(a.mask, b.mask)

    def test_batch_equals_single(self, tool: SegmentationTool) -> None:
        images = [picture(48, 64, 3), picture(60, 40, 4), picture(33, 33, 5)]
        embeddings = tool.embed(images)
        requests = [
            SegmentRequest(embedding, empty_mask(image.height, image.width), None, (middle(image),))
            for image, embedding in zip(images, embeddings, strict=True)
        ]
        together = tool.segment(requests)
        for request, answer in zip(requests, together, strict=True):
            np.testing.assert_array_equal(tool.segment([request])[0].mask, answer.mask)

    @pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (2, 2), (37, 53)])
    def test_sizes(self, tool: SegmentationTool, height: int, width: int) -> None:
        image = picture(height, width)
        clicks = [middle(image), Click(0, 0, False), Click(width - 1, height - 1, True)]
        for answer in play(tool, tool.embed([image])[0], image, clicks):
            check_answer(answer, image)

    def test_large_picture(self, tool: SegmentationTool) -> None:
        image = picture(3000, 4000)
        check_answer(ask(tool, tool.embed([image])[0], image, (middle(image),)), image)

    def test_clicks_on_the_border(self, tool: SegmentationTool) -> None:
        image = picture(40, 60)
        corners = [Click(x, y, (x + y) % 2 == 0) for x in (0, 59) for y in (0, 39)]
        for answer in play(tool, tool.embed([image])[0], image, corners):
            check_answer(answer, image)

    @pytest.mark.parametrize("positive", [True, False])
    def test_clicks_of_one_sign(self, tool: SegmentationTool, positive: bool) -> None:
        image = picture(40, 60)
        clicks = [Click(10 * i + 5, 7 * i + 2, positive) for i in range(5)]
        for answer in play(tool, tool.embed([image])[0], image, clicks):
            check_answer(answer, image)

    def test_one_colour_only(self, tool: SegmentationTool) -> None:
        image = Image.of(np.full((30, 40, 3), 77, np.uint8))
        clicks = [Click(20, 15, True), Click(2, 2, False)]
        for answer in play(tool, tool.embed([image])[0], image, clicks):
            check_answer(answer, image)

    def test_hundreds_of_clicks(self, tool: SegmentationTool) -> None:
        image = picture(64, 64)
        rng = np.random.default_rng(0)
        clicks = tuple(Click(int(x), int(y), bool(p)) for x, y, p in rng.integers((64, 64, 2), size=(300, 3)))
        embedding = tool.embed([image])[0]
        answer = ask(tool, embedding, image, clicks[:299])
        check_answer(ask(tool, embedding, image, clicks, answer), image)

    def test_the_same_click_twice(self, tool: SegmentationTool) -> None:
        image = picture(40, 40)
        for answer in play(tool, tool.embed([image])[0], image, [middle(image)] * 2):
            check_answer(answer, image)

    def test_request_is_left_as_it_was(self, tool: SegmentationTool) -> None:
        image = picture(40, 60)
        pixels = image.pixels.copy()
        embedding = tool.embed([image])[0]
        mask = np.zeros((40, 60), np.bool_)
        mask[10:20, 10:20] = True
        request = SegmentRequest(embedding, mask, None, (middle(image),))
        before = mask.copy()
        first = tool.segment([request])[0]
        np.testing.assert_array_equal(mask, before)
        np.testing.assert_array_equal(image.pixels, pixels)
        kept = first.mask.copy()
        ask(tool, embedding, image, (middle(image), Click(1, 1, False)), first)
        np.testing.assert_array_equal(first.mask, kept)
        np.testing.assert_array_equal(tool.segment([request])[0].mask, kept)

    def test_start_from_a_mask_of_another_source(self, tool: SegmentationTool) -> None:
        image = picture(60, 60)
        mask = np.zeros((60, 60), np.bool_)
        mask[20:40, 15:45] = True
        mask.setflags(write=False)
        embedding = tool.embed([image])[0]
        first = tool.segment([SegmentRequest(embedding, mask, None, (Click(30, 45, True),))])[0]
        check_answer(first, image)
        check_answer(ask(tool, embedding, image, (Click(30, 45, True), Click(2, 2, False)), first), image)

    def test_box(self, tool: SegmentationTool) -> None:
        image = picture(60, 80)
        box = Box(10, 6, 70, 54)
        embedding = tool.embed([image])[0]
        if not tool.accepts_box:
            with pytest.raises(ToolError):
                ask(tool, embedding, image, (box,))
            return
        answer = ask(tool, embedding, image, (box,))
        check_answer(answer, image)
        assert answer.mask[30, 40]
        check_answer(ask(tool, embedding, image, (box, Click(40, 30, True)), answer), image)
