import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from segagent.core import InputError, InvalidAction, Proposal, SegmentRequest, ToolError, decode_rle
from segagent.core.failures import Failure
from segagent.datasets import ScenesDataset, open_dataset
from segagent.learning import star
from segagent.learning.examples import fates, star_plus_examples
from segagent.learning.sft import Recipe, TrainedModel, write_training_note
from segagent.learning.star import StarConfig, run_star
from segagent.learning.star.corrections import correct_rollouts, read_corrected
from segagent.learning.star.rollouts import Sampling, roll_out
from segagent.learning.star.run import as_in_d_0
from segagent.learning.trajectories import TrajectoryConfig, generate_dataset, read_trajectories
from segagent.policies import CentrePolicy, make_policy
from segagent.runs.journal import read_journal
from segagent.runs.models import Models, with_tool_alone
from segagent.runs.session import Session
from segagent.tools import make_tool
from segagent.tools.fake import DiscTool

DATA = "scenes:3:seed=8,split=train,sentences=2,size=96"
SHORT = StarConfig(max_steps=2, tool="disc")


class KilledHereError(Exception):
    pass


def quiet(*_):
    pass


def roll(policy, dataset, path, config, settings, tell=quiet):
    with Session().asking(lambda: Models(policy, make_tool("disc"))) as ask:
        told = lambda made: tell(made.num_images, dataset.num_images)  # noqa: E731
        return roll_out(ask, dataset, path, config, settings, watch=told)


def rolled(path, **options):
    dataset = open_dataset(DATA)
    roll(CentrePolicy(), dataset, path, SHORT, {"model": "centre"}, options.get("tell", quiet))
    return dataset


def test_rollouts_hold_every_sample_once_with_its_reward(tmp_path):
    dataset = rolled(tmp_path / "r.jsonl")
    _, records = read_journal(tmp_path / "r.jsonl")
    records = list(records)
    targets = {sample.sample_id: sample for sample in dataset}
    assert [record["sample_id"] for record in records] == list(targets)
    for record in records:
        mask, _ = targets[record["sample_id"]].load_target()
        for step in record["steps"]:
            made = decode_rle(step["mask"])
            assert step["reward"] == pytest.approx((made & mask).sum() / (made | mask).sum())


def test_killed_rollouts_go_on_to_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr("segagent.learning.star.rollouts._PICTURES_TOGETHER", 1)
    rolled(tmp_path / "whole.jsonl")

    def stop(done, total):
        if done == 2:
            raise KilledHereError

    with pytest.raises(KilledHereError):
        rolled(tmp_path / "cut.jsonl", tell=stop)
    told = []
    rolled(tmp_path / "cut.jsonl", tell=lambda done, total: told.append(done))
    assert told == [2, 3]
    timeless = [[{**r, "seconds": 0} for r in read_journal(tmp_path / f"{name}.jsonl")[1]] for name in ("whole", "cut")]
    assert timeless[0] == timeless[1]


def corrections_of(tmp_path, dataset, **options):
    out = options.pop("out", tmp_path / "c.jsonl")
    tell = options.get("tell", quiet)
    with Session().asking(lambda: Models(None, options.get("tool") or make_tool("disc"))) as ask:
        told = lambda made: tell(made.num_images, dataset.num_images)  # noqa: E731
        correct_rollouts(ask, dataset, tmp_path / "r.jsonl", out, {}, watch=told)
    return out


def test_examples_of_rollouts_are_those_of_algorithm_1(tmp_path):
    dataset = rolled(tmp_path / "r.jsonl")
    found = list(read_corrected(tmp_path / "r.jsonl", corrections_of(tmp_path, dataset)))
    examples = [example for one in found for example in star_plus_examples(*one)]
    per_sample = [e.sample_id for e in examples]
    assert all(per_sample.count(sample.sample_id) == 3 for sample in dataset)
    assert {e.origin for e in examples} == {"kept", "replaced", "dropped"}
    tool, targets = make_tool("disc"), {sample.sample_id: sample for sample in dataset}
    tried = [(t, index, one) for t, corrections in found for index, one in corrections.items() if one.click]
    assert len(tried) > 3
    for trajectory, index, one in tried:  # What is on record is what the tool makes of the click in that state.
        target, _ = targets[trajectory.sample_id].load_target()
        (embedding,) = tool.embed([targets[trajectory.sample_id].load_image()])
        prompts = (*trajectory.prompts_at(index - 1), one.click)
        (made,) = tool.segment([SegmentRequest(embedding, trajectory.mask_at(index - 1), None, prompts)])
        assert one.reward == pytest.approx((made.mask & target).sum() / (made.mask | target).sum())


def test_killed_corrections_go_on_to_the_same_file(tmp_path):
    dataset = rolled(tmp_path / "r.jsonl")
    corrections_of(tmp_path, dataset, out=tmp_path / "whole.jsonl")

    def stop(done, total):
        if done == 2:
            raise KilledHereError

    with pytest.raises(KilledHereError):
        corrections_of(tmp_path, dataset, tell=stop)
    corrections_of(tmp_path, dataset)
    assert (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_corrections_of_other_rollouts_are_refused(tmp_path):
    dataset = rolled(tmp_path / "r.jsonl")
    corrections_of(tmp_path, dataset)
    (tmp_path / "r.jsonl").unlink()
    roll(Numb(), dataset, tmp_path / "r.jsonl", SHORT, {"model": "numb"})
    with pytest.raises(InputError, match=r"c\.jsonl: does not belong to .*r\.jsonl"):
        list(read_corrected(tmp_path / "r.jsonl", tmp_path / "c.jsonl"))


def test_a_target_that_is_gone_leaves_its_corrections_out(tmp_path):
    dataset = rolled(tmp_path / "r.jsonl")

    class Gone(ScenesDataset):
        def groups(self):
            for number, group in enumerate(dataset.groups()):
                yield Unreadable(group) if number == 1 else group

    out = corrections_of(tmp_path, Gone(3, seed=8))
    assert {t.image for t, _ in read_corrected(tmp_path / "r.jsonl", out)} == {"train_8_000000", "train_8_000002"}
    reasons = [record.get("reason") for record in read_journal(out)[1]]
    assert reasons.count("its picture or mask cannot be read any more") == 2


class Picky(DiscTool):
    """Takes none with a click on the left ``edge`` pixels."""

    def __init__(self, edge):
        super().__init__()
        self._edge = edge

    def segment(self, requests):
        if any(click.x < self._edge for request in requests for click in request.prompts):
            raise ToolError("not so far to the left")
        return super().segment(requests)


def test_corrections_that_the_tool_refuses_take_no_others_with_them(tmp_path):
    dataset = rolled(tmp_path / "r.jsonl")
    whole = list(read_corrected(tmp_path / "r.jsonl", corrections_of(tmp_path, dataset, out=tmp_path / "whole.jsonl")))
    clicks = {t.sample_id: [one.click.x for one in found.values() if one.click] for t, found in whole}
    edge = sorted(min(xs, default=99) for xs in clicks.values())[2] + 1
    refused = {name for name, xs in clicks.items() if min(xs, default=99) < edge}
    assert 0 < len(refused) < len(clicks)
    out = corrections_of(tmp_path, dataset, tool=Picky(edge))
    found = list(read_corrected(tmp_path / "r.jsonl", out))
    assert {t.sample_id for t, _ in found} == set(clicks) - refused
    assert [one.corrections for one in found] == [one.corrections for one in whole if one[0].sample_id not in refused]
    failed = json.loads((tmp_path / "c.summary.json").read_text())["failed"]
    assert {(one["sample_id"], one["reason"]) for one in failed} == {(n, "not so far to the left") for n in refused}


@pytest.mark.slow
def test_corrections_are_the_same_with_any_number_of_workers(tmp_path):
    dataset = rolled(tmp_path / "r.jsonl")
    corrections_of(tmp_path, dataset)
    session = Session(workers=2)
    with session.asking(with_tool_alone(partial(make_tool, "disc"))) as ask:
        correct_rollouts(ask, dataset, tmp_path / "r.jsonl", tmp_path / "two.jsonl", {}, session)
    assert (tmp_path / "two.jsonl").read_bytes() == (tmp_path / "c.jsonl").read_bytes()


class Numb:
    """Says nothing that could be done."""

    name = "numb"

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        return [[Proposal(InvalidAction("?", "no"), None, None, "?")] * num_proposals for _ in observations]


def test_rollouts_begin_as_d_0_does(tmp_path):
    dataset = open_dataset(DATA)
    config = replace(SHORT, starts=("empty", "box", "random"))
    roll(CentrePolicy(), dataset, tmp_path / "r.jsonl", config, {})
    out = corrections_of(tmp_path, dataset)
    found = list(read_corrected(tmp_path / "r.jsonl", out))
    report = generate_dataset(dataset, partial(make_tool, "disc"), tmp_path / "d_0.jsonl", TrajectoryConfig())
    d_0 = list(read_trajectories(tmp_path / "d_0.jsonl"))
    assert report.outcomes["trajectories"] == len(found) == 3 * len(list(dataset))
    for (rolled_out, _), made in zip(found, d_0, strict=True):
        assert (rolled_out.sample_id, rolled_out.start.kind) == (made.sample_id, made.start.kind)
        assert rolled_out.start.mask == made.start.mask
        assert rolled_out.start.prompts == made.start.prompts


class Numbered:
    """Says which proposal it is and how hot it was asked."""

    name = "numbered"

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        return [[(number, temperature, seeds) for number in range(num_proposals)] for _ in observations]


def test_sampling_leaves_out_the_greedy_reply():
    assert Sampling(Numbered(), 0.0).propose([None], 2, seeds=[5]) == [[(0, 0.0, [5]), (1, 0.0, [5])]]
    assert Sampling(Numbered(), 0.7).propose([None], 2, seeds=[5]) == [[(1, 0.7, [5]), (2, 0.7, [5])]]


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Records what StaR trains, from what and on what; trains nothing."""
    asked = []

    def note_only(policy, sets, out, recipe, **_):
        asked.append((policy, [(s.dataset.spec, list(s.examples)) for s in sets], out, recipe))
        out.mkdir(exist_ok=True)
        return TrainedModel(f"embedded:{out}", 1, 1, ((1, 0.5),), 0.0)

    made = []

    def centre(spec):
        made.append(spec)
        return CentrePolicy()

    monkeypatch.setattr(star.run, "train_policy_on", note_only)
    monkeypatch.setattr("segagent.policies.make_policy", centre)
    return asked, made


def sft_model(folder, d_0):
    folder.mkdir()
    recipe = Recipe(steps=5, learning_rate=0.001)
    write_training_note(
        folder, {"kind": "sft", "scheme": "embedded", "trajectories": [str(d_0)], "recipe": recipe.to_dict()}
    )
    return folder, recipe


@pytest.fixture
def d_0(tmp_path):
    from segagent.cli.main import main

    path = tmp_path / "d_0.jsonl"
    arguments = ["trajectories", DATA, "-o", str(path), "--tool", "disc", "--workers", "1", "--max-steps", "2"]
    assert main([*arguments, "--starts", "empty,box", "--tau-stop", "0.5", "--tau-diff", "0.125", "--json"]) == 0
    return path


def test_star_plus_trains_s_0_on_d_0_and_d_n_each_round(tmp_path, trained, d_0):
    asked, made = trained
    model, recipe = sft_model(tmp_path / "s_0", d_0)
    out = tmp_path / "out"
    result = run_star(model, open_dataset(DATA), out, StarConfig(rounds=2, max_steps=2, tool="disc"))
    assert made == [f"embedded:{model}", f"embedded:{out / 'round_1'}"]  # S_0, then S_1 is rolled out
    assert [policy for policy, *_ in asked] == [f"embedded:{model}"] * 2  # always S_0 is trained
    assert all(used == recipe for *_, used in asked)
    for _, sets, _, _ in asked:
        (_, first), (_, second) = sets
        assert {e.origin for e in first} == {"annotator"}
        assert "annotator" not in {e.origin for e in second}
    assert result.spec == f"embedded:{out}"
    note = json.loads((out / "training.json").read_text())
    assert note["examples"]["d_n"] == len(asked[1][1][1][1])
    # Rolled out from the starts of D_0, corrected by its rules.
    assert {key: note["config"][key] for key in ("starts", "tau_stop", "tau_diff")} == {
        "starts": ["empty", "box"],
        "tau_stop": 0.5,
        "tau_diff": 0.125,
    }
    _, records = read_journal(out / "rollouts_1.jsonl")
    assert [record["start"]["kind"] for record in records] == ["empty", "box"] * 6
    assert note["actions"] == fates(asked[1][1][1][1])
    assert note["actions"]["replaced"] > 0


def test_several_data_sets_are_rolled_out_on(tmp_path, trained, d_0):
    asked, _ = trained
    model, _ = sft_model(tmp_path / "s_0", d_0)
    other = "scenes:2:seed=9,split=train,sentences=1,size=96"
    sets = [open_dataset(DATA), open_dataset(other)]
    run_star(model, sets, tmp_path / "out", StarConfig(max_steps=2, tool="disc"))
    (_, trained_on, _, _) = asked[0]
    specs = [one.spec for one in sets]
    assert [spec for spec, _ in trained_on] == [specs[0], *specs]
    assert {example.image[:7] for example in trained_on[2][1]} == {"train_9"}
    assert json.loads((tmp_path / "out" / "training.json").read_text())["datasets"] == specs


def test_what_failed_and_what_it_costs_is_told(tmp_path, trained, d_0, capsys):
    from segagent.cli.main import main

    class Broken(ScenesDataset):
        def groups(self):
            for number, group in enumerate(super().groups()):
                yield Unreadable(group) if number == 1 else group

    model, _ = sft_model(tmp_path / "s_0", d_0)
    told = {}

    def keep(file, failures):
        told[file.name] = {one.image for one in failures}

    sets = [Broken(3, seed=8), open_dataset(DATA)]
    run_star(model, sets, tmp_path / "out", StarConfig(max_steps=2, tool="disc"), on_failures=keep)
    assert told == {
        "rollouts_1.jsonl": {"train_8_000001"},
        "corrections_1.jsonl": set(),
        "rollouts_1_2.jsonl": set(),
        "corrections_1_2.jsonl": set(),
    }
    summary = json.loads((tmp_path / "out" / "rollouts_1_2.summary.json").read_text())
    # The budget is that of all rollouts together.
    for calls, ended in ((summary["cost"]["policy_calls"], 1), (2 * summary["cost"]["policy_calls"], 0)):
        command = ["train", "star", str(model), DATA, DATA, "-o", str(tmp_path / "less"), "--tool", "disc"]
        assert main([*command, "--max-steps", "2", "--workers", "1", "--budget-calls", str(calls)]) == ended
        assert ("rollouts_1_2.jsonl: the run's budget of" in capsys.readouterr().err) == bool(ended)


def test_what_the_command_takes(tmp_path, monkeypatch, d_0, capsys):
    from segagent.cli.main import main

    model, _ = sft_model(tmp_path / "s_0", d_0)
    asked = []

    def no_star(model, datasets, out, config, on_failures, **_):
        asked.append(([one.spec for one in datasets], config))
        on_failures(out / "rollouts_1.jsonl", [Failure("a", "a.png", "gone")] if config.starts == ("random",) else [])
        return TrainedModel(f"embedded:{out}", 1, 1, ((1, 0.5),), 0.0)

    monkeypatch.setattr(star, "run_star", no_star)
    command = ["train", "star", str(model), DATA, DATA, "-o", str(tmp_path / "s_1"), "--json"]
    assert main(command) == 0
    assert main([*command, "--starts", "box", "--tau-stop", "0.9", "--tau-diff", "0.01"]) == 0
    assert [one[0] for one in asked] == [[open_dataset(DATA).spec] * 2] * 2
    assert [(c.starts, c.tau_stop, c.tau_diff) for _, c in asked] == [(None, None, None), (("box",), 0.9, 0.01)]
    assert main([*command, "--starts", "bax"]) == 2
    capsys.readouterr()
    assert main([*command, "--starts", "random"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["policy"] == f"embedded:{tmp_path / 's_1'}"
    assert "sample a failed: gone" in told.err


def test_rules_that_differ_among_d_0_must_be_said(tmp_path, trained, d_0):
    from segagent.cli.main import main

    other = tmp_path / "other.jsonl"
    arguments = ["trajectories", DATA, "-o", str(other), "--tool", "disc", "--workers", "1", "--starts", "random"]
    assert main([*arguments, "--tau-diff", "0.125", "--json"]) == 0
    config = StarConfig(max_steps=2, tool="disc")
    with pytest.raises(InputError, match=r"tau_stop 0\.5 and 0\.95; say which"):
        as_in_d_0(config, [str(d_0), str(other)])
    told = as_in_d_0(replace(config, tau_stop=0.8), [str(d_0), str(other)])
    assert (told.starts, told.tau_stop, told.tau_diff) == (("empty", "box", "random"), 0.8, 0.125)


def test_plain_star_trains_on_good_episodes_only(tmp_path, trained, d_0):
    asked, _ = trained
    model, _ = sft_model(tmp_path / "s_0", d_0)
    config = StarConfig("star", max_steps=2, tool="disc", min_reward=0.0)
    run_star(model, open_dataset(DATA), tmp_path / "out", config)
    ((_, [(_, examples)], _, _),) = asked
    assert {e.origin for e in examples} == {"kept"}
    with pytest.raises(InputError, match="no episode reached"):
        run_star(
            model, open_dataset(DATA), tmp_path / "none", StarConfig("star", max_steps=2, tool="disc", min_reward=1.0)
        )


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"training\.json"):
        run_star(tmp_path, open_dataset(DATA), tmp_path / "out", SHORT)
    for bad in (
        {"rounds": 0}, {"variant": "star++"}, {"min_reward": 1.5}, {"temperature": -1.0}, {"tau_stop": 1.5},
        {"tau_diff": 2.0}, {"starts": ("nowhere",)}, {"starts": ()},
    ):  # fmt: skip
        with pytest.raises(InputError):
            StarConfig(**bad)


def test_unreadable_pictures_are_recorded_and_the_others_go_on(tmp_path):
    class Broken(ScenesDataset):
        def groups(self):
            for number, group in enumerate(super().groups()):
                yield Unreadable(group) if number == 1 else group

    dataset = Broken(3, seed=8)
    roll(CentrePolicy(), dataset, tmp_path / "r.jsonl", SHORT, {})
    _, records = read_journal(tmp_path / "r.jsonl")
    reasons = [(record["image"], record.get("reason")) for record in records]
    assert {name for name, reason in reasons if reason} == {"train_8_000001"}
    assert {name for name, reason in reasons if not reason} == {"train_8_000000", "train_8_000002"}


class Unreadable:
    def __init__(self, group):
        self.image_name = group.image_name
        self._group = group

    def samples(self):
        return [UnreadableSample(sample) for sample in self._group.samples()]


class UnreadableSample:
    def __init__(self, sample):
        self.sample_id, self.image_name, self.text = sample.sample_id, sample.image_name, sample.text

    def load_image(self):
        raise InputError("gone")


@pytest.mark.slow
def test_star_plus_end_to_end_with_the_embedded_model(tmp_path):
    from segagent.cli.main import main

    scenes = "scenes:3:seed=31,split=train,sentences=1"
    d_0, s_0, s_1 = tmp_path / "d_0.jsonl", tmp_path / "s_0", tmp_path / "s_1"
    assert main(["trajectories", scenes, "-o", str(d_0), "--workers", "1", "--max-steps", "3", "--json"]) == 0
    assert (
        main(["train", "sft", str(d_0), "--fresh", "--steps", "3", "--batch-size", "4", "-o", str(s_0), "--json"]) == 0
    )
    assert (
        main(
            [
                "train",
                "star",
                str(s_0),
                scenes,
                "-o",
                str(s_1),
                "--workers",
                "1",
                "--max-steps",
                "2",
                "--steps",
                "3",
                "--json",
            ]
        )
        == 0
    )
    assert make_policy(f"embedded:{s_1}").name == f"embedded:{s_1}"
    assert np.isfinite(json.loads((s_1 / "sft.json").read_text())["losses"][-1][1])
