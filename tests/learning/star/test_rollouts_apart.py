"""Rollouts made by a command of their own, and StaR+ that learns from them."""

import json
from functools import partial

import pytest

from segagent.cli.main import main
from segagent.core import InputError
from segagent.datasets import open_dataset
from segagent.learning import star
from segagent.learning.sft import Recipe, TrainedModel, write_training_note
from segagent.learning.star import StarConfig, run_star
from segagent.policies import CentrePolicy
from segagent.runs.journal import read_journal

DATA = "scenes:3:seed=8,split=train,sentences=2,size=96"
OTHER = "scenes:2:seed=9,split=train,sentences=1,size=96"
PLAY = ["--tool", "disc", "--max-steps", "2", "--workers", "1", "--json"]


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A model folder of SFT, and what StaR trains, which trains nothing."""
    asked = []

    def note_only(policy, sets, out, recipe, **_):
        asked.append([(one.dataset.spec, list(one.examples)) for one in sets])
        out.mkdir(exist_ok=True)
        return TrainedModel(f"embedded:{out}", 1, 1, ((1, 0.5),), 0.0)

    monkeypatch.setattr(star.run, "train_policy_on", note_only)
    monkeypatch.setattr("segagent.policies.make_policy", lambda spec: CentrePolicy())
    d_0 = tmp_path / "d_0.jsonl"
    assert main(["trajectories", DATA, "-o", str(d_0), "--starts", "empty", *PLAY]) == 0
    (tmp_path / "s_0").mkdir()
    note = {"kind": "sft", "scheme": "embedded", "trajectories": [str(d_0)], "recipe": Recipe(steps=5).to_dict()}
    write_training_note(tmp_path / "s_0", note)
    return asked


def played(out, *more, data=(DATA,), starts="empty"):
    return main(["rollouts", "centre", *data, "-o", str(out), "--starts", starts, *PLAY, *more])


def test_rollouts_apart_teach_what_rollouts_within_star_teach(tmp_path, trained, capsys):
    config = StarConfig(max_steps=2, tool="disc")
    run_star(tmp_path / "s_0", [open_dataset(DATA), open_dataset(OTHER)], tmp_path / "within", config)
    assert played(tmp_path / "apart", data=(DATA, OTHER)) == 0
    capsys.readouterr()
    assert main(["train", "star", str(tmp_path / "s_0"), "--rollouts", str(tmp_path / "apart"), "-o",
                 str(tmp_path / "out"), "--json"]) == 0  # fmt: skip
    assert trained[0] == trained[1]
    note = json.loads((tmp_path / "out" / "training.json").read_text())
    assert note["datasets"] == [open_dataset(DATA).spec, open_dataset(OTHER).spec]
    assert [path.rpartition("/")[2] for path in note["rollouts"]] == ["rollouts_1.jsonl", "rollouts_2.jsonl"]


def test_shards_together_are_the_whole(tmp_path, trained):
    for part in (1, 2):
        assert played(tmp_path / f"part{part}", "--shard", f"{part}/2") == 0
    assert played(tmp_path / "whole") == 0
    folders = ["part1", "part2"], ["whole"]
    for names in folders:
        paths = [tmp_path / name for name in names]
        run_star(tmp_path / "s_0", None, tmp_path / names[0] / "model", StarConfig(tool="disc"), rollouts=paths)
    parts, whole = ([e for _, examples in sets[1:] for e in examples] for sets in trained)
    assert sorted(map(repr, parts)) == sorted(map(repr, whole))
    assert played(tmp_path / "part1", "--shard", "2/2") == 2


def test_a_budget_and_a_limit_stop_them_and_more_goes_on(tmp_path, trained, capsys):
    assert played(tmp_path / "whole") == 0
    assert played(tmp_path / "cut", "--budget-calls", "5") == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "budget" in told["stopped"]
    assert not (tmp_path / "cut" / "corrections_1.jsonl").exists()
    with pytest.raises(InputError, match=r"corrections_1.*give its command again"):
        run_star(tmp_path / "s_0", None, tmp_path / "m", StarConfig(tool="disc"), rollouts=[tmp_path / "cut"])
    assert played(tmp_path / "cut", "--limit", "2") == 0
    assert played(tmp_path / "cut") == 0
    for name in ("rollouts_1.jsonl", "corrections_1.jsonl"):
        whole, cut = (list(read_journal(tmp_path / folder / name)[1]) for folder in ("whole", "cut"))
        assert [{**r, "seconds": 0} for r in whole] == [{**r, "seconds": 0} for r in cut]


def test_samples_tried_again_are_corrected_too(tmp_path, trained, monkeypatch, capsys):
    from segagent.datasets.generated import SceneSample

    load, broken = SceneSample.load_image, [True]

    def image(self):
        if broken and self.image_name.endswith("1"):
            raise InputError("gone")
        return load(self)

    monkeypatch.setattr(SceneSample, "load_image", image)
    assert played(tmp_path / "r") == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["num_failed"] == 2
    broken.clear()
    assert played(tmp_path / "r", "--retry-failed") == 0
    run_star(tmp_path / "s_0", None, tmp_path / "m", StarConfig(tool="disc"), rollouts=[tmp_path / "r"])
    (_, (_, examples)) = trained[-1]
    assert {e.image[-1] for e in examples} == {"0", "1", "2"}


def test_what_cannot_be_learnt_from_is_refused(tmp_path, trained, capsys):
    s_0, out = str(tmp_path / "s_0"), ["-o", str(tmp_path / "out")]
    apart = str(tmp_path / "apart")
    assert played(tmp_path / "apart", "--no-corrections") == 0
    wrong = (
        (["--rollouts", apart], "corrections_1"),
        (["--rollouts", str(tmp_path / "none")], "no rollouts"),
        (["--rollouts", str(tmp_path / "d_0.jsonl")], "holds no rollouts"),
        ([DATA, "--rollouts", apart], "belong to"),
        (["--rollouts", apart, "--temperature", "1"], "belong to"),
        (["--rollouts", apart, "--rounds", "2"], "one round"),
        ([], "expected data sets"),
    )
    for arguments, told in wrong:
        assert main(["train", "star", s_0, *arguments, *out]) == 2
        assert told in capsys.readouterr().err
    # Plain StaR keeps whole episodes and needs no corrections.
    star_only = partial(StarConfig, "star", tool="disc", min_reward=0.0)
    run_star(tmp_path / "s_0", None, tmp_path / "out", star_only(), rollouts=[apart])
    assert {e.origin for _, examples in trained[-1] for e in examples} == {"kept"}
