from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segagent.core import Action, Box, Click, Finish, InvalidAction, Undo
from segagent.policies import format_reply, parse_reply

HEIGHT, WIDTH = 300, 500

clicks = st.builds(Click, st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.booleans())
boxes = st.tuples(
    st.integers(0, WIDTH - 2), st.integers(0, HEIGHT - 2), st.integers(1, WIDTH), st.integers(1, HEIGHT)
).map(lambda t: Box(t[0], t[1], max(t[2], t[0] + 1), max(t[3], t[1] + 1)))
actions = st.one_of(clicks, boxes, st.just(Finish()), st.just(Undo()))


def test_the_format_of_the_paper() -> None:
    assert format_reply(Click(412, 377, True), 0.37) == "Current IoU: 37. Positive point: (412, 377)"
    assert format_reply(Click(1, 2, False)) == "Negative point: (1, 2)"
    assert format_reply(Box(1, 2, 3, 4), 1.0) == "Current IoU: 100. Box: (1, 2, 3, 4)"
    assert format_reply(Finish(), 0.0) == "Current IoU: 0. Finish"
    assert format_reply(InvalidAction("hm", "why")) == "hm"


@given(actions, st.one_of(st.none(), st.integers(0, 100).map(lambda n: n / 100)))
def test_reading_inverts_writing(action: Action, predicted: float | None) -> None:
    assert parse_reply(format_reply(action, predicted), HEIGHT, WIDTH) == (action, predicted)


@given(st.text(max_size=200))
def test_an_invalid_action_is_written_as_its_text(text: str) -> None:
    action, _ = parse_reply(text, HEIGHT, WIDTH)
    if isinstance(action, InvalidAction):
        assert format_reply(action) == text


@pytest.mark.parametrize(
    ("text", "action", "predicted"),
    [
        ("positive point: (12,34)", Click(12, 34, True), None),
        ("  NEGATIVE  POINT :( 12 , 34 )  ", Click(12, 34, False), None),
        ("Positive point: (12.0, 34.9)", Click(12, 34, True), None),
        ("Positive point: [12, 34].", Click(12, 34, True), None),
        ("Positive point: 12, 34", Click(12, 34, True), None),
        ("Current mIoU: 12.5. Negative point: (3, 4)", Click(3, 4, False), 0.125),
        ("Current IoU: 37%\nPositive point:\n(3, 4)", Click(3, 4, True), 0.37),
        ("I think we are done: Current IoU: 3. ", Finish(), 0.03),
        ("finish.", Finish(), None),
        ("UNDO", Undo(), None),
        ("Bounding box: (0, 0, 500, 300)", Box(0, 0, 500, 300), None),
        ("Current IoU: 137. Finish", Finish(), None),
        ("Current IoU: 3. Current IoU: 4. Finish", Finish(), None),
    ],
)
def test_tolerated_spellings(text: str, action: Action, predicted: float | None) -> None:
    assert parse_reply(text, HEIGHT, WIDTH) == (action, predicted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "(12, 34)",
        "Positive point",
        "Positive point: (12)",
        "Positive point: (12, 34, 56)",
        "Positive point: (12, 34",
        "Positive point: (a, b)",
        "Positive point: (500, 10)",
        "Positive point: (10, 300)",
        "Positive point: (-1, 10)",
        "Positive point: (-0.5, 10)",
        "Positive point: (1e1, 10)",
        "Positive point: (nan, 10)",
        "Positive point: (9999999999999, 1)",
        "Positive point: (1, 2) Negative point: (3, 4)",
        "Positive point: (1, 2) (3, 4)",
        "Positive point: (1, 2). Finish",
        "Do not finish",
        "Not a positive point: (1, 2)",
        "Finish (3, 4)",
        "Box: (5, 5, 5, 9)",
        "Box: (0, 0, 501, 300)",
        "Box: (9, 9, 1, 1)",
        "Positive point: (1, 2)" * 500,
        "Positive point: (\u0661, \u0662x)",
    ],
)
def test_no_guessing(text: str) -> None:
    action, _ = parse_reply(text, HEIGHT, WIDTH)
    assert isinstance(action, InvalidAction)
    assert action.text == text
    assert action.reason


def test_twenty_thousand_broken_replies() -> None:
    rng = random.Random(0)
    pieces = [
        "Current IoU: 37.", "Positive point:", "Negative point:", "(412, 377)", "Finish", "Undo", "Box:",
        "(1, 2, 3, 4)",
        "(", ")", "[", "]", ",", "-", "1e9", "9" * 400, "NaN", "\n", "\x00", "\ud7ff", "٣", "%", ".", " ",
    ]  # fmt: skip
    for _ in range(20_000):
        text = "".join(rng.choice(pieces) for _ in range(rng.randrange(8)))
        if rng.random() < 0.5:
            text = text[: rng.randrange(len(text) + 1)]
        if rng.random() < 0.3:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(string.printable) + text[at:]
        height, width = rng.randrange(1, 600), rng.randrange(1, 600)
        action, predicted = parse_reply(text, height, width)
        assert predicted is None or 0 <= predicted <= 1
        if isinstance(action, Click | Box):
            assert action.inside(height, width)
