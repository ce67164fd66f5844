from __future__ import annotations

import json
from pathlib import Path

import pytest
import seeded_simpleclick as seeded
import torch
from safetensors.torch import save_file

from segagent.tools.simpleclick import SimpleClickTool, make_simpleclick

CONFIG = {"backbone_params": {"num_heads": 4}}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a very small network, as safetensors."""
    network = seeded.seeded_network("mini", 3)
    state = dict(network.state_dict())
    # So narrow a network needs a louder last layer.
    state["head.conv_seg.weight"] = 40 * state["head.conv_seg.weight"]
    path = tmp_path_factory.mktemp("simpleclick") / "mini.safetensors"
    save_file(state, path, metadata={"config": json.dumps(CONFIG)})
    return path


@pytest.fixture(scope="session")
def tool(mini: Path) -> SimpleClickTool:
    return make_simpleclick(f"{mini}?side=224&device=cpu")
