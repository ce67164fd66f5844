from __future__ import annotations

import numpy as np
import pytest
import torch

from segagent.core import Image
from segagent.policies.embedded.regions import LOOK, MARGIN, NUM_SEEN, closer_look, scenery, see_regions
from segagent.vision.sight import Sight


def _disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:256, :256]
    return ((columns - x) ** 2 + (rows - y) ** 2 < radius**2).astype(np.float32)


@pytest.mark.parametrize("shape", [(256, 256), (120, 400), (900, 500)])
@pytest.mark.parametrize("place", [(128, 128), (6, 250)])
def test_a_closer_look_shows_the_region_as_it_is(shape: tuple[int, int], place: tuple[int, int]) -> None:
    coverage = _disc(*place, 30)
    height, width = shape
    columns = ((np.arange(width) + 0.5) * 256 / width).astype(int)
    rows = ((np.arange(height) + 0.5) * 256 / height).astype(int)
    inside = coverage[rows][:, columns] > 0.5
    pixels = np.where(inside[..., None], (250, 20, 20), (20, 20, 250)).astype(np.uint8)
    look, seen = closer_look(pixels, coverage, LOOK, MARGIN)
    assert look.shape == (LOOK, LOOK, 3)
    assert seen.shape == (LOOK, LOOK)
    red = look[..., 0] > 135
    agreement = (red == (seen > 0.5))[seen > 0]
    assert agreement.mean() > 0.9
    assert (red & (seen > 0.5)).sum() > 0.9 * (seen > 0.5).sum()


def test_features_are_those_inside_the_region(untrained_sight: Sight) -> None:
    image = Image.of(np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8))
    picture = scenery(untrained_sight, image)
    assert max(picture.pixels.shape) == 640
    all_over, part = np.ones((256, 256), np.float32), np.zeros((256, 256), np.float32)
    part[:128, :64] = 1
    features = see_regions(untrained_sight, picture, [all_over, part])
    assert features.shape == (2, NUM_SEEN)
    whole = untrained_sight.whole(image).stride32
    channels = whole.shape[1]
    assert torch.allclose(features[0, :channels], whole.mean((2, 3))[0], atol=1e-3)
    assert torch.allclose(features[1, :channels], whole[0, :, :4, :2].mean((1, 2)), atol=1e-3)
    alone = see_regions(untrained_sight, picture, [part])
    assert torch.allclose(alone[0], features[1], atol=1e-3)
