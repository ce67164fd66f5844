"""Trainings that a launcher starts in two processes, through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft")

import numpy as np
import torch
from safetensors.torch import load_file
from sft_examples import short_format
from tiny_checkpoints import make_llava

from segagent.cli.main import main
from segagent.learning.sft import load_recipe, train_sft

SCENES = "scenes:3:seed=8,split=train,sentences=1,size=64"
PLAY = ["--tool", "disc", "--max-steps", "2", "--workers", "1", "--starts", "empty", "--json"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "segagent"]


def recipe_file(folder: Path, **changes: object) -> Path:
    settings = {"steps": 8, "batch_size": 4, "micro_batch": 1, "learning_rate": 1e-4, "dtype": "float32"}
    settings |= {"format": short_format(folder), "gradient_checkpointing": False} | changes
    words = {True: "true", False: "false"}
    path = folder / "recipe.toml"
    lines = (f"{k} = {words[v] if isinstance(v, bool) else repr(v)}\n" for k, v in settings.items())
    path.write_text("".join(lines).replace("'", '"'))
    return path


def killed_and_resumed(command: list[str], out: Path) -> None:
    """Run ``command``, kill all its processes after the second checkpoint, and run it again to its end."""
    begun = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while not (out / "checkpoints" / "checkpoint-2" / "whole").exists():
        assert begun.poll() is None
        time.sleep(0.02)
    # Both workers, then the launcher: they are in sessions of their own.
    for worker in Path(f"/proc/{begun.pid}/task/{begun.pid}/children").read_text().split():
        os.kill(int(worker), signal.SIGKILL)
    begun.kill()
    begun.wait()
    assert not (out / "model.safetensors").exists()
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.count('"policy"') == 1  # One process speaks.


@pytest.mark.slow
def test_star_in_two_processes_killed_and_resumed_is_star_in_one(tmp_path: Path) -> None:
    llava = make_llava(tmp_path / "llava")
    traj, s_0, played = tmp_path / "traj.jsonl", tmp_path / "s_0", tmp_path / "rollouts"
    recipe = recipe_file(tmp_path)
    assert main(["trajectories", SCENES, "-o", str(traj), *PLAY]) == 0
    teach = ["train", "sft", str(traj), "--policy", f"hf:{llava}?device=cpu", "--recipe", str(recipe)]
    assert main([*teach, "--steps", "1", "-o", str(s_0), "--json"]) == 0
    assert main(["rollouts", "centre", SCENES, "-o", str(played), *PLAY]) == 0
    star = ["train", "star", str(s_0), "--rollouts", str(played), "--recipe", str(recipe), "--json"]
    assert main([*star, "-o", str(tmp_path / "one")]) == 0
    killed_and_resumed([*TORCHRUN, *star, "-o", str(tmp_path / "two")], tmp_path / "two")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    before = load_file(s_0 / "model.safetensors")
    assert max(float((one[key] - before[key]).abs().max()) for key in one) > 1e-4
    for key, value in two.items():
        torch.testing.assert_close(value, one[key], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_weights_spread_over_two_processes_learn_the_same(tmp_path: Path) -> None:
    """FSDP with recomputed activations, and weights that only the first process reads."""
    llava, traj = make_llava(tmp_path / "llava"), tmp_path / "traj.jsonl"
    assert main(["trajectories", SCENES, "-o", str(traj), *PLAY]) == 0
    start, recipe = f"hf:{llava}?device=cpu", recipe_file(tmp_path, steps=3, gradient_checkpointing=True)
    alone = train_sft(start, [traj], tmp_path / "alone", load_recipe(str(recipe)))
    script = Path(__file__).with_name("train_sharded.py")
    command = [*TORCHRUN[:-2], str(script), start, str(traj), str(tmp_path / "both"), str(recipe)]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    told = [json.loads(line.removeprefix("told ")) for line in run.stdout.splitlines() if line.startswith("told ")]
    assert len(told) == 2
    for one in told:
        np.testing.assert_allclose(one["losses"], alone.losses, rtol=1e-4)
        assert one["spread"] == one["all"]
        assert 0.4 < one["here"] / one["all"] < 0.6
    assert sorted(one["read"] for one in told) == [0, 1]  # The other one is handed its part.
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("alone", "both"))
    assert one.keys() == two.keys()
    for key, value in two.items():
        torch.testing.assert_close(value, one[key], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_killed_and_resumed_learns_the_same(
    stage: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What DeepSpeed compiles for CPUs must have been compiled once before; see docs/train.md."""
    pytest.importorskip("deepspeed")
    llava, traj, settings = make_llava(tmp_path / "llava"), tmp_path / "traj.jsonl", tmp_path / "deepspeed.json"
    names = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    settings.write_text(json.dumps({"zero_optimization": {"stage": stage}} | dict.fromkeys(names, "auto")))
    assert main(["trajectories", SCENES, "-o", str(traj), *PLAY]) == 0
    recipe = recipe_file(tmp_path)
    start = f"hf:{llava}?device=cpu"
    alone = train_sft(start, [traj], tmp_path / "alone", load_recipe(str(recipe)))
    sft = ["train", "sft", str(traj), "--policy", start, "--recipe", str(recipe), "--json"]
    out = tmp_path / "both"
    against = tmp_path / "against.json"
    against.write_text(settings.read_text().replace('"train_batch_size": "auto"', '"train_batch_size": 64'))
    assert main([*sft, "--deepspeed", str(against), "-o", str(out)]) == 2
    assert "train_batch_size=64 vs" in capsys.readouterr().err
    killed_and_resumed([*TORCHRUN, *sft, "--deepspeed", str(settings), "-o", str(out)], out)
    losses = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(losses, [loss for _, loss in alone.losses], rtol=1e-4)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("alone", "both"))
    assert one.keys() == two.keys()
    for key, value in two.items():
        torch.testing.assert_close(value, one[key], rtol=0, atol=1e-5)
