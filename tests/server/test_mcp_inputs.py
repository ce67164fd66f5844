"""What a client of ``segagent mcp`` may hand in, and how its episodes are kept; all of it without the package mcp."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import segagent
from cheap_models import CheapPolicy
from segagent.annotation.batch import Models
from segagent.cli.main import main
from segagent.core import Click, Image, InputError, Undo, decode_rle, encode_rle
from segagent.datasets import ScenesDataset
from segagent.imaging import encode_png, save_png
from segagent.learning.trajectories import read_trajectories
from segagent.policies import make_policy
from segagent.search import SearchConfig
from segagent.server.mcp import episodes as episodes_module
from segagent.server.mcp.episodes import Episodes
from segagent.server.mcp.inputs import Inputs
from segagent.server.mcp.records import EpisodeRecords
from segagent.server.requests import ServerLimits
from segagent.tools import make_tool

IMAGE = Image.of(np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8))
CHEAP = Models(CheapPolicy(), make_tool("disc"))
CENTRE = Models(make_policy("centre"), make_tool("disc"))


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    save_png(root / "inner" / "a.png", IMAGE.pixels)
    save_png(tmp_path / "secret.png", IMAGE.pixels)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    return Inputs.below(root, ServerLimits(max_body=1 << 20, max_pixels=64 * 48))


def test_a_picture_by_name_and_by_content_is_the_same(inputs: Inputs) -> None:
    named, name = inputs.picture("inner/../inner/a.png", "")
    assert (name, named.key) == ("inner/a.png", IMAGE.key)
    assert inputs.picture(str(inputs.root / "inner" / "a.png"), "")[1] == name
    sent = base64.encodebytes(encode_png(IMAGE.pixels)).decode()
    assert inputs.picture("", sent)[0].key == IMAGE.key
    assert inputs.picture("", f"data:image/png;base64,{sent}")[0].key == IMAGE.key


@pytest.mark.parametrize(
    ("path", "data", "told"),
    [
        ("", "", "either 'path'"),
        ("inner/a.png", "aaaa", "either 'path'"),
        ("../secret.png", "", "outside"),
        ("link.png", "", "outside"),
        ("/etc/passwd", "", "outside"),
        ("inner/b.png", "", "no such file"),
        ("inner", "", "is a folder"),
        ("a\0b", "", "not a file name"),
        ("a" * 5000, "", "cannot be opened|not a file name"),
        ("\ud800.png", "", "cannot be opened|not a file name"),
        ("http://127.0.0.1/a.png", "", "addresses are not fetched"),
        ("file:///etc/passwd", "", "addresses are not fetched"),
        ("", "https://example.org/a.png", "addresses are not fetched"),
        ("", "data:image/png,abc", "expected base64"),
        ("", "not base64!", "not base64"),
        ("", "AAAA", "not a picture"),
        ("", "é" * 8, "not base64"),
        ("", "A" * (2 << 20), "larger than"),
        ("", base64.b64encode(encode_png(np.zeros((49, 64, 3), np.uint8))).decode(), "more than the limit"),
    ],
)
def test_other_pictures_are_refused(inputs: Inputs, path: str, data: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        inputs.picture(path, data)


def test_masks(inputs: Inputs) -> None:
    mask = np.zeros((48, 64), np.bool_)
    mask[3:9, 4:20] = True
    save_png(inputs.root / "mask.png", mask)
    assert np.array_equal(inputs.mask("mask.png", None, IMAGE), mask)
    assert np.array_equal(inputs.mask("", encode_rle(mask), IMAGE), mask)
    for path, rle, told in (
        ("", None, "either 'mask_path'"),
        ("mask.png", encode_rle(mask), "either 'mask_path'"),
        ("", encode_rle(mask[:40]), r"expected \[48, 64\]"),
        ("", {"size": [48, 64], "counts": "zzz"}, "'mask'"),
        ("../secret.png", None, "outside"),
    ):
        with pytest.raises(InputError, match=told):
            inputs.mask(path, rle, IMAGE)  # type: ignore[arg-type]


def test_data_sets_lie_below_the_root(inputs: Inputs, tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "dot"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [2, 2, 9, 9], "area": 81,
             "segmentation": [[2, 2, 11, 2, 11, 11, 2, 11]]}
        ],
    }  # fmt: skip
    for folder in (inputs.root, tmp_path):
        (folder / "coco.json").write_text(json.dumps(coco))
    assert inputs.dataset("coco:coco.json:images=inner,text=the {category}").num_images == 1
    assert isinstance(Inputs.below(inputs.root).dataset("scenes:3"), ScenesDataset)
    # Found by guessing, beside the root.
    (inputs.root / "instances_val.json").write_text(json.dumps(coco))
    (tmp_path / "val").mkdir()
    save_png(tmp_path / "val" / "a.png", IMAGE.pixels)
    for spec in ("instances_val.json", "coco:instances_val.json"):
        with pytest.raises(InputError, match="outside"):
            inputs.dataset(spec)
    for spec, told in (
        ("scenes:3:size=4096", "more than 3072"),
        ("scenes:x", "scenes:NUM"),
        ("../coco.json", "outside"),
        ("coco:../coco.json", "outside"),
        ("coco:coco.json:images=..", "outside"),
        ("coco:coco.json:text=a {category},images=/etc", "outside"),
        ("coco:coco.json:images=http://a/b", "not fetched"),
        ("python:os:getcwd", "no such file"),
        ("joined:[]", "no such file"),
        ("missing", "no such file"),
    ):
        with pytest.raises(InputError, match=told):
            inputs.dataset(spec)


def test_the_root_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(InputError, match="--root"):
            Inputs.below(root)


def test_what_the_command_refuses(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "segagent.server.mcp.app", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    cheap = ["mcp", "--policy", "centre", "--tool", "disc", "--root", str(inputs.root)]
    for arguments, told in (
        (cheap, "pip install 'segagent[mcp]'"),
        (["mcp", "--port", "1"], "--port: goes with --http"),
        (["mcp", "--policy", "nobody"], "pip install 'segagent[mcp]'"),
    ):
        assert main(arguments) == 2
        assert told in capsys.readouterr().err


def test_an_episode_goes_on_from_where_the_policy_left_off() -> None:
    shared = Episodes(CENTRE)
    made = shared.annotate(IMAGE, "a.png", "the dot")
    alone = segagent.annotate(IMAGE, "the dot", models=CENTRE)
    assert np.array_equal(made.mask, alone.mask)
    clicked = shared.act(made.key, Click(3, 4, True))
    assert clicked.trajectory.policy == "centre+outside"
    own = Episodes(CENTRE).begin(IMAGE, "a.png", "the dot", Click(32, 24, True))
    assert np.array_equal(own.mask, made.mask)
    assert [step.action for step in own.trajectory.steps] == [Click(32, 24, True)]
    with pytest.raises(InputError, match="click outside the 64 x 48 image"):
        shared.act(made.key, Click(64, 0, True))
    assert shared.get(made.key) is clicked, "what cannot be done changes nothing"
    assert np.array_equal(shared.act(made.key, Undo()).mask, made.mask)
    # The policy's click too: the episode's states are those of the environment.
    assert not shared.act(made.key, Undo()).mask.any()
    with pytest.raises(InputError, match="nothing to undo"):
        shared.act(made.key, Undo())
    last = shared.get(made.key).trajectory
    assert last.prompts_at(last.returned) == []
    assert last.prompts_at(3) == [Click(32, 24, True), Click(3, 4, True)]
    with pytest.raises(InputError, match="no open episode 'other'"):
        shared.act("other", Undo())


def test_a_search_that_stepped_back_is_gone_on_with_in_the_state_that_it_returned() -> None:
    shared = Episodes(CHEAP, SearchConfig(num_candidates=3))
    made = shared.annotate(IMAGE, "a.png", "the green cup")
    alone = segagent.annotate(IMAGE, "the green cup", models=CHEAP, search=SearchConfig(num_candidates=3))
    assert made.trajectory.steps == alone.trajectory.steps
    clicked = shared.act(made.key, Click(1, 1, True))
    assert clicked.trajectory.steps[-1].parent == made.trajectory.returned
    assert np.array_equal(clicked.mask, made.mask | own_disc())
    assert clicked.predicted_iou == segagent.audit(IMAGE, "the green cup", clicked.mask, models=CHEAP).given_iou


def own_disc() -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return Episodes(CENTRE).begin(IMAGE, "", "x", Click(1, 1, True)).mask


def test_refining_begins_an_episode_of_its_own() -> None:
    shared = Episodes(CHEAP)
    made = shared.annotate(IMAGE, "a.png", "the green cup")
    better = shared.refine(IMAGE, "a.png", "the green cup", made.mask)
    alone = segagent.refine(IMAGE, "the green cup", made.mask, models=CHEAP)
    assert (better.outcome, better.predicted_iou) == (alone.outcome, alone.predicted_iou)
    assert np.array_equal(better.mask, alone.mask)
    assert shared.get(made.key) is made
    clicked = shared.act(better.key, Click(1, 1, False))
    assert np.array_equal(decode_rle(clicked.trajectory.start.mask), made.mask)


def test_episodes_are_on_record(tmp_path: Path) -> None:
    shared = Episodes(CENTRE, records=EpisodeRecords(tmp_path / "kept"))
    first = shared.annotate(IMAGE, "a.png", "the dot")
    shared.act(first.key, Click(3, 4, True))
    second = shared.annotate(IMAGE, "b.png", "the spot")
    last = shared.get(first.key).trajectory  # And so the one that was used last.
    assert sorted(path.stem for path in (tmp_path / "kept" / "episodes.open").iterdir()) == sorted(
        [first.key, second.key]
    )
    shared.close()
    assert list(read_trajectories(tmp_path / "kept" / "episodes.jsonl")) == [second.trajectory, last]
    assert not list((tmp_path / "kept" / "episodes.open").iterdir())


def test_what_a_killed_process_left_open_is_taken_up(tmp_path: Path) -> None:
    killed = EpisodeRecords(tmp_path)
    shared = Episodes(CENTRE, records=killed)
    left = shared.annotate(IMAGE, "a.png", "the dot")
    beside = EpisodeRecords(tmp_path)
    assert (killed.path.name, beside.path.name) == ("episodes.jsonl", "episodes-2.jsonl")
    beside.end()
    killed.end()
    file = tmp_path / "episodes.open" / f"{left.key}.json"
    content = file.read_bytes()
    EpisodeRecords(tmp_path).end()
    assert list(read_trajectories(killed.path)) == [left.trajectory]
    assert not file.exists()
    # Killed between the journal and the file: it is on record once.
    file.write_bytes(content)
    EpisodeRecords(tmp_path).end()
    assert list(read_trajectories(killed.path)) == [left.trajectory]
    assert not file.exists()
    for damaged in (b"[]", b"{}", b"{"):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=left.key):
            EpisodeRecords(tmp_path)


def test_the_number_of_open_episodes_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes_module, "MOST_EPISODES", 2)
    shared = Episodes(CENTRE, records=EpisodeRecords(tmp_path))
    made = [shared.annotate(IMAGE, f"{name}.png", "the dot") for name in "abc"]
    with pytest.raises(InputError, match="no open episode"):
        shared.get(made[0].key)
    assert [one.image for one in read_trajectories(tmp_path / "episodes.jsonl")] == ["a.png"]
    monkeypatch.setattr(episodes_module, "MOST_PIXELS", 64 * 48)
    last = shared.annotate(IMAGE, "d.png", "the dot")
    assert list(shared._open) == [last.key]
    shared.close()
