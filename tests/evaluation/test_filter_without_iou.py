"""Annotation filtering with policies that predict no IoU: never, or not always."""

from pathlib import Path

import pytest

from segagent.core import InputError
from segagent.datasets import open_dataset
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.run import evaluate
from segagent.policies import CentrePolicy, ScriptedPolicy
from segagent.tools import make_tool


def test_a_reply_without_iou_fails_its_sample_alone(tmp_path: Path) -> None:
    policy = ScriptedPolicy(["Positive point: (5, 5)", *["Current IoU: 50. Finish"] * 9])
    data = open_dataset("scenes:3:size=64,sentences=1")
    progress = evaluate(data, policy, make_tool("disc"), tmp_path, EvaluationConfig("filter"))
    assert (progress.num_images, len(progress.failures)) == (3, 1)
    assert "states no IoU of the mask" in progress.failures[0].reason


def test_a_policy_without_iou_is_refused_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'centre' predicts no IoU"):
        evaluate(
            open_dataset("scenes:2:size=64,sentences=1"),
            CentrePolicy(),
            make_tool("disc"),
            tmp_path / "out",
            EvaluationConfig("filter"),
        )
    assert not (tmp_path / "out").exists()
