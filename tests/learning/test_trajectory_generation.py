import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.core import Image, InputError, Segmentation, SegmentRequest, SpecError, ToolError, encode_rle, iou
from segagent.datasets import CocoDataset, FolderDataset, open_dataset
from segagent.environment import Episode, GenerationConfig, StartSpec, Target, generate_trajectories
from segagent.learning.trajectories import (
    TrajectoryConfig,
    episode_seed,
    generate_dataset,
    parse_starts,
    read_trajectories,
)
from segagent.runs.journal import read_journal
from segagent.tools import make_tool
from segagent.tools.fake import DiscTool

disc = partial(make_tool, "disc")


class BoxlessDisc(DiscTool):
    """Counts what it is asked; takes no box."""

    accepts_box = False

    def __init__(self) -> None:
        super().__init__()
        self.embedded: list[str] = []
        self.num_requests = 0

    def embed(self, images: Sequence[Image]) -> list[object]:
        self.embedded += [image.key for image in images]
        return super().embed(images)

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        self.num_requests += len(requests)
        return super().segment(requests)


def folder(path: Path, texts: Sequence[str] = ("one", "two", "the other", "nothing")) -> FolderDataset:
    """Two images; on each two sentences about one object, one about another, one about none."""
    path.mkdir()
    samples = []
    for name in ("a", "b"):
        pixels = np.full((40, 50, 3), 40 if name == "a" else 90, np.uint8)
        PillowImage.fromarray(pixels).save(path / f"{name}.png")
        for number, window in enumerate((np.s_[5:25, 5:15], np.s_[20:32, 22:45])):
            mask = np.zeros((40, 50), np.uint8)
            mask[window] = 255
            PillowImage.fromarray(mask).save(path / f"{name}{number}.png")
        for number, text in enumerate(texts):
            mask_name = (f"{name}0.png", f"{name}0.png", f"{name}1.png", None)[number]
            samples.append({"id": f"{name}-{number}", "image": f"{name}.png", "mask": mask_name, "text": text})
    # Sentences about the two images take turns.
    (path / "manifest.json").write_text(json.dumps({"samples": samples[0::4] + samples[1::2] + samples[2::4]}))
    return FolderDataset(path)


def test_records_are_those_of_one_episode_at_a_time(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "data")
    generate_dataset(dataset, disc, tmp_path / "t.jsonl", TrajectoryConfig(starts=("empty", "box")))
    made = {(t.sample_id, t.start.kind): t for t in read_trajectories(tmp_path / "t.jsonl")}
    assert len(made) == 2 * (3 * 2 + 1)
    for sample in dataset:
        image = sample.load_image()
        mask, _ = sample.load_target(image)
        seed = made[sample.sample_id, "empty"].seed
        episode = Episode(image, sample.text, sample.sample_id, sample.image_name, StartSpec(), seed)
        assert generate_trajectories([episode], [Target(mask)], DiscTool()) == [made[sample.sample_id, "empty"]]


def test_order_is_image_by_image_sample_by_sample_start_by_start(tmp_path: Path) -> None:
    generate_dataset(folder(tmp_path / "data"), disc, tmp_path / "t.jsonl")
    found = [(t.sample_id, t.start.kind) for t in read_trajectories(tmp_path / "t.jsonl")]
    expected = []
    for image in ("a", "b"):
        for number in (0, 1, 3, 2):
            kinds = ("empty", "box", "random") if number != 3 else ("empty",)
            expected += [(f"{image}-{number}", kind) for kind in kinds]
    assert found == expected


def test_the_absent_object_needs_no_click(tmp_path: Path) -> None:
    generate_dataset(folder(tmp_path / "data"), disc, tmp_path / "t.jsonl")
    (absent,) = [t for t in read_trajectories(tmp_path / "t.jsonl") if t.sample_id == "a-3"]
    assert (absent.text, absent.steps, absent.start.reward, absent.stopped) == ("nothing", (), 1.0, "tau_stop")


def test_each_image_is_embedded_once_and_each_object_done_once(tmp_path: Path) -> None:
    tool = BoxlessDisc()
    dataset = folder(tmp_path / "data")
    config = TrajectoryConfig(batch_images=2)
    report = generate_dataset(dataset, lambda: tool, tmp_path / "t.jsonl", config)
    keys = {dataset.load_image(name).key for name in ("a.png", "b.png")}
    assert {key: tool.embedded.count(key) for key in keys} == dict.fromkeys(keys, 1)
    assert len(tool.embedded) == 3  # The question that tells one tool from another has an image too.
    made = list(read_trajectories(tmp_path / "t.jsonl"))
    assert (report.num_samples, report.outcomes["trajectories"], len(made)) == (8, 20, 20)
    twins = [[t for t in made if t.sample_id == f"a-{number}"] for number in (0, 1)]
    for first, second in zip(*twins, strict=True):
        assert (first.text, second.text) == ("one", "two")
        assert (first.start, first.steps) == (second.start, second.steps)
    asked = sum(len(t.steps) + (t.stopped == "tau_diff") for t in made if not t.sample_id.endswith("-1"))
    random_clicks = tool.num_requests - asked
    assert 4 <= random_clicks <= 4 * 3 + 3


def test_a_tool_without_boxes_starts_from_the_filled_box(tmp_path: Path) -> None:
    generate_dataset(folder(tmp_path / "data"), BoxlessDisc, tmp_path / "t.jsonl", TrajectoryConfig(starts=("box",)))
    starts = {t.sample_id: t.start for t in read_trajectories(tmp_path / "t.jsonl")}
    assert starts["a-0"].kind == "mask"
    expected = np.zeros((40, 50), np.bool_)
    expected[5:25, 5:15] = True
    assert starts["a-0"].mask == encode_rle(expected)
    assert "a-3" not in starts


def test_random_starts_depend_on_seed_and_sample_alone(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "data")
    files = []
    for number, config in enumerate(
        [
            TrajectoryConfig(starts=("random",)),
            TrajectoryConfig(starts=("empty", "random"), batch_images=2),
            TrajectoryConfig(starts=("random",), seed=1),
        ]
    ):
        generate_dataset(dataset, disc, tmp_path / f"{number}", config)
        files.append([t for t in read_trajectories(tmp_path / f"{number}") if t.start.kind == "random"])
    assert files[0] == files[1]
    assert [t.start for t in files[0]] != [t.start for t in files[2]]
    assert files[0][0].seed == episode_seed(0, "a-0")
    assert 0 <= episode_seed(0, "x\ud800") < 2**53


def test_quality_controls_hold(tmp_path: Path) -> None:
    config = TrajectoryConfig(GenerationConfig(max_steps=3, tau_stop=0.6, tau_diff=0.05))
    generate_dataset(open_dataset("scenes:3"), disc, tmp_path / "t.jsonl", config)
    for trajectory in read_trajectories(tmp_path / "t.jsonl"):
        rewards = [trajectory.reward_at(index) or 0.0 for index in range(len(trajectory.steps) + 1)]
        assert len(trajectory.steps) <= 3
        assert all(reward < 0.6 for reward in rewards[:-1])
        assert all(b - a >= 0.05 for a, b in pairwise(rewards))


def test_failed_samples_are_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    dataset = folder(tmp_path / "data")
    (tmp_path / "data" / "a.png").unlink()
    (tmp_path / "data" / "b1.png").write_bytes(b"no picture")
    seen: list[int] = []
    report = generate_dataset(dataset, disc, tmp_path / "t.jsonl", watch=lambda report: seen.append(report.num_images))
    assert [failure.sample_id for failure in report.failures] == ["a-0", "a-1", "a-3", "a-2", "b-2"]
    assert "a.png: no such file" in report.failures[0].reason
    assert "b1.png" in report.failures[-1].reason
    assert (report.num_images, report.num_samples, report.outcomes["trajectories"]) == (2, 8, 7)
    assert seen == [0, 1, 2]
    again = generate_dataset(dataset, disc, tmp_path / "t.jsonl")
    assert again.failures == report.failures
    assert (again.num_kept_images, again.num_samples, again.outcomes["trajectories"]) == (2, 8, 7)


def test_a_tool_that_fails_on_one_image_fails_there_only(tmp_path: Path) -> None:
    class Picky(DiscTool):
        def embed(self, images: Sequence[Image]) -> list[object]:
            if any(image.pixels[0, 0, 0] == 90 for image in images):
                raise ToolError("not this one")
            return super().embed(images)

    report = generate_dataset(folder(tmp_path / "data"), Picky, tmp_path / "t.jsonl", TrajectoryConfig(batch_images=2))
    assert [(f.sample_id, f.reason) for f in report.failures] == [(f"b-{n}", "not this one") for n in (0, 1, 3, 2)]
    assert report.outcomes["trajectories"] == 10


@pytest.mark.slow
def test_as_many_workers_as_you_like(tmp_path: Path) -> None:
    dataset = open_dataset("scenes:5:size=96")
    for workers, batch in ((1, 1), (2, 2)):
        config = TrajectoryConfig(batch_images=batch)
        generate_dataset(dataset, partial(make_tool, "grabcut"), tmp_path / f"{workers}", config, workers=workers)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_errors_come_out_of_the_workers(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="unknown tool"):
        generate_dataset(open_dataset("scenes:2"), partial(make_tool, "none"), tmp_path / "t.jsonl", workers=2)
    assert not (tmp_path / "t.jsonl").exists()


def test_another_tool_or_data_set_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "t.jsonl"
    generate_dataset(open_dataset("scenes:2"), disc, out)
    with pytest.raises(InputError, match="dataset"):
        generate_dataset(open_dataset("scenes:3"), disc, out)
    with pytest.raises(InputError, match="tool_answers"):
        generate_dataset(open_dataset("scenes:2"), partial(DiscTool, 3), out)
    with pytest.raises(InputError, match=r'starts \["empty", "box", "random"\], now \["empty"\]'):
        generate_dataset(open_dataset("scenes:2"), disc, out, TrajectoryConfig(starts=("empty",)))
    out.write_text('{"schema": "segagent.journal/1"}\n{"schema": "segagent.trajectory/1", "sample_id": "x"}\n')
    with pytest.raises(InputError, match="sample 'x'"):
        list(read_trajectories(out))


def test_coco_objects(tmp_path: Path) -> None:
    PillowImage.new("RGB", (30, 20), "#334455").save(tmp_path / "a.jpg")
    square = [[4, 4, 14, 4, 14, 14, 4, 14]]
    value = {
        "images": [{"id": i, "file_name": f"{name}.jpg", "width": 30, "height": 20} for i, name in enumerate("ax")],
        "annotations": [
            {"id": 10 + i, "image_id": image, "category_id": 1, "segmentation": segmentation}
            for i, (image, segmentation) in enumerate([(0, square), (1, square), (0, [[1, 1]])])
        ],
        "categories": [{"id": 1, "name": "box"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(value))
    report = generate_dataset(CocoDataset(tmp_path / "instances.json"), disc, tmp_path / "t.jsonl")
    assert {f.sample_id: f.image for f in report.failures} == {"12": "a.jpg", "11": "x.jpg"}
    made = list(read_trajectories(tmp_path / "t.jsonl"))
    assert {(t.sample_id, t.image, t.text) for t in made} == {("10", "a.jpg", "box")}
    target = np.zeros((20, 30), np.bool_)
    target[4:14, 4:14] = True
    for trajectory in made:
        assert trajectory.reward_at(0) == iou(trajectory.mask_at(0), target)
    schemas = Counter(record["schema"] for record in read_journal(tmp_path / "t.jsonl")[1])
    assert schemas == {"segagent.trajectory/1": 3, "segagent.failure/1": 2}


@pytest.mark.parametrize("text", ["", "empty,", "empty,empty", "boxes", "empty;box"])
def test_bad_starts(text: str) -> None:
    with pytest.raises(InputError, match="expected some of empty,box,random"):
        TrajectoryConfig(starts=parse_starts(text))
