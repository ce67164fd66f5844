"""Degraded start masks: how wrong they are, and that nothing but seed and target decides them."""

import numpy as np
import pytest

from segagent.core import iou
from segagent.datasets import Sample, open_dataset
from segagent.datasets.faults import HIGHEST_IOU, LOWEST_IOU, degraded
from segagent.environment import Episode, Target
from segagent.environment.seeds import episode_seed
from segagent.evaluation.protocols import EvaluationConfig, play
from segagent.evaluation.results import measure_run, open_runs
from segagent.evaluation.run import evaluate
from segagent.policies import CentrePolicy, ScriptedPolicy
from segagent.runs.journal import read_journal
from segagent.runs.playing import Asked
from segagent.search import SearchConfig
from segagent.tools import make_tool

DATA = "scenes:6:seed=4,split=val,size=96,sentences=1"


def disc(radius: int = 15) -> np.ndarray:
    rows, columns = np.mgrid[:80, :100]
    return (rows - 40) ** 2 + (columns - 50) ** 2 < radius**2


def test_they_are_wrong_to_every_degree_in_the_range() -> None:
    found = [iou(degraded(disc(), np.random.default_rng(seed)), disc()) for seed in range(200)]
    assert min(found) > LOWEST_IOU - 0.1
    assert max(found) < HIGHEST_IOU + 0.04
    assert np.histogram(found, bins=[0.3, 0.5, 0.65, 0.8, 1.0])[0].min() > 20


def test_the_seed_decides() -> None:
    first, second, other = (degraded(disc(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert not first.flags.writeable


@pytest.mark.parametrize("size", [1, 2, 3])
def test_objects_of_a_few_pixels(size: int) -> None:
    target = np.zeros((30, 30), np.bool_)
    target[:size, :size] = True
    for seed in range(20):
        assert degraded(target, np.random.default_rng(seed)).any()


def test_nothing_cannot_be_degraded() -> None:
    with pytest.raises(ValueError, match="single pixel"):
        degraded(np.zeros((5, 5), np.bool_), np.random.default_rng(0))


def asked(sample: Sample, seed: int) -> Asked:
    own = episode_seed(seed, sample.sample_id)
    return Asked(Episode(sample.load_image(), sample.text, seed=own), Target(*sample.load_target()))


def test_every_policy_and_tool_begins_with_the_same_masks() -> None:
    tasks, others = ([asked(sample, seed) for sample in open_dataset(DATA)] for seed in (0, 1))
    config = EvaluationConfig("refine", SearchConfig(2))
    starts = [
        [one.start.mask for (one,) in play(tasks, policy, make_tool(tool), config)]
        for policy, tool in ((CentrePolicy(), "disc"), (ScriptedPolicy(["x", "y"]), "grabcut"))
    ]
    assert starts[0] == starts[1]
    alone = play(tasks[3:4], CentrePolicy(), make_tool("disc"), config)
    assert alone[0][0].start.mask == starts[0][3]
    again = play(others[3:4], CentrePolicy(), make_tool("disc"), config)
    assert again[0][0].start.mask != starts[0][3]


def test_leaving_masks_as_they_are_gains_nothing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    evaluate(open_dataset(DATA), CentrePolicy(), make_tool("disc"), tmp_path, EvaluationConfig("refine"))
    (run,) = open_runs([tmp_path])
    results, _ = measure_run(run)
    starts = [record["start"]["reward"] for record in read_journal(run.files[0])[1]]
    assert results["metrics"]["refine gain"]["value"] == 0
    assert results["metrics"]["gIoU"]["value"] == pytest.approx(np.mean(starts))
    assert "first-click hit rate" not in results["metrics"]
