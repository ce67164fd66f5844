"""What is played for each protocol, and that a policy learns nothing of the target."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cheap_models import Saying
from segagent.core import (
    BoolMask,
    Click,
    Image,
    InputError,
    Observation,
    Proposal,
    Segmentation,
    SegmentRequest,
    ToolError,
    Trajectory,
    decode_rle,
    iou,
)
from segagent.datasets import Sample, open_dataset
from segagent.datasets.sample import ListedGroup
from segagent.environment import Episode, Target, next_click
from segagent.environment.seeds import episode_seed
from segagent.evaluation.clicking import click_trajectories
from segagent.evaluation.protocols import EvaluationConfig, play
from segagent.evaluation.report.tables import report_tables
from segagent.evaluation.results import measure_run, open_runs, read_samples
from segagent.evaluation.run import evaluate
from segagent.policies import CentrePolicy
from segagent.runs.journal import read_journal
from segagent.runs.playing import Asked
from segagent.runs.session import Shard
from segagent.search import SearchConfig
from segagent.tools import make_tool
from segagent.tools.fake import DiscTool

DATA = "scenes:3:seed=5,split=val,size=64,sentences=2"


class Sizer(Saying):
    """Clicks where the mask ends and says how large it is: a policy whose replies depend on all that it sees."""

    name = "sizer"

    def says(self, look: Observation, seed: int) -> Proposal:
        click = Click(int(look.mask.sum()) % 64, len(look.text) % 64, True)
        return Proposal(click, float(look.mask.mean()), None, "")


def episode(sample: Sample, seed: int = 0) -> Episode:
    own = episode_seed(seed, sample.sample_id)
    return Episode(sample.load_image(), sample.text, sample.sample_id, sample.image_name, seed=own)


def tasks(seed: int = 0) -> list[Asked]:
    return [Asked(episode(sample, seed), Target(*sample.load_target())) for sample in open_dataset(DATA)]


def test_the_simulated_annotator_clicks_as_the_benchmark_protocol_does() -> None:
    asked = tasks()[:4]
    ignore = np.zeros((64, 64), np.bool_)
    ignore[:, 40:] = True
    asked[1] = replace(asked[1], target=replace(asked[1].target, ignore=ignore))
    tool = make_tool("disc")
    made = play(asked, None, tool, EvaluationConfig("noc", max_clicks=6))
    for task, (trajectory,) in zip(asked, made, strict=True):
        (embedding,) = tool.embed([task.episode.image])
        state, clicks = Segmentation(np.zeros((64, 64), np.bool_), None), []
        for step in trajectory.steps:
            clicks.append(next_click(state.mask, task.target.mask, clicks, task.target.ignore))
            assert step.action == clicks[-1]
            (state,) = tool.segment([SegmentRequest(embedding, state.mask, state.memory, tuple(clicks))])
            assert step.reward == iou(state.mask, task.target.mask, task.target.ignore)
        assert len(clicks) == 6 or next_click(state.mask, task.target.mask, clicks, task.target.ignore) is None
    with pytest.raises(ValueError, match="without a single pixel"):
        click_trajectories([asked[0].episode], [Target(np.zeros((64, 64), np.bool_))], tool)


def test_another_target_changes_nothing_but_rewards() -> None:
    asked = tasks()
    other = [replace(task, target=Target(~task.target.mask)) for task in asked]
    for config in (EvaluationConfig("res", SearchConfig(3)), EvaluationConfig("noc", max_clicks=3)):
        first, second = (play(one, Sizer(), make_tool("disc"), config) for one in (asked, other))
        for (a,), (b,) in zip(first, second, strict=True):
            assert [step.reward for step in a.steps] != [step.reward for step in b.steps]
            assert _bare(a) == _bare(b)


def _bare(trajectory: Trajectory) -> Trajectory:
    return replace(
        trajectory,
        seconds=0.0,
        start=replace(trajectory.start, reward=None),
        steps=tuple(replace(step, reward=None) for step in trajectory.steps),
    )


def test_filtering_judges_masks_of_random_clicks() -> None:
    asked = tasks()
    config = EvaluationConfig("filter", draws=3)
    made = play(asked, Sizer(), make_tool("disc"), config)
    again = play(asked[2:3], Sizer(), make_tool("disc"), config)
    assert again[0] == made[2]
    assert len({tuple(one.start.prompts) for one in made[0]}) > 1
    for task, drawn in zip(asked, made, strict=True):
        assert len(drawn) == 3
        for one in drawn:
            assert one.start.kind == "random"
            assert one.start.predicted_iou == one.mask_at(0).mean()
            assert one.start.reward == iou(one.mask_at(0), task.target.mask)


def test_filtering_results(tmp_path: Path) -> None:
    evaluate(open_dataset(DATA), Sizer(), make_tool("disc"), tmp_path, EvaluationConfig("filter", draws=2))
    (run,) = open_runs([tmp_path])
    results, found = measure_run(run)
    assert results["counts"]["predicted_ious"] == len(found) == 12
    pairs = [(r["start"]["predicted_iou"], r["start"]["reward"]) for r in read_journal(run.files[0])[1]]
    said, true = np.array(pairs).T
    assert results["metrics"]["predicted IoU MAE"]["value"] == pytest.approx(abs(said - true).mean())
    assert results["metrics"]["Pearson"]["value"] == pytest.approx(np.corrcoef(said, true)[0, 1])


class LeftHalf(CentrePolicy):
    """Takes the left half of any picture to be meant."""

    def outline(self, image: Image, text: str) -> BoolMask:
        return np.tile(np.arange(image.width) < image.width // 2, (image.height, 1))


def test_the_policys_own_outline_is_measured_without_a_click(tmp_path: Path) -> None:
    dataset = open_dataset(DATA)
    evaluate(dataset, LeftHalf(), DiscTool(), tmp_path, EvaluationConfig("outline"))
    (run,) = open_runs([tmp_path])
    records = [record for _, record in read_samples(run)]
    ious = []
    for record, sample in zip(records, dataset, strict=True):
        target, _ = sample.load_target()
        half = np.tile(np.arange(target.shape[1]) < target.shape[1] // 2, (target.shape[0], 1))
        assert (record["steps"], record["num_tool_calls"]) == ([], 0)
        assert np.array_equal(decode_rle(record["start"]["mask"]), half)
        ious.append((half & target).sum() / (half | target).sum())
        assert record["start"]["reward"] == pytest.approx(ious[-1])
    results, _ = measure_run(run)
    assert results["metrics"]["gIoU"]["value"] == pytest.approx(np.mean(ious))
    assert not {name for name in results["metrics"] if name.startswith(("IoU@", "refine", "first"))}
    assert "own outline" in report_tables([results])[1].title


def test_a_policy_without_outlines_of_its_own_is_refused(tmp_path: Path) -> None:
    for number, policy in enumerate((CentrePolicy(), None)):
        with pytest.raises(InputError, match=r"outline|simulated annotator"):
            evaluate(open_dataset(DATA), policy, DiscTool(), tmp_path / str(number), EvaluationConfig("outline"))


class Choosy(DiscTool):
    """Refuses several pictures at once, and pictures whose first value is odd."""

    def embed(self, images: Sequence[Image]) -> list[object]:
        if len(images) > 1 or images[0].pixels[0, 0, 0] % 2:
            raise ToolError("cannot deal with this picture")
        return super().embed(images)


def test_a_picture_that_the_tool_refuses_does_not_take_others_with_it(tmp_path: Path) -> None:
    groups = []
    for number in range(4):
        pixels = np.full((64, 64, 3), number, np.uint8)
        sample = next(iter(open_dataset(DATA)))
        groups.append(ListedGroup(f"i{number}", (replace(sample, image=Image.of(pixels), sample_id=f"s{number}"),)))

    class Listed(type(open_dataset(DATA))):  # type: ignore[misc]
        def groups(self):  # type: ignore[no-untyped-def]
            return iter(groups)

    data = Listed(4)
    config = EvaluationConfig("res", SearchConfig(2), batch_images=4)
    progress = evaluate(data, Sizer(), Choosy(), tmp_path, config)
    assert [failure.sample_id for failure in progress.failures] == ["s1", "s3"]
    results, _ = measure_run(open_runs([tmp_path])[0])
    assert (results["counts"]["failed"], results["counts"]["trajectories"]) == (2, 2)
    json.dumps(results, allow_nan=False)


def test_an_image_without_samples_counts_as_done(tmp_path: Path) -> None:
    groups = [ListedGroup("i0", (next(iter(open_dataset(DATA))),)), ListedGroup("i1", ())]

    class Listed(type(open_dataset(DATA))):  # type: ignore[misc]
        def groups(self):  # type: ignore[no-untyped-def]
            return iter(groups)

    evaluate(Listed(2), None, DiscTool(), tmp_path, EvaluationConfig("noc", max_clicks=2))
    results, _ = measure_run(open_runs([tmp_path])[0])
    assert results["complete"]
    assert (results["counts"]["samples"], results["counts"]["skipped"], results["counts"]["images"]) == (1, 0, 2)


def test_nothing_but_failures(tmp_path: Path) -> None:
    class Broken(DiscTool):
        def embed(self, images: Sequence[Image]) -> list[object]:
            if images[0].height != 64 or images[0].pixels[0, 0, 2] != 60:
                raise ToolError("no")
            return super().embed(images)

    evaluate(open_dataset(DATA), None, Broken(), tmp_path, EvaluationConfig("noc", max_clicks=2))
    results, found = measure_run(open_runs([tmp_path])[0])
    assert (results["metrics"], found, results["counts"]["failed"]) == ({}, [], 6)


def test_shards() -> None:
    assert [place for place in range(7) if Shard.parse("2/3").takes(place)] == [1, 4]
    for text in ("0/3", "4/3", "1", "1/", "a/b", "1/2/3", "-1/3", "²/3"):
        with pytest.raises(InputError, match="i/n"):
            Shard.parse(text)


def test_episodes_have_seeds_of_their_own() -> None:
    episodes = [task.episode for task in tasks()]
    assert len({episode.seed for episode in episodes}) == len(episodes)
    assert tasks(1)[0].episode.seed != episodes[0].seed
