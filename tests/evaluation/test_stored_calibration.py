import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from segagent.cli.main import main
from segagent.core import InputError, Proposal, RefusedError
from segagent.datasets import open_dataset
from segagent.environment import SimulatedAnnotator, Target
from segagent.evaluation.calibration import (
    CALIBRATION_FILE,
    Calibration,
    calibration_file,
    fit_calibration,
    load_calibration,
    load_with_evidence,
    save_calibration,
)
from segagent.evaluation.evidence import Evidence
from segagent.evaluation.own_states import ENOUGH_DOUBTED, OwnStates, own_states
from segagent.tools import make_tool

DATA = "scenes:2:seed=4,split=val,sentences=2,size=96"


def test_a_calibration_is_stored_with_its_model_and_read_back(tmp_path):
    spec = f"embedded:{tmp_path}"
    assert load_calibration(spec) is None
    fitted = Calibration((0.2, 0.8), (0.1, 0.5))
    assert save_calibration(spec, fitted, {"states": 3}) == tmp_path / CALIBRATION_FILE
    assert load_calibration(spec) == fitted
    assert json.loads((tmp_path / CALIBRATION_FILE).read_text())["notes"] == {"states": 3}
    assert calibration_file(f"hf:{tmp_path}?format=qwen3") == tmp_path / CALIBRATION_FILE
    for homeless in ("centre", "openai:m@http://127.0.0.1:1", "hf:no/such-folder"):
        assert calibration_file(homeless) is None
        with pytest.raises(InputError, match="no folder"):
            save_calibration(homeless, fitted, {})


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"predicted": [0.2], "expected": [2]}', "null"])
def test_a_damaged_calibration_is_named(tmp_path, content):
    (tmp_path / CALIBRATION_FILE).write_text(content)
    with pytest.raises(InputError, match=CALIBRATION_FILE):
        load_calibration(f"embedded:{tmp_path}")


class Boastful:
    """The simulated annotator, who says the square root of every IoU."""

    name = "boastful"

    def __init__(self, dataset):
        samples = list(dataset)
        self._annotator = SimulatedAnnotator({(s.load_image().key, s.text): Target(*s.load_target()) for s in samples})

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        replies = self._annotator.propose(observations, num_proposals)
        return [[Proposal(p.action, p.predicted_iou**0.5, None, "") for p in row] for row in replies]


def test_own_states_pair_what_was_said_with_the_truth():
    dataset = open_dataset(DATA)
    states = own_states(Boastful(dataset), make_tool("disc"), dataset, max_steps=3)
    assert len(states.predicted) == len(states.true) == len(states.images) > 4
    np.testing.assert_allclose(np.array(states.predicted) ** 2, states.true, atol=1e-9)
    assert not states.failed
    assert sum(states.final) == len(set(states.images)) * 2
    for image in set(states.images):
        rows = [row for row, name in enumerate(states.images) if name == image]
        best = max(states.predicted[row] for row in rows)
        assert any(states.final[row] for row in rows if states.predicted[row] == best)
    fitted = fit_calibration(states.predicted, states.true)
    assert np.mean([abs(fitted(p) - t) for p, t in zip(states.predicted, states.true, strict=True)]) < 0.05


def test_states_of_doubted_objects_are_told_apart():
    dataset = open_dataset(DATA)
    doubted = {sample.text for sample in list(dataset)[:2]}

    class Doubting(Boastful):
        def doubts(self, image, text):
            return ["sees nothing"] if text in doubted else []

    states = own_states(Doubting(dataset), make_tool("disc"), dataset, max_steps=2)
    assert len(states.doubted) == len(states.predicted)
    assert 0 < sum(states.doubted) < len(states.doubted)
    assert len(states.evidence()) == len(states.doubted) - sum(states.doubted)


def test_doubted_objects_are_calibrated_apart_once_there_are_enough():
    num = ENOUGH_DOUBTED
    sure = OwnStates([0.2, 0.8] * num, [0.2, 0.8] * num, ["a"] * 2 * num, [True] * 2 * num, [False] * 2 * num)
    few = OwnStates([0.2, 0.8], [0.0, 0.2], ["b"] * 2, [True] * 2, [True] * 2)
    both = OwnStates()
    both.add(sure)
    both.add(few)
    assert both.calibration().doubted is None
    for _ in range(num):
        both.add(few)
    fitted = both.calibration()
    assert (fitted(0.8), fitted(0.8, True)) == pytest.approx((0.8, 0.2))
    assert fitted == Calibration(sure.calibration().predicted, sure.calibration().expected, fitted.doubted)
    assert both.corrected(fitted)[-1] == fitted(0.8, True)
    only = OwnStates([0.2, 0.8] * num, [0.0, 0.2] * num, ["b"] * 2 * num, [True] * 2 * num, [True] * 2 * num)
    assert only.calibration().doubted is None
    assert len(only.evidence()) == 2 * num


def test_a_sample_that_the_policy_refuses_takes_no_other_with_it():
    dataset = open_dataset(DATA)
    refused = next(iter(dataset))

    class Prudish(Boastful):
        def propose(self, observations, num_proposals=1, **more):
            if any(one.text == refused.text and one.image.key == refused.load_image().key for one in observations):
                raise RefusedError("not that one")
            return super().propose(observations, num_proposals, **more)

    states = own_states(Prudish(dataset), make_tool("disc"), dataset, max_steps=2)
    assert states.failed == [(refused.sample_id, "not that one")]
    assert sum(states.final) == len(list(dataset)) - 1


def test_a_file_without_evidence_still_loads(tmp_path):
    spec = f"embedded:{tmp_path}"
    fitted = Calibration((0.2, 0.8), (0.1, 0.5))
    save_calibration(spec, fitted, {})
    assert load_with_evidence(spec) == (fitted, None)
    evidence = Evidence((0.5,), (0.25,), (0,), (True,))
    save_calibration(spec, fitted, {}, evidence)
    assert load_with_evidence(spec) == (fitted, evidence)
    assert load_calibration(spec) == fitted
    assert "evidence" not in fitted.to_dict()


def test_weights_stand_for_repeated_samples():
    said, true = [0.1, 0.3, 0.3, 0.6, 0.9], [0.0, 0.4, 0.5, 0.5, 0.8]
    twice = fit_calibration([*said, *said], [*true, *true], num_bins=3)
    assert fit_calibration(said, true, weight=[2.0] * 5, num_bins=3) == twice


def test_calibrate_on_the_command_line(tmp_path, capsys):
    assert main(["calibrate", "centre", DATA]) == 2
    assert "model's folder" in capsys.readouterr().err
    model, data = tmp_path / "model", "scenes:1:seed=4,split=val,sentences=1,size=96"
    model.mkdir()
    for name in ("policy.json", "policy.safetensors"):
        shutil.copy(Path(str(files("segagent") / "weights" / name)), model)
    spec = f"embedded:{model}"
    assert main(["calibrate", spec, data, "--steps", "2", "--evidence-only"]) == 2
    assert "no calibration to keep" in capsys.readouterr().err
    assert main(["calibrate", spec, data, "--steps", "2", "--json"]) == 0
    calibration, evidence = load_with_evidence(spec)
    assert evidence is not None
    assert len(evidence) == 2
    assert fit_calibration(evidence.predicted, evidence.true).predicted == pytest.approx(calibration.predicted)
    assert main(["calibrate", spec, data, "--steps", "3", "--evidence-only"]) == 0
    kept, more = load_with_evidence(spec)
    assert kept == calibration
    assert len(more) == 3
    notes = json.loads((model / CALIBRATION_FILE).read_text())["notes"]
    assert (notes["steps"], notes["evidence"]["steps"]) == (2, 3)
    other = data.replace("seed=4", "seed=5")
    assert main(["calibrate", spec, data, data]) == 2
    assert "given twice" in capsys.readouterr().err
    assert main(["calibrate", spec, data, other, "--steps", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["states"] == 4
    assert "seed=4" in told["dataset"]
    assert "seed=5" in told["dataset"]
    _, both = load_with_evidence(spec)
    assert len(set(both.image)) == 2  # equally named pictures of two sets are two
