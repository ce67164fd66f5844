"""Replies: what is read, what is refused and why, round trips, and 20,000 hostile ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.core import Action, Box, Click, Finish, InvalidAction, Undo
from segagent.policies.chat import FORMATS, INVALID_KINDS, ChatFormat
from segagent.policies.chat.reading import MAX_REPLY

PAPER, QWEN3, GEMINI, MOLMO = (FORMATS[name] for name in ("paper", "qwen3", "gemini", "molmo"))
PIXELS, UNIT = FORMATS["pixels"], FORMATS["paper-unit"]
SIZE = (1000, 1000)
CLICK = Click(412, 377, positive=True)


@pytest.mark.parametrize(
    ("fmt", "reply", "action", "iou"),
    [
        (PAPER, "Positive point: (412, 377)", CLICK, None),
        (PAPER, " positive POINT ( 412.0 ,377 ) ", CLICK, None),
        (PAPER, "Negative point: [412, 377]", Click(412, 377, positive=False), None),
        (PAPER, "Positive point: 412, 377", CLICK, None),
        (PAPER, "Positive click: x=412, y=377", CLICK, None),
        (PAPER, 'Positive point: y: 377, x: "412"', CLICK, None),
        (PAPER, "Current IoU: 37%. Positive point: (412, 377)", CLICK, 0.37),
        (PAPER, "Current mIoU: 0.37\nPositive point: (412, 377)", CLICK, 0.37),
        (PAPER, "<think>A negative point at (1, 2)? No.</think>Positive point: (412, 377)", CLICK, None),
        (PAPER, "maybe (1, 2)</think>\n\nPositive point: (412, 377)", CLICK, None),
        (PAPER, "<answer>Positive point: (412, 377)</answer>", CLICK, None),
        (PAPER, "The mask misses the ear. Positive point: (412, 377). The ear is not covered.", CLICK, None),
        (PAPER, "<ref>not the negative mug (3, 4)</ref> Positive point: (412, 377)", CLICK, None),
        (PAPER, "<ref>mug</ref><box>(100,200),(300,400)</box> Positive point: (412, 377)", CLICK, None),
        (PAPER, "Finish", Finish(), None),
        (PAPER, "Current IoU: 97. Finish.", Finish(), 0.97),
        (PAPER, "The mask is accurate. Finish", Finish(), None),
        (PAPER, "Undo", Undo(), None),
        (PAPER, "Box: (100, 200, 300, 400)", Box(100, 200, 300, 400), None),
        (PAPER, "<ref>mug</ref><box>(100,200),(300,400)</box>", Box(100, 200, 300, 400), None),
        (PAPER, "<box>[[100, 200, 300, 400]]</box>", Box(100, 200, 300, 400), None),
        (QWEN3, '{"action": "positive", "point": [412, 377], "iou": 0.4}', CLICK, 0.4),
        (QWEN3, '```json\n[{"point_2d": [412, 377], "label": "positive"}]\n```', CLICK, None),
        (QWEN3, 'Sure! {"action": "positive point", "point": {"y": 377, "x": 412}} Bye.', CLICK, None),
        (QWEN3, '{"action": {"type": "positive", "point": "(412, 377)"}, "iou": "40%"}', CLICK, 0.4),
        (QWEN3, '{"positive": true, "x": 412, "y": 377}', CLICK, None),
        (QWEN3, 'Positive point: {"point_2d": [412, 377], "label": "the mug"}', CLICK, None),
        (QWEN3, '{"action":"positive","point":[412,377]}\n{"action":"positive","point":[412,377]}', CLICK, None),
        (QWEN3, '{"action": "finish", "point": null, "iou": 0.95}', Finish(), 0.95),
        (QWEN3, '{"bbox_2d": [100, 200, 300, 400], "label": "mug"}', Box(100, 200, 300, 400), None),
        (QWEN3, 'Positive point: {"point": [1000, 1000]}', Click(999, 999, positive=True), None),
        (GEMINI, '{"action": "positive", "point": [377, 412]}', CLICK, None),
        (GEMINI, '{"action": "positive", "point": {"x": 412, "y": 377}}', CLICK, None),
        (GEMINI, '{"box_2d": [200, 100, 400, 300], "label": "mug"}', Box(100, 200, 300, 400), None),
        (MOLMO, 'Positive point: <point x="41.2" y="37.7" alt="mug">not a mug (1, 2)</point>', CLICK, None),
        (MOLMO, "Positive point: (41.2%, 37.7%)", CLICK, None),
        (UNIT, "Positive point: (0.412, 0.377)", CLICK, None),
        (UNIT, "Positive point: (0.41250000000000003, 0.37712345678901234)", CLICK, None),
        (UNIT, '{"action": "positive", "point": ["0.41250000000000003", 0.37712345678901234]}', CLICK, None),
        (QWEN3, "Positive point: <point>(412, 377)</point>", CLICK, None),
        (QWEN3, "Positive point: <point>412 377</point>", CLICK, None),
        (QWEN3, "Positive point: <points>[[412, 377]]</points>", CLICK, None),
        (QWEN3, '{"action": "positive", "point": "<point>412, 377</point>"}', CLICK, None),
        (QWEN3, "{'action': 'positive', 'point': [412, 377], 'done': False, 'label': \"dog's\"}", CLICK, None),
        (QWEN3, '{"action": "positive", "point": [412, 377,],}', CLICK, None),
        (QWEN3, '{action: "positive", point: {x: 412, y: 377}}', CLICK, None),
        (QWEN3, '{"action": "positive", "point": "412, 377"}', CLICK, None),
        (QWEN3, '{"action": "positive", "point": "412 377"}', CLICK, None),
        (QWEN3, '{"action": "positive", "points": [{"x": 412, "y": 377}]}', CLICK, None),
        (QWEN3, '{"points": [{"point_2d": [412, 377], "label": "positive"}]}', CLICK, None),
        (QWEN3, "Positive point\uff1a\uff08412\uff0c377\uff09", CLICK, None),
        (QWEN3, "[THINK](1, 1)[/THINK]Positive point: (412, 377)<|im_end|>", CLICK, None),
        (QWEN3, "<|channel|>analysis<|message|>(1, 1)?<|channel|>final<|message|>Finish<|return|>", Finish(), None),
        (QWEN3, "<think>" + "maybe (1, 1)? " * 5000 + "</think>Positive point: (412, 377)", CLICK, None),
        (UNIT, "Positive point: (.4125, .3775)", CLICK, None),
    ],
)
def test_is_read(fmt: ChatFormat, reply: str, action: Action, iou: float | None) -> None:
    assert fmt.parse(reply, *SIZE) == (action, pytest.approx(iou) if iou is not None else None)


@pytest.mark.parametrize(
    ("fmt", "reply", "kind"),
    [
        (PAPER, "", "empty"),
        (PAPER, "``` ```", "empty"),
        (PAPER, "I see a mug.", "no action"),
        (PAPER, "(412, 377)", "no sign"),
        (PAPER, "Positive point", "no coordinates"),
        (PAPER, "Positive point: (412, 3", "malformed"),
        (PAPER, "Positive point: (412, 377, 5)", "malformed"),
        (PAPER, "Positive point: (412, 377) or (413, 377)", "ambiguous"),
        (PAPER, "Positive or negative point: (412, 377)", "ambiguous"),
        (PAPER, "Positive point: (1, 2). Negative point: (1, 2)", "ambiguous"),
        (PAPER, "Positive point: (412, 377). Finish", "ambiguous"),
        (PAPER, "Box: (100, 200, 300, 400). Positive point: (412, 377)", "ambiguous"),
        (PAPER, "<box>(100,200),(300,400)</box> (412, 377)", "ambiguous"),
        (PAPER, "Not a positive point: (412, 377)", "negated"),
        (PAPER, "Positive point: (412, 377)? No.", "negated"),
        (PAPER, "Do not finish", "no action"),
        (PAPER, "The mask is not good. Do NOT: finish", "negated"),
        (PAPER, "Positive point: (1000, 377)", "out of range"),
        (PAPER, "Positive point: (-1, 377)", "out of range"),
        (PAPER, "Positive point: (0.412, 0.377)", "wrong scale"),
        (PAPER, "Positive point: (41%, 37%)", "wrong scale"),
        (PAPER, "<think>Positive point: (412, 377)", "truncated"),
        (PAPER, "Box: (300, 200, 100, 400)", "out of range"),
        (UNIT, "Positive point: (412, 377)", "out of range"),
        (UNIT, "Positive point: (1.0, 0.5)", "out of range"),
        (MOLMO, 'Positive point: <point x="41"', "malformed"),
        (MOLMO, 'Positive <points x1="41" y1="3" x2="4" y2="7" alt="">a</points>', "ambiguous"),
        (QWEN3, '{"action": "positive", "point": [412, 377]', "malformed"),
        (QWEN3, '{"action": "positive", "point": [412]}', "malformed"),
        (QWEN3, '{"action": "positive", "point": [1e999, 3]}', "malformed"),
        (QWEN3, '{"action": "positive", "point": [NaN, 3]}', "malformed"),
        (QWEN3, '{"action": "positive", "point": [1, 2], "point": [3, 4]}', "ambiguous"),
        (QWEN3, '{"action": "positive", "point": [1, 2]} {"action": "negative", "point": [1, 2]}', "ambiguous"),
        (QWEN3, 'A negative point! {"action": "positive", "point": [1, 2]}', "ambiguous"),
        (QWEN3, 'The answer is not {"action": "positive", "point": [1, 2]}', "negated"),
        (QWEN3, '{"action": "finish", "point": [1, 2]}', "ambiguous"),
        (QWEN3, '{"point": [412, 377]}', "no sign"),
        (QWEN3, "{{{", "malformed"),
        (QWEN3, "Positive point: <point>1,024</point>", "malformed"),
        (QWEN3, "Positive point: (1,024)", "malformed"),
        (QWEN3, "Positive point: (41,2, 57,7)", "ambiguous"),
        (QWEN3, "Positive point: <point>412 377 5</point>", "no coordinates"),
        (QWEN3, "Positive point: <points>[[412, 377], [1, 2]]</points>", "ambiguous"),
        (QWEN3, "{'action': 'positive', 'point': [412, 377], 'point': [1, 2]}", "ambiguous"),
        (QWEN3, "{'action': 'positive', 'label': 'dog's', 'point': [412, 377]}", "malformed"),
        (QWEN3, "{'action': 'positive', 'point': [1_0, 0x10]}", "malformed"),
        (QWEN3, '{"action": "positive", "point": "1,024"}', "malformed"),
        (QWEN3, '{"action": "positive", "point": "412, 377, 5"}', "malformed"),
        (QWEN3, '{"action": "positive", "points": [{"x": 412, "y": 377}, {"x": 1, "y": 2}]}', "ambiguous"),
        (QWEN3, '{"action": "positive", "points": [{"x": 412, "y": 377}, {"x": 1}]}', "malformed"),
        (QWEN3, "[THINK]Positive point: (412, 377)", "truncated"),
        (QWEN3, "<|channel|>analysis<|message|>Positive point: (412, 377)", "truncated"),
        (QWEN3, "x" * (MAX_REPLY + 1), "too long"),
    ],
)
def test_is_refused(fmt: ChatFormat, reply: str, kind: str) -> None:
    action, _ = fmt.parse(reply, *SIZE)
    assert isinstance(action, InvalidAction)
    assert action.reason.startswith(kind + ":"), action.reason
    assert action.text == reply


@pytest.mark.parametrize(
    ("fmt", "text", "iou"),
    [
        (PAPER, "Current IoU: 1", None),
        (PAPER, "Current IoU: 0", 0.0),
        (PAPER, "Current IoU: 37.5", 0.375),
        (PAPER, "Current IoU: 101", None),
        (PAPER, "Current IoU: 30. Current IoU: 40", None),
        (PIXELS, '{"iou": 37}', None),
        (PIXELS, '{"iou": 1}', 1.0),
        (FORMATS["segagent"], "Current IoU: 1", 0.01),
        (FORMATS["segagent"], "Current IoU: 0.9", None),
    ],
)
def test_iou_of_unclear_scale_is_not_guessed(fmt: ChatFormat, text: str, iou: float | None) -> None:
    assert fmt.parse(text, *SIZE)[1] == iou


sides = st.integers(1, 3000)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FORMATS)), sides, sides, st.data())
def test_click_round_trip(name: str, height: int, width: int, data: st.DataObject) -> None:
    """What is written is read again, exactly where the space has a number per pixel, else within one step of it."""
    fmt = FORMATS[name]
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    positive = data.draw(st.booleans())
    iou = data.draw(st.none() | st.integers(0, 100))
    reply = fmt.render(Click(x, y, positive), height, width, None if iou is None else iou / 100)
    action, predicted = fmt.parse(reply, height, width)
    assert isinstance(action, Click), (reply, action)
    assert action.positive == positive
    shown = fmt.shown((height, width))
    for got, want, length, pixels in ((action.x, x, width, shown[1]), (action.y, y, height, shown[0])):
        steps = pixels if fmt.space.scale is None else fmt.space.scale * 10**fmt.space.decimals
        assert abs(got - want) <= (0 if length <= steps else length / steps), (reply, action)
    assert predicted == (None if iou is None else iou / 100)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FORMATS)), st.integers(8, 3000), st.integers(8, 3000), st.data())
def test_box_round_trip(name: str, height: int, width: int, data: st.DataObject) -> None:
    fmt = FORMATS[name]
    x0, y0 = data.draw(st.integers(0, width // 2)), data.draw(st.integers(0, height // 2))
    x1 = data.draw(st.integers(x0 + max(1, width // 4), width))
    y1 = data.draw(st.integers(y0 + max(1, height // 4), height))
    action, _ = fmt.parse(fmt.render(Box(x0, y0, x1, y1), height, width), height, width)
    assert isinstance(action, Box)
    shown = fmt.shown((height, width))
    for got, want, length, pixels in (
        (action.x0, x0, width, shown[1]),
        (action.x1, x1, width, shown[1]),
        (action.y0, y0, height, shown[0]),
        (action.y1, y1, height, shown[0]),
    ):
        steps = pixels if fmt.space.scale is None else fmt.space.scale * 10**fmt.space.decimals
        assert abs(got - want) <= 1 + length / steps


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("action", [Finish(), Undo()])
def test_other_actions_round_trip(name: str, action: Action) -> None:
    fmt = FORMATS[name]
    assert fmt.parse(fmt.render(action, 480, 640, 0.5), 480, 640) == (action, 0.5)


PIECES = [
    "Positive point: ", "Negative point: ", "positive", "negative", "(412, 377)", "[412, 377]", "(0.4, 0.3)", "(", ")",
    "[", "]", "{", "}", '"', "\\", ",", ":", ".", "\n", " ", "\t", "Finish", "Undo", "Box: ", "(1, 2, 3, 4)", "<box>",
    "</box>", "<point ", 'x="41.2" ', 'y="37.7"', ">", "</point>", "<think>", "</think>", "<answer>", "</answer>",
    "```", "```json", '{"action": "positive", "point": [412, 377], "iou": 0.5}', '"point"', '{"x": 1', "Current IoU: ",
    "37", "%", "1e999", "-1", "NaN", "Infinity", "99999999999999999999", "0x10", "١٢٣", "½", "\x00",
    "\ud800", "\U0001d7d9",
    "not ", "no ", "null", "true", "x=", "y=", "1001", "1000", "999", "-0", "+5", ".", "..", "1.2.3", "<ref>", "</ref>",
    "[" * 50, "{" * 50, " " * 200, "9" * 5000,
]  # fmt: skip


def hostile_replies(count: int, seed: int) -> list[str]:
    """Random assemblies of telling pieces, truncations and mutations of good replies, and noise."""
    rng = random.Random(seed)
    good = [
        fmt.render(Click(rng.randrange(640), rng.randrange(480), rng.random() < 0.5), 480, 640, rng.random())
        for fmt in FORMATS.values()
        for _ in range(5)
    ]
    replies = []
    for index in range(count):
        kind = index % 4
        if kind == 0:
            text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 20)))
        elif kind == 1:
            text = rng.choice(good)
            text = text[: rng.randrange(len(text) + 1)]
        elif kind == 2:
            letters = list(rng.choice(good))
            for _ in range(rng.randrange(1, 6)):
                letters[rng.randrange(len(letters))] = rng.choice('0123456789.,()[]{}":- xyPN\n<>')
            text = "".join(letters)
        else:
            text = "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x3000)))) for _ in range(60))
        replies.append(text)
    return replies


def test_fuzz_every_reply_is_classified_and_no_click_is_outside() -> None:
    formats = list(FORMATS.values())
    sizes = [(480, 640), (1, 1), (3, 2000), (719, 1283)]
    for index, reply in enumerate(hostile_replies(20_000, seed=1)):
        fmt, (height, width) = formats[index % len(formats)], sizes[index // 7 % len(sizes)]
        action, iou = fmt.parse(reply, height, width)
        assert iou is None or 0 <= iou <= 1
        match action:
            case Click() | Box():
                assert action.inside(height, width), (reply, action)
            case InvalidAction(text, reason):
                assert text == reply
                assert reason.partition(":")[0] in INVALID_KINDS
            case _:
                assert isinstance(action, Finish | Undo)


NOTATIONS = (
    "Positive point: ({x}, {y})", "Current IoU: 37%. Positive point: [{x}, {y}]",
    "Positive point: <point>({x}, {y})</point>",
    "Positive point: <point>{x} {y}</point>", "Positive point: <points>[[{x}, {y}]]</points>",
    '{{"action": "positive", "point": [{x}, {y}]}}', "{{'action': 'positive', 'point': [{x}, {y}]}}",
    '{{"action": "positive", "point": [{x}, {y}],}}', '{{"action": "positive", "point": "{x}, {y}"}}',
    '{{"action": "positive", "points": [{{"x": {x}, "y": {y}}}]}}', "{{action: 'positive', point: {{x: {x}, y: {y}}}}}",
    '```json\n[{{"point_2d": [{x}, {y}], "label": "positive"}}]\n```',
    "<think>(1, 2)?</think> Positive point: ({x}, {y}).",
    'I see it. {{"iou": 0.5, "positive": true, "x": {x}, "y": {y}}}',
)  # fmt: skip


def test_no_beginning_and_no_garbled_copy_of_a_reply_is_another_click() -> None:
    """A reply that is torn off, or loses or repeats a letter outside its numbers, is read right or not at all."""
    rng = random.Random(5)
    for notation in NOTATIONS:
        x, y = rng.randrange(100, 1000), rng.randrange(100, 1000)
        whole = notation.format(x=x, y=y)
        right = Click(x, y, positive=True)
        assert QWEN3.parse(whole, *SIZE)[0] == right, whole
        letters = [place for place, letter in enumerate(whole) if not letter.isdigit()]
        torn = [whole[:end] for end in range(len(whole))]
        torn += [whole[:place] + whole[place + 1 :] for place in letters]
        torn += [whole[:place] + whole[place] + whole[place:] for place in letters]
        for reply in torn:
            action, _ = QWEN3.parse(reply, *SIZE)
            assert action == right or isinstance(action, InvalidAction), (reply, action)


def test_long_hostile_replies_are_read_in_linear_time() -> None:
    import time

    for piece in (
        "(",
        "[[",
        "{",
        '{"a":',
        "(1,",
        "positive ",
        "x=1 ",
        "<point ",
        "1",
        " ",
        "\n",
        "no ",
        "(1, 2) ",
        "x",
    ):
        began = time.perf_counter()
        for fmt in (PAPER, QWEN3):
            fmt.parse(piece * (MAX_REPLY // len(piece)), 480, 640)
        # A guard against replies that take polynomial time, not a measurement: such a one would take minutes.
        assert time.perf_counter() - began < 30, piece
