"""What the options of trainings and searches come to: each reaches the setting that it is named after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segagent.cli.main import main
from segagent.cli.models import ModelOptions
from segagent.cli.training import TrainingOptions
from segagent.learning import prm
from segagent.learning.sft import TrainedModel


def test_candidates_can_be_made_to_differ() -> None:
    search = ModelOptions(candidates=4, diversity=0.06, temperature=2.0).choose().search
    assert (search.num_candidates, search.diversity, search.temperature) == (4, 0.06, 2.0)
    assert ModelOptions().choose().search.diversity is None


def test_own_guesses_and_early_stopping_reach_the_recipe() -> None:
    assert TrainingOptions(object_weight=0.5, held_out=0.1).changes() == {"object_weight": 0.5, "held_out": 0.1}


def test_a_process_reward_model_is_fitted_as_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def fit(model: str, data: Any, out: Path, config: prm.PrmConfig, **_: Any) -> TrainedModel:
        asked.append((model, data.spec, out, config))
        return TrainedModel(f"embedded:{out}", 7, 40, ((1, 5.0), (7, 4.0)), 2.0, left_out=1)

    monkeypatch.setattr(prm, "train_own_prm", fit)
    data, out = "scenes:3:seed=5,split=train,sentences=1", tmp_path / "m"
    assert main(["train", "prm", "embedded:s1", data, "-o", str(out), "--steps", "7", "--max-steps", "2"]) == 0
    ((model, _, into, config),) = asked
    assert (model, into, config) == ("s1", out, prm.PrmConfig(steps=7, max_steps=2))
    told = capsys.readouterr()
    assert f"embedded:{out}" in told.out + told.err
    assert main(["train", "prm", "hf:x", data, "-o", str(out)]) == 2
