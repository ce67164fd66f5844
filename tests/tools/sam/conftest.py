from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import tiny_sam
import torch

from segagent.core import Image
from segagent.tools.sam import SamTool, make_sam

KINDS = ("sam", "samhq", "sam2", "sam3")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sam")
    return {kind: tiny_sam.save(kind, folder / kind) for kind in KINDS}


@pytest.fixture(scope="session")
def tools(checkpoints: dict[str, Path]) -> dict[str, SamTool]:
    return {kind: make_sam(kind, f"{path}?device=cpu") for kind, path in checkpoints.items()}


@pytest.fixture(params=KINDS)
def tool(request: pytest.FixtureRequest, tools: dict[str, SamTool]) -> SamTool:
    return tools[request.param]


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image]:
    """Pictures with smooth content, for resizing noise differs with the resizer."""

    def make(seed: int = 0, height: int = 48, width: int = 72) -> Image:
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[:height, :width]
        waves = [np.sin(rows * a + columns * b + c) for a, b, c in rng.uniform(0.05, 0.4, (3, 3))]
        return Image.of((127 + 120 * np.stack(waves, axis=2)).astype(np.uint8))

    return make
