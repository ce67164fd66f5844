from __future__ import annotations

import pytest
import torch

from segagent.policies.embedded.network import Architecture, PolicyNetwork
from segagent.vision.encoder import Encoder
from segagent.vision.sight import FILE, Sight, save_encoder, sight_of


@pytest.fixture(scope="session")
def untrained_sight(tmp_path_factory: pytest.TempPathFactory) -> Sight:
    """An encoder with random weights, on disk."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / FILE
    save_encoder(Encoder(), path)
    return sight_of(path)


@pytest.fixture(scope="session")
def untrained(untrained_sight: Sight) -> PolicyNetwork:
    """A network with random weights: what it says is nonsense, how it says it must be right."""
    torch.manual_seed(0)
    network = PolicyNetwork(Architecture(("blue", "left", "mug", "red", "the"), (3, 2, 2, 3)), untrained_sight)
    return network.eval().requires_grad_(False)
