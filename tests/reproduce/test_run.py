"""The experiment from end to end with a policy that guesses and trainings that do nothing: order, resuming, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import Guessing
from typer.testing import CliRunner

from segagent.cli.main import app
from segagent.core import InputError, MissingExtraError
from segagent.datasets.faults import damaged
from segagent.evaluation.calibration import Calibration
from segagent.learning import sft
from segagent.learning.sft import TrainedModel
from segagent.reproduce import episodes, filtering, masks, plots
from segagent.reproduce import trainings as trainings_of
from segagent.reproduce.config import MiniConfig, quick_config
from segagent.reproduce.players import BoxFirst, Notated, Player
from segagent.reproduce.run import reproduce_miniature
from segagent.runs.journal import read_journal

TINY = quick_config(
    tool="disc", box_tool="disc", train_scenes=2, test_scenes=2, val_scenes=1, steps=(1, 2), first_action_scenes=1
)


class Trainings:
    """Stands for the trainings: makes folders, and counts."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def sft(self, policy: str, sets: Any, out: Path, recipe: Any, **options: Any) -> TrainedModel:
        self.done.append(Path(out).name)
        Path(out).mkdir(parents=True)
        options["progress"]("training", 1, 2, 0.5)
        return TrainedModel(f"embedded:{out}", recipe.steps or 5, 7, ((1, 0.5),), 1.0)

    def star(
        self, model: Path, dataset: Any, out: Path, config: Any, *, recipe: Any, progress: Any, **_: Any
    ) -> TrainedModel:
        if config.variant == "star":
            raise InputError("round 1: no episode reached an IoU of 0.8, so there is nothing to train on")
        progress("round 1, rollouts", 1, 2, float("nan"))
        return self.sft("", [], out, recipe, progress=progress)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> tuple[Guessing, Trainings]:
    policy, trainings = Guessing(), Trainings()

    def load(player: Player) -> Any:
        from segagent.reproduce.players import NOTATIONS

        if player.box == "box":
            return BoxFirst(policy)
        return Notated(policy, NOTATIONS[player.notation]) if player.notation else policy

    monkeypatch.setattr(episodes, "load_player", load)
    monkeypatch.setattr(masks, "load_player", load)
    for place in (trainings_of, sft):
        monkeypatch.setattr(place, "train_policy_on", trainings.sft)
    monkeypatch.setattr(trainings_of, "run_star", trainings.star)
    monkeypatch.setattr(filtering, "_RESAMPLES", 10)
    return policy, trainings


def without_times(results: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in results.items() if key not in ("episode_seconds", "training_seconds")}


@pytest.mark.slow
def test_end_to_end_and_nothing_is_done_twice(tmp_path: Path, stub: tuple[Guessing, Trainings]) -> None:
    policy, trainings = stub
    whole = reproduce_miniature(tmp_path / "whole", TINY)
    asked = policy.asked
    assert trainings.done == ["sft", "star-plus", "sft-trained-on"]
    assert "SFT + StaR" not in whole["models"]
    assert set(whole["tables"]["search"]["mini-HRES"]["rows"]) == {"SFT", "SFT, trained on", "SFT + StaR+"}
    assert {one["verdict"] for one in whole["findings"]} == {"too few scenes"}
    assert json.loads((tmp_path / "whole" / "results.json").read_text()) == whole
    assert (tmp_path / "whole" / "miniature.md").read_text().startswith("# The paper's experiments in miniature")
    assert {f"{name}.png" for name in whole["plots"]} == {p.name for p in (tmp_path / "whole" / "plots").iterdir()}
    stored = json.loads((tmp_path / "whole" / "seed0" / "sft" / "calibration.json").read_text())
    # Fitted on val: in each split one scene with two masks by random clicks and two states of the model's own.
    assert stored["notes"]["masks"] == 2 * (2 + 2)
    assert Calibration.from_dict(stored).expected

    again = reproduce_miniature(tmp_path / "whole", TINY)
    assert policy.asked == asked
    assert len(trainings.done) == 3
    assert again == whole

    # Interrupted at some calls of the policy, and gone on with each time, it makes the same of it.
    out, policy.asked = tmp_path / "killed", 0
    for stop_at in (asked // 4, asked // 2, 10**9):
        policy.stop_at = policy.asked + stop_at
        if stop_at == 10**9:
            assert without_times(reproduce_miniature(out, TINY)) == without_times(whole)
        else:
            with pytest.raises(KeyboardInterrupt):
                reproduce_miniature(out, TINY)
    # Two scenes at a time are played together and lost together.
    most = 3 * 2 * TINY.max_calls
    assert asked <= policy.asked <= asked + most + 3
    for path in sorted((tmp_path / "whole" / "runs").rglob("*.jsonl")):
        units = [record["unit"][0] for record in read_journal(path)[1]]
        assert units == list(range(len(units)))


def test_seeds_are_pooled(tmp_path: Path, stub: tuple[Guessing, Trainings]) -> None:
    config = MiniConfig(**{**TINY.to_dict(), "steps": (1, 2), "seeds": 2})
    results = reproduce_miniature(tmp_path, config)
    assert results["seeds"] == [0, 1]
    row = results["tables"]["search"]["mini-HRES"]["rows"]["SFT"]["search"]
    assert len(row["by_seed"]["cIoU"]) == 2
    assert row["episodes"] == 4
    assert sum(name == "sft" for name in stub[1].done) == 2


def test_other_settings_are_refused(tmp_path: Path, stub: tuple[Guessing, Trainings]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(MiniConfig(seed=3).to_dict()))
    with pytest.raises(InputError, match=r"other settings .*seed 3, now 0"):
        reproduce_miniature(tmp_path, TINY)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"not valid JSON .*choose another folder"):
        reproduce_miniature(tmp_path, TINY)


def test_a_missing_matplotlib_is_named_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"segagent\[plots\]"):
        reproduce_miniature(tmp_path / "out", TINY)
    assert not (tmp_path / "out").exists()


def test_what_a_command_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def pretend(out: Path, config: MiniConfig, **options: Any) -> dict[str, Any]:
        asked.append((config, options["command"]))
        with options["watch"]("stage", 2, "scenes") as update:
            update(1, "")
        return {"findings": [{"claim": "it works", "ours": "yes", "verdict": "holds", "paper": ""}]}

    monkeypatch.setattr("segagent.reproduce.run.reproduce_miniature", pretend)
    options = ["reproduce", "miniature", "-o", str(tmp_path), "--quick", "--seed", "4", "--test-scenes", "5"]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0
    assert "holds                it works: yes" in done.output
    assert asked[0][0] == quick_config(seed=4, test_scenes=5)
    assert asked[0][1] == "segagent reproduce miniature -o OUT --quick --seed 4 --seeds 1 --test-scenes 5"
    done = CliRunner().invoke(app, [*options, "--json"])
    assert json.loads(done.output)["findings"][0]["verdict"] == "holds"


@pytest.mark.parametrize("changes", [{"seeds": 0}, {"steps": (3, 1)}, {"candidates": 1}, {"seed": -1}])
def test_senseless_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        MiniConfig(**changes)


def test_splits_and_purposes_share_no_scene() -> None:
    config = MiniConfig()
    specs = [config.dataset(p, s) for p in ("val", "test") for s in ("mini-RES", "mini-HRES")]
    assert len({spec.partition(",")[2] for spec in [*specs, config.train_dataset]}) == 5


def test_damaged_masks_differ_and_keep_their_size() -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[20:40, 20:40] = True
    made = [damaged(mask, np.random.default_rng(n)) for n in range(20)]
    assert all(one.shape == mask.shape and one.dtype == np.bool_ for one in made)
    assert sum(not np.array_equal(one, mask) for one in made) >= 18
    assert damaged(np.zeros((64, 64), np.bool_), np.random.default_rng(0)).shape == (64, 64)


def test_plots_of_nothing(tmp_path: Path) -> None:
    assert plots.draw_plots({"tables": {}}, tmp_path) == []


@pytest.mark.slow
def test_the_real_thing_in_miniature_of_miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded models, trained for two steps: everything fits together."""
    monkeypatch.setattr(filtering, "_RESAMPLES", 10)
    config = quick_config(
        train_scenes=4, test_scenes=1, val_scenes=1, noc_clicks=3, steps=(1, 2), candidates=2, sft_steps=2,
        star_steps=2, first_action_scenes=1, first_action_steps=1,
    )  # fmt: skip
    results = reproduce_miniature(tmp_path, config, workers=1)
    assert results["models"]["SFT"]["steps"] == 2
    assert results["tables"]["search"]["mini-HRES"]["calls_per_step"]["most"] <= 3
    assert results["tables"]["filtering"]["SFT"]["mini-RES, random clicks"]["count"] == 2
    assert reproduce_miniature(tmp_path, config, workers=2) == results
