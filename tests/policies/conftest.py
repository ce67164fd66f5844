from __future__ import annotations

import pytest
import torch

from segagent.policies.network import Architecture, PolicyNetwork


@pytest.fixture(scope="session")
def untrained() -> PolicyNetwork:
    """A network with random weights: what it says is nonsense, how it says it must be right."""
    torch.manual_seed(0)
    network = PolicyNetwork(Architecture(("blue", "left", "mug", "red", "the"), (3, 2, 2, 3)))
    return network.eval().requires_grad_(False)
