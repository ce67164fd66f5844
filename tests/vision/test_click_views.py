from __future__ import annotations

import numpy as np
import pytest

from segagent.core import Box, Click, Image, SegmentRequest, empty_mask
from segagent.tools.embedded.tool import EmbeddedTool
from segagent.vision.click_views import box_fill


def test_box_fill_is_the_share_of_each_pixel() -> None:
    filled = box_fill((0.25, 0.5, 0.625, 1.0), 8)
    assert filled.sum() == pytest.approx(3 * 4)
    assert np.array_equal(filled[4], [0, 0, 1, 1, 1, 0, 0, 0])
    assert filled[3].sum() == 0
    assert box_fill((0.0, 0.0, 1 / 16, 1.0), 8)[0, 0] == pytest.approx(0.5)
    assert not box_fill(None, 8).any()


@pytest.fixture(scope="module")
def tool() -> EmbeddedTool:
    return EmbeddedTool()


def disc_picture() -> tuple[Image, np.ndarray]:
    rows, columns = np.mgrid[:120, :160]
    disc = (rows - 60) ** 2 + (columns - 50) ** 2 < 30**2
    pixels = np.where(disc[..., None], (200, 40, 40), (60, 110, 60)).astype(np.uint8)
    return Image.of(pixels), disc


def test_a_box_alone_gives_the_object_in_it(tool: EmbeddedTool) -> None:
    image, disc = disc_picture()
    request = SegmentRequest(tool.embed([image])[0], empty_mask(120, 160), None, (Box(20, 30, 81, 91),))
    mask = tool.segment([request])[0].mask
    assert (mask & disc).sum() / (mask | disc).sum() > 0.8


def test_later_clicks_in_one_place_encode_no_new_view(tool: EmbeddedTool) -> None:
    image, _ = disc_picture()
    embedding = tool.embed([image])[0]
    prompts: tuple[Click, ...] = ()
    state = tool.segment([SegmentRequest(embedding, empty_mask(120, 160), None, (Click(50, 60, True),))])[0]
    counts = []
    for x, y in ((50, 60), (40, 50), (60, 70), (55, 62), (48, 66)):
        prompts = (*prompts, Click(x, y, True))
        before = tool._sight.num_encoded
        state = tool.segment([SegmentRequest(embedding, state.mask, state.memory, prompts)])[0]
        counts.append(tool._sight.num_encoded - before)
    assert sum(counts[2:]) <= 1
