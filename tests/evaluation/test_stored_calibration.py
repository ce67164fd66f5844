import json

import numpy as np
import pytest

from segagent.cli.main import main
from segagent.core import InputError, Proposal
from segagent.datasets import open_dataset
from segagent.environment import SimulatedAnnotator, Target
from segagent.evaluation.calibration import (
    CALIBRATION_FILE,
    Calibration,
    calibration_file,
    fit_calibration,
    load_calibration,
    save_calibration,
)
from segagent.evaluation.own_states import own_states
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
    fitted = fit_calibration(states.predicted, states.true)
    assert np.mean([abs(fitted(p) - t) for p, t in zip(states.predicted, states.true, strict=True)]) < 0.05


def test_calibrate_on_the_command_line(capsys):
    assert main(["calibrate", "centre", DATA]) == 2
    assert "model's folder" in capsys.readouterr().err
