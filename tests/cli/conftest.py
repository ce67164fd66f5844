import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

import segagent.policies
from segagent.core import Action
from segagent.policies import ScriptedPolicy


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A plain picture, 40 wide and 30 high."""
    path = tmp_path / "photo.png"
    pixels = np.full((30, 40, 3), 200, np.uint8)
    pixels[10:20, 10:30] = (200, 30, 30)
    PillowImage.fromarray(pixels).save(path)
    return path


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str | Action]], ScriptedPolicy]:
    """``script(lines)``: whatever ``--policy`` says, the policy recites these lines."""

    def use(lines: Sequence[str | Action]) -> ScriptedPolicy:
        policy = ScriptedPolicy(lines)
        monkeypatch.setattr(segagent.policies, "make_policy", lambda spec: policy)
        return policy

    return use


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [key for key in os.environ if key.startswith(("SEGAGENT", "FORCE_COLOR", "CLICOLOR"))]:
        monkeypatch.delenv(name)
