from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.core import (
    Action,
    BoolMask,
    Box,
    Click,
    Finish,
    Image,
    InvalidAction,
    Start,
    State,
    Step,
    Trajectory,
    Undo,
    empty_mask,
    encode_rle,
)
from segagent.environment import step, why_invalid
from segagent.imaging import film_strip
from segagent.imaging.marks import AMBER, BLUE, GREEN, RED
from segagent.tools.fake import DiscTool


def grey_image(height: int, width: int) -> Image:
    return Image.of(np.full((height, width, 3), 100, np.uint8))


def episode(
    image: Image, actions: list[Action], *, returned: int = 0, text: str = "the cup", mask: BoolMask | None = None
) -> Trajectory:
    rle = encode_rle(mask if mask is not None else empty_mask(image.height, image.width))
    state, embedding, steps = State(empty_mask(image.height, image.width)), DiscTool().embed([image])[0], []
    for index, action in enumerate(actions):
        invalid = why_invalid(state, action, DiscTool())
        steps.append(Step(action, "reply", rle, parent=index, predicted_iou=0.5, invalid=invalid))
        state = state if isinstance(action, Finish) else step(embedding, state, action, DiscTool())
    start = Start("empty", encode_rle(empty_mask(image.height, image.width)), 0.0)
    return Trajectory(
        "id", "a.png", image.height, image.width, text, "fake", "disc", 0, start, tuple(steps), returned, "max_steps"
    )


def count(strip: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((strip == color).all(axis=2).sum())


def test_one_panel_per_state() -> None:
    image = grey_image(240, 320)
    one = count(film_strip(image, episode(image, [])), (100, 100, 100))
    assert one > 0.98 * 240 * 320
    for steps in (1, 3, 7):
        strip = film_strip(image, episode(image, [Finish()] * steps))
        assert count(strip, (100, 100, 100)) == pytest.approx(one * (steps + 1), rel=0.01)


def test_rows_wrap_and_the_picture_stays_sane() -> None:
    image = grey_image(240, 320)
    assert film_strip(image, episode(image, [Finish()] * 3)).shape[1] < 1500
    eight = film_strip(image, episode(image, [Finish()] * 7))
    assert eight.shape[1] < 1500
    assert 500 < eight.shape[0] < 1000
    hundred = film_strip(image, episode(image, [Finish()] * 100))
    assert max(hundred.shape) < 4000


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4000), (4000, 1), (3000, 4000), (3, 5), (319, 321)])
def test_any_image_size(height: int, width: int) -> None:
    image = grey_image(height, width)
    strip = film_strip(image, episode(image, [Click(width - 1, 0, True), Click(0, height - 1, False)]))
    assert strip.dtype == np.uint8
    assert strip.ndim == 3
    assert max(strip.shape) < 1500
    assert count(strip, GREEN) > 50, "the positive click cannot be seen"
    assert count(strip, RED) > 50, "the negative click cannot be seen"


def test_mask_is_green_and_click_is_where_it_was_made() -> None:
    image = grey_image(320, 320)
    mask = np.zeros((320, 320), np.bool_)
    mask[:, 160:] = True
    trajectory = episode(image, [Click(40, 80, True)], returned=1, mask=mask)
    strip = film_strip(image, trajectory)
    overlay = (strip == (50, 177, 50)).all(axis=2)
    rows, columns = np.flatnonzero(overlay.any(1)), np.flatnonzero(overlay.any(0))
    left, top = columns[0] - 161, rows[0]
    assert len(columns) == pytest.approx(159, abs=2)
    assert len(rows) == pytest.approx(320, abs=2)
    marker = (strip == GREEN).all(axis=2)
    marker[top + 320 :] = False
    ys, xs = np.nonzero(marker)
    assert xs.mean() - left == pytest.approx(40.5, abs=2)
    assert ys.mean() - top == pytest.approx(80.5, abs=2)


def test_returned_and_invalid_panels_are_framed() -> None:
    image = grey_image(240, 320)
    plain = film_strip(image, episode(image, [Finish()], returned=1))
    assert count(plain, BLUE) > 2 * (240 + 320)
    assert count(plain, AMBER) == 0
    for action in (InvalidAction("gibberish", "no action"), Click(999, 3, True), Box(0, 0, 999, 5), Undo()):
        strip = film_strip(image, episode(image, [action]))
        assert count(strip, AMBER) > 2 * (240 + 320)


def test_undone_clicks_disappear() -> None:
    image = grey_image(240, 320)
    kept = film_strip(image, episode(image, [Click(50, 50, False), Finish()]))
    undone = film_strip(image, episode(image, [Click(50, 50, False), Undo()]))
    assert count(kept, RED) > count(undone, RED)


def test_clicks_of_another_branch_are_not_shown() -> None:
    image = grey_image(240, 320)
    straight = episode(image, [Click(50, 50, False), Click(200, 50, True)])
    steps = (straight.steps[0], replace(straight.steps[1], parent=0))
    stepped_back = film_strip(image, replace(straight, steps=steps))
    assert count(stepped_back, RED) < count(film_strip(image, straight), RED)


def test_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="320 x 240"):
        film_strip(grey_image(10, 10), episode(grey_image(240, 320), []))


def test_long_sentences_do_not_widen_the_picture() -> None:
    image = grey_image(240, 320)
    short = film_strip(image, episode(image, []))
    long = film_strip(image, episode(image, [], text="word " * 400))
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] < short.shape[0] + 100


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=60), reply=st.text(max_size=60))
def test_any_text_can_be_drawn(text: str, reply: str) -> None:
    image = grey_image(20, 30)
    trajectory = replace(episode(image, [InvalidAction(reply, reply)], text=text), policy=reply, stopped=text)
    film_strip(image, trajectory)


@pytest.mark.parametrize(
    "text", ["马克杯", "עברית", "🙂 👩‍👩‍👧", "\ud800 lone", "a\x00b\nc\u202ed", "", " ", "x" * 3000]
)
def test_awkward_text(text: str) -> None:
    image = grey_image(20, 30)
    film_strip(image, episode(image, [], text=text))
