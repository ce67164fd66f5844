"""Tiny random-weight checkpoints of the real architectures, by the names that presets use."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")

_TESTS = Path(__file__).resolve().parent.parent
for _part in ("policies/hf", "policies/openai", "tools/sam", "tools/simpleclick"):
    sys.path.insert(0, str(_TESTS / _part))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by class (``qwen`` is Qwen-VL); ``simpleclick`` is a file."""
    import seeded_simpleclick
    import tiny_checkpoints
    import tiny_sam
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("weights")
    network = seeded_simpleclick.seeded_network("mini", 3)
    state = dict(network.state_dict())
    state["head.conv_seg.weight"] = 40 * state["head.conv_seg.weight"]
    simpleclick = folder / "mini.safetensors"
    save_file(state, simpleclick, metadata={"config": json.dumps({"backbone_params": {"num_heads": 4}})})
    return {
        "llava": tiny_checkpoints.make_llava(folder / "llava"),
        "qwen": tiny_checkpoints.make_qwen_vl(folder / "qwen"),
        "qwen2.5": tiny_checkpoints.make_qwen25(folder / "qwen25"),
        "qwen3": tiny_checkpoints.make_qwen3(folder / "qwen3"),
        **{kind: tiny_sam.save(kind, folder / kind) for kind in ("sam", "sam2", "sam3")},
        "simpleclick": simpleclick,
    }
