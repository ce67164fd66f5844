"""What an audit asks of models, and when a refine replaces a mask."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from segagent.annotation.batch import Models, RunConfig, open_run, run_job
from segagent.core import Image, Observation, Proposal
from segagent.datasets import open_dataset
from segagent.evaluation.calibration import Calibration
from segagent.policies import ScriptedPolicy
from segagent.tools.fake import DiscTool

SCENES = "scenes:3:size=64,sentences=4"


class CountingTool(DiscTool):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[str] = []
        self.batches: list[int] = []

    def embed(self, images: Sequence[Image]) -> list[object]:
        self.images += [image.key for image in images]
        return super().embed(images)

    def segment(self, requests):  # type: ignore[no-untyped-def]
        self.batches.append(len(requests))
        return super().segment(requests)


class CountingPolicy(ScriptedPolicy):
    def __init__(self) -> None:
        super().__init__(["Current IoU: 50. Positive point: (5, 5)"] * 1000)
        self.batches: list[int] = []

    def propose(self, observations: Sequence[Observation], *args, **kwargs) -> list[list[Proposal]]:  # type: ignore[no-untyped-def]
        self.batches.append(len(observations))
        return super().propose(observations, *args, **kwargs)


def test_an_audit_embeds_each_image_once_and_asks_in_batches(tmp_path: Path) -> None:
    policy, tool, scenes = CountingPolicy(), CountingTool(), open_dataset(SCENES)
    run_job(scenes, lambda: Models(policy, tool), tmp_path / "run", RunConfig("audit"))
    pictures = {sample.load_image().key for sample in scenes}
    assert len(pictures) == 3
    # A probe picture, by which a run knows its models again, comes before.
    assert sorted(key for key in tool.images if key in pictures) == sorted(pictures)
    assert policy.batches[-6:] == [4, 4] * 3  # The given masks, then what one click makes of them.
    assert tool.batches[-3:] == [4] * 3
    assert open_run(tmp_path / "run").costs()["policy_calls"] == 2 * 12
    assert open_run(tmp_path / "run").costs()["tool_calls"] == 12


def test_the_tools_opinion_embeds_no_image_again(tmp_path: Path) -> None:
    tool, scenes = CountingTool(), open_dataset(SCENES)
    config = RunConfig("audit", tool_opinion=True)
    run_job(scenes, lambda: Models(CountingPolicy(), tool), tmp_path / "run", config)
    pictures = {sample.load_image().key for sample in scenes}
    assert sorted(key for key in tool.images if key in pictures) == sorted(pictures)
    # What each click makes, and the tool's own outline of each given mask.
    assert sorted(tool.batches[-15:]) == [1] * 12 + [4] * 3
    assert open_run(tmp_path / "run").costs()["tool_calls"] == 2 * 12
    assert all(one.outline is not None and one.outline.by == "tool" for one in open_run(tmp_path / "run").objects())


@pytest.mark.parametrize(
    ("given", "after", "calibration", "repaired"),
    [
        (0.50, 0.95, None, True),
        (0.50, 0.60, None, False),  # Too little better.
        (0.50, 0.85, None, False),  # Better, but not sure.
        (0.50, 0.95, Calibration((0.0, 1.0), (0.0, 0.9)), False),  # Not sure, as it turned out.
        (0.82, 0.99, None, False),  # Good enough not to be tried.
        (0.95, 0.50, None, False),
    ],
)
def test_a_mask_is_replaced_only_by_one_the_policy_is_sure_of(
    tmp_path: Path, given: float, after: float, calibration: Calibration | None, repaired: bool
) -> None:
    lines = [f"Current IoU: {round(100 * value)}. Positive point: (5, 5)" for value in (given, after)]
    models = Models(ScriptedPolicy(lines + lines[:1] * 100), DiscTool(), calibration)
    scenes = open_dataset("scenes:1:size=64,sentences=1")
    run_job(scenes, lambda: models, tmp_path / "run", RunConfig("refine"))
    (record,) = open_run(tmp_path / "run").objects()
    assert (record.outcome == "repaired") == repaired
    (sample,) = scenes
    assert np.array_equal(record.mask, sample.load_target()[0]) != repaired
    assert record.predicted_iou == pytest.approx(after if repaired else given)


def test_a_policy_with_doubts_replaces_no_mask(tmp_path: Path) -> None:
    class Doubting(ScriptedPolicy):
        def doubts(self, image: Image, text: str) -> list[str]:
            return ["sees nothing"]

    lines = [f"Current IoU: {percent}. Positive point: (5, 5)" for percent in (50, 95)]
    for policy, outcome in ((ScriptedPolicy, "repaired"), (Doubting, "kept")):
        made = partial(policy, lines + lines[:1] * 100)
        run_job(
            open_dataset("scenes:1:size=64,sentences=1"),
            lambda made=made: Models(made(), DiscTool()),  # type: ignore[misc]
            tmp_path / outcome,
            RunConfig("refine"),
        )
        (record,) = open_run(tmp_path / outcome).objects()
        assert record.outcome == outcome
