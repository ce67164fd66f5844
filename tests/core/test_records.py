import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segagent.core import (
    Box,
    Candidate,
    Click,
    Finish,
    Image,
    InvalidAction,
    Start,
    Step,
    Trajectory,
    Undo,
    Usage,
    action_from_dict,
    action_to_dict,
    encode_rle,
)

numbers = st.integers(-5, 5000)
actions = st.one_of(
    st.builds(Click, numbers, numbers, st.booleans()),
    st.builds(Box, numbers, numbers, numbers, numbers),
    st.just(Finish()),
    st.just(Undo()),
    st.builds(InvalidAction, st.text(), st.text()),
)


@given(actions)
def test_action_round_trip(action):
    assert action_from_dict(json.loads(json.dumps(action_to_dict(action)))) == action


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "jump"},
        {"type": "click", "x": 1.5, "y": 2, "positive": True},
        {"type": "click", "x": 1, "y": 2, "positive": 1},
        {"type": "click", "x": True, "y": 2, "positive": True},
        {"type": "box", "x0": 1},
    ],
)
def test_malformed_action_is_refused(data):
    with pytest.raises(ValueError):
        action_from_dict(data)


def trajectory() -> Trajectory:
    masks = [encode_rle(np.eye(4, k=k, dtype=bool)) for k in range(3)]
    return Trajectory(
        sample_id="s",
        image="i.png",
        height=4,
        width=4,
        text="the cat",
        policy="p",
        tool="t",
        seed=3,
        start=Start("box", masks[0], 0.25, None, (Box(0, 0, 2, 2),)),
        steps=(
            Step(
                Click(1, 2, True),
                "Positive point: (1, 2)",
                masks[1],
                0,
                0.5,
                -0.5,
                0.25,
                candidates=(Candidate(Undo(), "u", 0.1),),
            ),
            Step(InvalidAction("hm", "no action"), "hm", masks[2], 1, invalid="no action"),
        ),
        returned=1,
        stopped="max_steps",
        num_policy_calls=3,
        num_tool_calls=1,
        seconds=0.5,
        versions={"segagent": "1"},
    )


def test_trajectory_round_trip():
    record = trajectory()
    assert Trajectory.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert record.clicks == [Click(1, 2, True)]
    assert record.num_invalid == 1
    assert record.predicted_iou_at(0) == 0.25
    assert record.predicted_iou_at(1) == 0.5
    assert record.reward_at(1) == 0.25
    assert np.array_equal(record.mask_at(1), np.eye(4, k=1, dtype=bool))


def test_usage_is_kept_and_records_without_it_still_load():
    record = dataclasses.replace(trajectory(), usage=Usage(4, 5, 1, 2, 300, 20, 1.5))
    data = json.loads(json.dumps(record.to_dict()))
    assert Trajectory.from_dict(data) == record
    del data["usage"]
    assert Trajectory.from_dict(data) == trajectory()
    assert "usage" not in trajectory().to_dict()
    data["usage"] = {"calls": 3}
    assert Trajectory.from_dict(data).usage == Usage(calls=3)
    for bad in ({"calls": -1}, {"calls": True}, {"prompt_tokens": 1.5}, {"seconds": float("nan")}, {"calls": "3"}, 7):
        with pytest.raises(ValueError):
            Trajectory.from_dict(data | {"usage": bad})


@pytest.mark.parametrize("key", ["schema", "steps", "returned", "start", "versions", "seed"])
def test_damaged_trajectory_is_refused(key):
    data = trajectory().to_dict()
    del data[key]
    with pytest.raises(ValueError):
        Trajectory.from_dict(data)


def test_returned_must_be_a_state():
    data = trajectory().to_dict()
    data["returned"] = 3
    with pytest.raises(ValueError, match="returned"):
        Trajectory.from_dict(data)


def test_image_is_frozen_and_named_by_content():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    image = Image.of(pixels)
    assert image.key == Image.of(pixels.copy()).key
    assert image.key != Image.of(pixels.reshape(4, 2, 3)).key
    pixels[0, 0, 0] = 99
    assert image.pixels[0, 0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0, 0] = 1


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)])
def test_image_refuses_other_arrays(bad):
    with pytest.raises(ValueError, match="uint8 RGB"):
        Image.of(bad)


def test_clicks_follow_the_branch_and_leave_out_what_was_undone():
    mask = encode_rle(np.zeros((4, 4), bool))
    clicks = [Click(n, 0, True) for n in range(4)]
    steps = (
        Step(clicks[0], "", mask, 0),
        Step(clicks[1], "", mask, 1),
        Step(clicks[2], "", mask, 1),  # stepped back: taken in state 1, not 2
        Step(Undo(), "", mask, 3),
        Step(clicks[3], "", mask, 4),
        Step(Click(99, 0, True), "", mask, 5, invalid="click outside the image"),
    )
    record = dataclasses.replace(trajectory(), steps=steps, returned=6)
    assert record.path_to(6) == [1, 3, 4, 5, 6]
    assert record.num_invalid == 1
    assert record.clicks == [clicks[0], clicks[3]]
    assert record.prompts_at(3) == [Box(0, 0, 2, 2), clicks[0], clicks[2]]
    assert Trajectory.from_dict(record.to_dict()) == record
    data = record.to_dict()
    data["steps"][1]["parent"] = 2
    with pytest.raises(ValueError, match="parent"):
        Trajectory.from_dict(data)
