"""People's clicks as training data: with the masks that the tool answered at the time, nothing played again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edited_runs import big_source, hand_run, happened, person
from interop_runs import HEIGHT, WIDTH, disc

from segagent.annotation.batch import Run
from segagent.annotation.interop import export_run
from segagent.annotation.people import Event
from segagent.cli.main import main
from segagent.core import Box, Click, InputError, Trajectory, encode_rle
from segagent.core.rle import rle_iou
from segagent.datasets import open_dataset
from segagent.learning.sft import load_annotator_set
from segagent.learning.trajectories import read_trajectories

FINAL = disc(16, 12, 8)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return hand_run(tmp_path / "run", big_source(tmp_path / "data"), {"5": "failed", "17": "not_found"})


def click(one: str, x: int, radius: float, by: str = "ann", **more: Any) -> Event:
    did = {"x": x, "y": 12, "positive": radius > 3}
    return person("click", one, by, did=did, mask=encode_rle(disc(16, 12, radius)), tool="sharp", **more)


def taught(run: Run, tmp_path: Path) -> list[Trajectory]:
    export_run(run, "trajectories", tmp_path / "traj.jsonl")
    made = list(read_trajectories(tmp_path / "traj.jsonl"))
    for one in made:
        masks = [one.rle_at(index) for index in range(len(one.steps) + 1)]
        assert all(one.reward_at(index) == one.predicted_iou_at(index) for index in range(len(masks)))
        assert (one.policy, one.height, one.width) == ("person", HEIGHT, WIDTH)
    return made


def test_clicks_from_the_runs_mask_to_the_persons(run: Run, tmp_path: Path) -> None:
    happened(
        run,
        click("20", 14, 5),
        click("20", 3, 1),
        person("undo", "20"),
        click("20", 15, 6),
        click("20", 19, 8),
        person("verdict", "20", verdict="ok"),
    )
    (one,) = taught(run, tmp_path)
    assert (one.sample_id, one.image, one.tool, one.stopped) == ("20", "images/b.png", "sharp", "tau_stop")
    assert [step.action for step in one.steps] == [Click(14, 12, True), Click(15, 12, True), Click(19, 12, True)]
    assert one.start.kind == "mask"
    assert one.start.mask == encode_rle(disc(8, 8, 5))
    assert [step.mask for step in one.steps] == [encode_rle(disc(16, 12, r)) for r in (5, 6, 8)]
    assert [step.reward for step in one.steps] == rle_iou([s.mask for s in one.steps], [encode_rle(FINAL)] * 3).tolist()
    # `train sft` reads the file; the data set beside it, which `train star` reads, has the person's mask.
    found = load_annotator_set(tmp_path / "traj.jsonl")
    assert [example.current_iou for example in found.examples][-1] == 1
    assert len(found.examples) == 4
    (sample,) = open_dataset(str(tmp_path / "traj.data"))
    assert (sample.load_target()[0] == FINAL).all()
    assert sample.image_name == one.image


def test_a_stroke_ends_a_stretch_and_so_does_a_click_that_does_not_help(run: Run, tmp_path: Path) -> None:
    happened(
        run,
        click("20", 14, 5),
        person("stroke", "20", mask=encode_rle(disc(16, 12, 5.5))),
        click("20", 15, 6),
        click("20", 4, 2),
        click("20", 16, 8),
    )
    first, second, third = taught(run, tmp_path)
    assert [[step.action.x for step in one.steps] for one in (first, second, third)] == [[14], [15], [16]]
    assert [one.start.mask for one in (second, third)] == [encode_rle(disc(16, 12, r)) for r in (5.5, 2)]
    assert [one.stopped for one in (first, second, third)] == ["person", "person", "tau_stop"]


def test_each_person_has_a_final_mask(run: Run, tmp_path: Path) -> None:
    happened(run, click("20", 14, 5), click("20", 15, 6, by="bob"), click("20", 16, 8, by="bob"))
    ann, bob = taught(run, tmp_path)
    assert [step.reward for step in ann.steps] == [1.0]
    assert bob.start.mask == encode_rle(disc(16, 12, 5))
    assert bob.steps[-1].reward == 1.0 > bob.steps[0].reward > bob.start.reward


def test_boxes_and_objects_that_the_run_has_no_mask_of(run: Run, tmp_path: Path) -> None:
    box = person(
        "box", "new", image="none.png", did={"box": [2, 3, 8, 9]}, mask=encode_rle(disc(16, 12, 4)), tool="sharp"
    )
    happened(
        run,
        click("5", 14, 5),
        click("17", 14, 5),
        person("added", "new", image="none.png", label="cat", text="the grey cat"),
        box,
        click("new", 15, 6, image="none.png"),
    )
    made = {one.sample_id: one for one in taught(run, tmp_path)}
    assert [one.start.kind for one in made.values()] == ["empty"] * 3
    assert [step.action for step in made["new"].steps] == [Box(2, 3, 9, 10), Click(15, 12, True)]
    assert [made[one].text for one in ("5", "17", "new")] == ["dog", "cat", "the grey cat"]


def test_a_box_begins_anew(run: Run, tmp_path: Path) -> None:
    box = person("box", "20", did={"box": [2, 3, 8, 9]}, mask=encode_rle(disc(16, 12, 6)), tool="sharp")
    happened(run, click("20", 14, 5), box, click("20", 15, 8))
    first, second = taught(run, tmp_path)
    assert [len(one.steps) for one in (first, second)] == [1, 2]
    assert (second.start.kind, second.start.reward) == ("empty", 0)


def test_masks_without_a_click_tell_what_was_there_before(run: Run, tmp_path: Path) -> None:
    happened(run, person("polygon", "20", mask=encode_rle(disc(9, 8, 5))))
    (one,) = taught(run, tmp_path)
    assert (one.steps, one.stopped, one.tool) == ((), "person", "t")
    assert 0.5 < one.start.reward < 1
    assert [example.action for example in load_annotator_set(tmp_path / "traj.jsonl").examples] == [None]


@pytest.mark.parametrize(
    "after",
    [
        [person("removed", "20")],
        [person("verdict", "20", verdict="absent")],
        [person("verdict", "20", verdict="wrong")],
        [person("agent", "20", mask=encode_rle(disc(5, 5, 3)), policy="p")],
        [person("undo", "20")],
        [person("stroke", "20", mask=encode_rle(np.zeros((HEIGHT, WIDTH), bool)))],
    ],
)
def test_what_teaches_nothing(run: Run, tmp_path: Path, after: list[Event]) -> None:
    happened(run, click("20", 14, 5), *after)
    with pytest.raises(InputError, match="no mask that a person has made"):
        export_run(run, "trajectories", tmp_path / "traj.jsonl")
    assert not list(tmp_path.glob("traj*"))


def test_the_command(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    happened(run, click("20", 14, 5), click("1000", 14, 5), person("relabelled", "1000", label="cup"))
    out = tmp_path / "traj.jsonl"
    assert main(["export", str(run.folder), "--to", "trajectories", "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["masks"], told["trajectories"], told["data"]) == (2, 2, str(tmp_path / "traj.data"))
    assert {one.text for one in read_trajectories(out)} == {"cat", "cup"}
    assert main(["export", str(run.folder), "--to", "trajectories", "-o", str(out)]) == 2
    assert main(["export", str(run.folder), "--to", "trajectories", "-o", str(out), "--force"]) == 0
