import json
from pathlib import Path
from typing import Any

import formats
import numpy as np
import pytest
from formats import HEIGHT, WIDTH, disc, square
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.core import Box, Click, InputError, InvalidAction, Start, Step, Trajectory, decode_rle, encode_rle, iou
from segagent.datasets import CocoDataset, open_dataset
from segagent.datasets.coco_writing import CocoObject, objects_of_dataset, objects_of_trajectories, write_coco
from segagent.datasets.published import (
    PublishedEpisode,
    read_published_predictions,
    read_published_trajectories,
    write_published_predictions,
    write_published_trajectories,
)


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_published_trajectories_are_read(tmp_path: Path) -> None:
    episodes = list(read_published_trajectories(written(tmp_path / "t.json", formats.published_trajectories())))
    assert [(e.trajectory.sample_id, e.trajectory.text) for e in episodes] == [("0-0", "the cat"), ("0-1", "left cat")]
    trajectory = episodes[0].trajectory
    assert [step.action for step in trajectory.steps] == [Click(4, 5, True), Click(12, 6, False)]  # [y, x] there
    assert np.array_equal(decode_rle(episodes[0].target), square())
    assert trajectory.reward_at(2) == 1.0
    assert trajectory.reward_at(1) == iou(square() | disc(), square())
    assert trajectory.returned == 2
    assert Trajectory.from_dict(json.loads(json.dumps(trajectory.to_dict()))) == trajectory


def test_published_predictions_are_read(tmp_path: Path) -> None:
    content = formats.published_predictions()
    (episode,) = read_published_predictions(written(tmp_path / "p.json", content))
    trajectory = episode.trajectory
    # A predicted IoU speaks of the mask before its click.
    assert [trajectory.predicted_iou_at(n) for n in range(4)] == [0.0, 0.555, 0.9, None]
    assert trajectory.returned == 2
    assert trajectory.steps[1].action == Click(10, 1, False)
    content[0]["pred_list"][0]["outputs"] = "Current IOU: 99"
    (episode,) = read_published_predictions(written(tmp_path / "p.json", content))
    assert episode.trajectory.returned == 1
    content[0]["pred_list"][0] |= {"clicks": None, "used_box": [2, 3, 9, 8]}
    content[0]["pred_list"][1] |= {"clicks": None, "outputs": None}
    (episode,) = read_published_predictions(written(tmp_path / "p.json", content))
    assert episode.trajectory.steps[0].action == Box(2, 3, 9, 8)
    assert isinstance(episode.trajectory.steps[1].action, InvalidAction)
    with pytest.raises(InputError, match="clicks only"):
        write_published_predictions(tmp_path / "q.json", [episode])


masks = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random((HEIGHT, WIDTH)) < seed % 3 / 2)
clicks = st.builds(Click, st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.booleans())


@st.composite
def episodes(draw: st.DrawFn) -> PublishedEpisode:
    target = draw(masks)
    steps = tuple(
        Step(draw(clicks), "", encode_rle(mask), n, predicted_iou=draw(st.floats(0, 1)), reward=iou(mask, target))
        for n, mask in enumerate(draw(st.lists(masks, max_size=3)))
    )
    start = Start("empty", encode_rle(np.zeros((HEIGHT, WIDTH), np.bool_)), 0.25, 0.0 if target.any() else 1.0)
    trajectory = Trajectory("7", "a.jpg", HEIGHT, WIDTH, "the cat", "p", "t", 0, start, steps, len(steps), "published")
    return PublishedEpisode(trajectory, encode_rle(target))


@settings(max_examples=15, deadline=None)
@given(st.lists(episodes(), max_size=3))
def test_both_files_round_trip(tmp_path_factory: pytest.TempPathFactory, made: list[PublishedEpisode]) -> None:
    folder = tmp_path_factory.mktemp("p")
    write_published_trajectories(folder / "t.json", made)
    write_published_predictions(folder / "p.json", made)
    trajectories = list(read_published_trajectories(folder / "t.json"))
    predictions = list(read_published_predictions(folder / "p.json"))
    for before, plain, predicted in zip(made, trajectories, predictions, strict=True):
        assert plain.target == predicted.target == before.target
        for after in (plain.trajectory, predicted.trajectory):
            assert [(s.action, s.mask, s.reward) for s in after.steps] == [
                (s.action, s.mask, s.reward) for s in before.trajectory.steps
            ]
        for n in range(len(before.trajectory.steps)):  # All but the last, which has no place in the file.
            written_iou = predicted.trajectory.predicted_iou_at(n)
            assert written_iou == pytest.approx(before.trajectory.predicted_iou_at(n), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.lists(masks, max_size=5))
def test_coco_round_trips(tmp_path_factory: pytest.TempPathFactory, listed: list[np.ndarray]) -> None:
    path = tmp_path_factory.mktemp("c") / "out.json"
    objects = [
        CocoObject(f"s{n}", f"{n % 2}.jpg", f"thing {n}", mask, ("cat", None)[n % 2], 0.5)
        for n, mask in enumerate(listed)
    ]
    num_empty = write_coco(path, objects)
    kept = [one for one in objects if one.mask.any()]
    assert num_empty == len(objects) - len(kept)
    dataset = CocoDataset(path)
    assert [sample.image_name for sample in dataset] == [one.image_name for one in kept]
    for sample, one in zip(dataset, kept, strict=True):
        assert np.array_equal(sample.load_target()[0], one.mask)
        assert sample.text == one.text
    for entry, one in zip(json.loads(path.read_text())["annotations"], kept, strict=True):
        x, y, width, height = entry["bbox"]
        assert one.mask[y : y + height, x : x + width].sum() == one.mask.sum() == entry["area"]
        assert (entry["text"], entry["sample_id"], entry["score"]) == (one.text, one.sample_id, 0.5)


def test_coco_of_data_sets_and_trajectories(tmp_path: Path) -> None:
    formats.write_grefcoco(tmp_path)
    assert write_coco(tmp_path / "a.json", objects_of_dataset(open_dataset(f"grefcoco:{tmp_path}"))) == 1
    assert len(CocoDataset(tmp_path / "a.json")) == 3
    (episode,) = read_published_predictions(written(tmp_path / "p.json", formats.published_predictions()))
    assert write_coco(tmp_path / "b.json", objects_of_trajectories([episode.trajectory])) == 0
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["annotations"][0]["score"] == 0.9
    assert {"info", "licenses"} <= content.keys()


def test_categories_that_are_given_keep_their_order(tmp_path: Path) -> None:
    mask = np.ones((4, 5), np.bool_)
    objects = [CocoObject(name, "a.png", name, mask, name) for name in ("cup", "new", "bowl")]
    write_coco(tmp_path / "a.json", objects, ["bowl", "fork", "cup"])
    content = json.loads((tmp_path / "a.json").read_text())
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    assert names == {1: "bowl", 2: "fork", 3: "cup", 4: "new"}
    assert [names[one["category_id"]] for one in content["annotations"]] == ["cup", "new", "bowl"]
