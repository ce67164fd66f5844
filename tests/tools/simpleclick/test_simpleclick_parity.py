"""Golden answers of the published network and predictor with seeded weights (``docs/parity-simpleclick.md``).

Here only numbers are kept; our network makes its weights from the same seeds.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import seeded_simpleclick as seeded
import torch
from safetensors.torch import save_file

from segagent.core import Segmentation, SegmentRequest, empty_mask
from segagent.tools.simpleclick import SimpleClickMemory, SimpleClickTool
from segagent.tools.simpleclick.tool import click_disks

GOLDEN = json.loads(Path(__file__).with_name("golden_simpleclick.json").read_text(encoding="utf-8"))
TOLERANCE = 1e-4


@pytest.mark.parametrize(
    "kind", ["xtiny", pytest.param("base", marks=pytest.mark.slow), pytest.param("large", marks=pytest.mark.slow)]
)
def test_network(kind: str) -> None:
    golden = GOLDEN["networks"][kind]
    picture, previous, clicks = seeded.seeded_inputs(golden["seed"])
    network = seeded.seeded_network(kind, golden["seed"])
    planes = torch.cat([torch.from_numpy(previous)[None], click_disks(clicks, 448)])[None]
    with torch.inference_mode():
        logits = network(picture, planes)[0, 0].numpy()
    np.testing.assert_allclose(logits[::32, ::32], golden["logits"], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose([logits.mean(), logits.std()], [golden["mean"], golden["std"]], atol=TOLERANCE)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ("tall", "larger input") else name
        for name in GOLDEN["episodes"]
    ],
)
def test_episode(name: str, tmp_path: Path) -> None:
    """Probabilities, zoom region and mask area after each click, the previous answer handed on in our values."""
    golden = GOLDEN["episodes"][name]
    kind, side, (height, width), clicks = seeded.EPISODES[name]
    save_file(dict(seeded.seeded_network(kind, golden["seed"]).state_dict()), tmp_path / "seeded.safetensors")
    tool = SimpleClickTool(tmp_path / "seeded.safetensors", device="cpu", side=side)
    embedding = tool.embed([seeded.seeded_image(height, width, golden["image_seed"])])[0]
    answer = Segmentation(empty_mask(height, width), None)
    rows, columns = max(height // 9, 1), max(width // 9, 1)
    for number, step in enumerate(golden["steps"], 1):
        request = SegmentRequest(embedding, answer.mask, answer.memory, tuple(clicks[:number]))
        answer = tool.segment([request])[0]
        memory = answer.memory
        assert isinstance(memory, SimpleClickMemory)
        region = memory.region
        assert [region.top, region.bottom, region.left, region.right] == step["region"]
        probabilities = np.zeros((height, width), np.float32)
        probabilities[region.slices] = memory.probabilities
        sampled = probabilities[rows // 2 :: rows, columns // 2 :: columns]
        np.testing.assert_allclose(sampled, step["probabilities"], atol=TOLERANCE, rtol=0)
        assert abs(int(answer.mask.sum()) - step["area"]) <= 2  # a pixel may lie on the threshold
    assert len(golden["steps"]) == len(clicks)
