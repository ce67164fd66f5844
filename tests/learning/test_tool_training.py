from __future__ import annotations

import json
import math
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segagent.core import InputError, SegAgentError
from segagent.cpu import computing_in
from segagent.datasets.faults import faulty_probabilities
from segagent.learning.tool.config import ToolTraining
from segagent.learning.tool.sources import GeneratedScenes, LeafScenes, Pasted, Photographs
from segagent.learning.tool.train import train_tool
from segagent.learning.tool.views import random_view
from segagent.learning.tool.workers import EpisodeWorkers
from segagent.tools import make_tool
from segagent.vision.click_network import NetworkConfig

TINY = ToolTraining(
    steps=2,
    batch=2,
    small_side=32,
    side=64,
    small_fraction=0.6,
    log_every=1,
    network=NetworkConfig(widths=(8, 8, 8, 8), heads=2, num_attention=1),
)


def test_trains_resumes_and_gives_a_usable_tool(tmp_path: Path) -> None:
    with computing_in("bfloat16"):
        first = train_tool(TINY, tmp_path)
    assert first.steps == 2
    assert math.isfinite(first.loss)
    with computing_in("float32"):
        resumed = train_tool(replace(TINY, steps=4), tmp_path)
    assert resumed.steps == 4
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert [line["precision"] for line in lines] == ["bfloat16"] * 2 + ["float32"] * 2
    assert json.loads((tmp_path / "tool.json").read_text())["precision"] == "float32"
    assert make_tool(f"embedded:{tmp_path / 'tool.safetensors'}").accepts_box is True


def test_starting_anew_forgets_the_checkpoint(tmp_path: Path) -> None:
    config = replace(TINY, steps=1)
    train_tool(config, tmp_path)
    assert train_tool(config, tmp_path, resume=False).steps == 1


def test_processes_simulate_the_episodes_of_one_batch(tmp_path: Path) -> None:
    trained = train_tool(replace(TINY, workers=2), tmp_path)
    assert trained.steps == 2
    assert math.isfinite(trained.loss)
    make_tool(f"embedded:{tmp_path / 'tool.safetensors'}")


def test_a_dead_process_is_told() -> None:
    with EpisodeWorkers(replace(TINY, workers=2), 32, (0,)) as episodes:
        first = episodes.advance()
        assert len(first.pixels) == 4
        assert first.fresh == [0, 1, 2, 3]
        for process in multiprocessing.active_children():
            process.kill()
        with pytest.raises(SegAgentError, match="process 1 of 2"):
            episodes.answer(first.targets)


def test_a_device_that_is_not_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--device nowhere"):
        train_tool(replace(TINY, device="nowhere"), tmp_path)


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"checkpoint\.pt"):
        train_tool(TINY, tmp_path)


def test_missing_photographs_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"instances\.json"):
        Photographs(tmp_path)


def test_sources_and_views_fit_together() -> None:
    rng = np.random.default_rng(0)
    scenes = GeneratedScenes(0)
    for source in (scenes, LeafScenes(), Pasted(scenes, scenes)):
        for _ in range(3):
            pixels, target = source.draw(rng)
            assert target.dtype == np.bool_
            assert pixels.shape == (*target.shape, 3)
            view = random_view(rng, pixels, target, 64)
            if view is not None:
                assert view[0].shape == (64, 64, 3)
                assert view[1].any()


def test_faulty_masks_are_probabilities() -> None:
    rng = np.random.default_rng(1)
    target = np.zeros((64, 64), np.bool_)
    target[20:40, 10:50] = True
    for _ in range(40):
        faulty = faulty_probabilities(target, rng)
        assert faulty.shape == target.shape
        assert faulty.dtype == np.float32
        assert faulty.min() >= 0
        assert faulty.max() <= 1
