"""What zero-shot models are shown and told of their earlier attempts, and what they are asked about again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from segagent.core import (
    Aside,
    Attempt,
    Box,
    Click,
    Finish,
    Image,
    InvalidAction,
    Observation,
    SpecError,
    Undo,
    Usage,
    empty_mask,
    frozen_mask,
)
from segagent.imaging import MASK_COLORS, draw_overlay
from segagent.policies.chat import FORMATS, ChatPolicy, Question, Reply, ask, chosen_format, parse_spec, read_answer
from segagent.policies.chat.looking_back import cut_out, draw_numbers, is_repeated, recalled, thumbnails

HEIGHT, WIDTH = 60, 80
PIXELS = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
IMAGE = Image.of(PIXELS)
EMPTY = empty_mask(HEIGHT, WIDTH)
QWEN3 = FORMATS["qwen3"]
LOOKING = replace(QWEN3, history=3, verify=True)


def square(x0: int, y0: int, side: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[y0 : y0 + side, x0 : x0 + side] = True
    return frozen_mask(mask)


FIRST, SECOND = square(10, 10, 20), square(10, 10, 30)
PAST = (
    Attempt(Click(20, 20, True), EMPTY, 0.0),
    Attempt(Click(38, 38, True), FIRST, 0.35),
    Attempt(InvalidAction("hm", "no sign: what"), SECOND, 0.7, "no sign: what"),
    Attempt(Click(70, 50, False), SECOND, 0.62),
)


def look(mask: np.ndarray = SECOND, past: Sequence[Attempt] = PAST) -> Observation:
    return Observation(IMAGE, "the mug", frozen_mask(mask), tuple(past))


class Said:
    """Says given replies, one a question, and keeps the questions."""

    usage = Usage()

    def __init__(self, *replies: str) -> None:
        self.left = list(replies)
        self.asked: list[Question] = []

    def reply(
        self, questions: Sequence[Question], num_replies: int, *, temperature: float, seeds: Sequence[int] | None
    ) -> list[list[Reply]]:
        self.asked += questions
        return [
            [Reply(self.left.pop(0), usage=Usage(calls=1)) for _ in range(num_replies)] for _ in range(len(questions))
        ]


def click(x: int, y: int, *, positive: bool = True, iou: float = 0.5) -> str:
    return QWEN3.render(Click(x, y, positive), HEIGHT, WIDTH, iou)


FINISH = '{"iou": 0.98, "action": "finish"}'


def test_the_last_attempts_are_told_in_the_models_own_numbers() -> None:
    words = LOOKING.prompt(look())
    assert "1. " not in words
    assert "2. positive at [481, 642] (iou before it: 0.35); " in words
    assert "3. no usable answer (no sign) (iou before it: 0.7); " in words
    assert "4. negative at [881, 842], which changed nothing (iou before it: 0.62)." in words
    yx = replace(FORMATS["gemini"], history=1).prompt(look())
    assert "4. negative at [842, 881], which changed nothing" in yx
    unit = replace(FORMATS["qwen2.5"], history=1)
    assert "4. negative at [74, 47], which" in unit.prompt(look()), "pixels of the picture as it is shown, 84 x 56"
    assert unit.shown((HEIGHT, WIDTH)) == (56, 84)
    told = replace(QWEN3, history=9).prompt(look(past=[Attempt(Box(10, 10, 40, 40), EMPTY), Attempt(Undo(), SECOND)]))
    assert "1. box [125, 167, 500, 667]; 2. undo, which changed nothing." in told


def test_who_looks_at_no_history_is_asked_as_ever() -> None:
    assert ask(QWEN3, look()).prompt == ask(QWEN3, look(past=())).prompt
    assert len(QWEN3.pictures(look())) == 1
    assert QWEN3.pictures(look())[0].key == QWEN3.pictures(look(past=()))[0].key


def test_pictures_keep_to_their_budget() -> None:
    one, two = (replace(LOOKING, most_pictures=most) for most in (1, 2))
    assert len(one.pictures(look())) == 1
    assert "second" not in one.prompt(look())
    numbered, sheet = two.pictures(look())
    assert "the second shows, small" in two.prompt(look())
    assert not np.array_equal(numbered.pixels, QWEN3.pictures(look())[0].pixels)
    assert numbered.key != QWEN3.pictures(look())[0].key
    assert sheet.pixels.shape[1] > 2 * sheet.pixels.shape[0]
    begun = look(FIRST, PAST[:1])
    assert len(two.pictures(begun)) == 1, "the empty mask is no thumbnail"
    assert "second" not in two.prompt(begun)
    assert [one.action for _, one in recalled(PAST, 2)] == [PAST[2].action, PAST[3].action]


def test_numbers_leave_the_clicked_place_free_and_stay_inside() -> None:
    marks = [(1, Attempt(Click(20, 20, True), EMPTY)), (2, Attempt(Click(79, 59, False), EMPTY))]
    drawn = draw_numbers(PIXELS, marks, (HEIGHT, WIDTH))
    assert drawn.shape == PIXELS.shape
    np.testing.assert_array_equal(drawn[20, 20], PIXELS[20, 20])
    assert (drawn != PIXELS).any(axis=2)[10:35, 10:45].sum() > 30
    assert (drawn != PIXELS).any(axis=2)[45:, 45:].sum() > 30, "a label beside the right edge stands left of it"
    larger = draw_numbers(np.zeros((240, 320, 3), np.uint8), marks[:1], (HEIGHT, WIDTH))
    rows, columns = np.nonzero(larger.any(axis=2))
    assert abs(rows.mean() - 82) < 12
    assert columns.min() < 82 < columns.max()
    boxed = draw_numbers(PIXELS, [(1, Attempt(Box(0, 0, 80, 60), EMPTY))], (HEIGHT, WIDTH))
    assert (boxed[:, -1] != PIXELS[:, -1]).any()


def test_thumbnails_are_the_masks_that_the_attempts_found() -> None:
    sheet = thumbnails(PIXELS, [(2, PAST[1]), (4, PAST[3])], MASK_COLORS["green"])
    assert sheet is not None
    panels = np.split(sheet, 2, axis=1)
    green = [(panel[22:, :, 1] > panel[22:, :, 0] + 40).mean() for panel in panels]
    for got, mask in zip(green, (FIRST, SECOND), strict=True):
        assert got == pytest.approx(draw_overlay(PIXELS, mask)[..., 1].__gt__(120).mean(), abs=0.02)
    assert thumbnails(PIXELS, [(1, PAST[0])], MASK_COLORS["green"]) is None
    five = thumbnails(PIXELS, [(n + 2, PAST[1]) for n in range(5)], MASK_COLORS["green"])
    assert five is not None
    assert five.shape[0] == 2 * sheet.shape[0]
    narrow = thumbnails(np.zeros((900, 3, 3), np.uint8), [(2, Attempt(Undo(), np.ones((900, 3), np.bool_)))], (0, 9, 0))
    assert narrow is not None


def test_what_is_verified_is_cut_out() -> None:
    part = cut_out(PIXELS, FIRST)
    assert part is not None
    assert part.shape[0] < 30
    assert (part == 90).all(axis=2).sum() == 400
    assert cut_out(PIXELS, EMPTY) is None
    shown = LOOKING.pictures(look(), verifying=True)
    assert len(shown) == 2
    assert "cut out on grey" in LOOKING.prompt(look(), verifying=True)
    assert len(LOOKING.pictures(look(EMPTY, ()), verifying=True)) == 1


def test_a_click_is_repeated_where_sign_and_place_are() -> None:
    big = (1000, 1000)
    past = [Attempt(Click(500, 500, True), EMPTY), Attempt(Click(5, 5, True), EMPTY, None, "click outside")]
    assert is_repeated(Click(503, 504, True), past, big) == 1
    assert is_repeated(Click(504, 504, True), past, big) is None
    assert is_repeated(Click(500, 500, False), past, big) is None
    assert is_repeated(Click(5, 5, True), past, big) is None, "one that was never made"


def test_a_repeated_click_is_asked_about_and_another_one_taken() -> None:
    model = Said(click(20, 20), click(50, 30))
    (proposal,) = ChatPolicy("p", model, LOOKING).propose([look()])[0]
    assert proposal.action == Click(50, 30, True)
    assert proposal.asides == (Aside(click(20, 20), "repeated: a click that it had tried"),)
    assert proposal.usage == Usage(calls=2)
    assert "positive click at [256, 342], but that was your action 1 already" in model.asked[1].prompt
    assert "already" not in model.asked[0].prompt


def test_a_click_said_over_again_is_no_action() -> None:
    model = Said(click(20, 20), click(38, 38))
    (proposal,) = ChatPolicy("p", model, LOOKING).propose([look()])[0]
    assert proposal.action == InvalidAction(click(38, 38), "repeated: the click of step 2 over again and was told so")
    assert len(model.asked) == 2


def test_a_finish_is_verified_once() -> None:
    model = Said(FINISH, click(50, 30, iou=0.6))
    (proposal,) = ChatPolicy("p", model, LOOKING).propose([look()])[0]
    assert (proposal.action, proposal.predicted_iou) == (Click(50, 30, True), 0.6)
    assert proposal.asides == (Aside(FINISH, "verify: it wanted to finish"),)
    assert "is the whole object green" in model.asked[1].prompt
    assert len(model.asked[1].pictures) == 2
    again = Said(FINISH, FINISH)
    (proposal,) = ChatPolicy("p", again, LOOKING).propose([look()])[0]
    assert (proposal.action, len(again.asked), len(proposal.asides)) == (Finish(), 2, 1)


def test_a_repeated_click_that_becomes_a_finish_is_verified_too() -> None:
    model = Said(click(20, 20), FINISH, FINISH)
    (proposal,) = ChatPolicy("p", model, LOOKING).propose([look()])[0]
    assert (proposal.action, len(model.asked)) == (Finish(), 3)
    assert [aside.why.partition(":")[0] for aside in proposal.asides] == ["repeated", "verify"]
    endless = Said(FINISH, click(20, 20), click(20, 20))
    (proposal,) = ChatPolicy("p", endless, LOOKING).propose([look()])[0]
    assert isinstance(proposal.action, InvalidAction)
    assert len(endless.asked) == 3


def test_an_empty_mask_is_not_done_because_a_model_says_so() -> None:
    model = Said(FINISH, click(50, 30, iou=1.0))
    (proposal,) = ChatPolicy("p", model, LOOKING).propose([look(EMPTY, ())])[0]
    assert (proposal.action, proposal.predicted_iou) == (Click(50, 30, True), 0.0)
    assert "place a positive click on it" in model.asked[1].prompt
    sure = Said(FINISH, FINISH)
    (proposal,) = ChatPolicy("p", sure, LOOKING).propose([look(EMPTY, ())])[0]
    assert (proposal.action, proposal.predicted_iou) == (Finish(), None)


def test_of_several_proposals_those_of_a_kind_share_one_answer() -> None:
    other_words = FINISH.replace("0.98", "0.97")
    model = Said(FINISH, click(20, 20), other_words, click(38, 38), click(55, 30), click(60, 30))
    row = ChatPolicy("p", model, LOOKING).propose([look()], 4, temperature=1.0, seeds=[1])[0]
    first, second = Click(55, 30, True), Click(60, 30, True)
    assert [one.action for one in row] == [first, second, first, second]
    assert [one.asides[0].text for one in row] == [FINISH, click(20, 20), other_words, click(38, 38)]
    assert [one.usage for one in row] == [Usage(calls=2), Usage(calls=2), Usage(calls=1), Usage(calls=1)]
    assert "click at [256, 342]" in model.asked[2].prompt


def test_nothing_is_asked_again_where_it_is_not_wanted() -> None:
    model = Said(FINISH, click(20, 20, iou=0.99))
    first, second = ChatPolicy("p", model, QWEN3).propose([look(EMPTY, ()), look()])
    assert (first[0].action, first[0].predicted_iou, first[0].asides) == (Finish(), 0.98, ())
    assert second[0].action == Click(20, 20, True)
    boxes = replace(FORMATS["egm"], first_box=True, verify=True, history=2)
    (proposal,) = ChatPolicy("p", Said('{"action": "finish"}'), boxes).propose([look(EMPTY, ())])[0]
    assert (proposal.action, proposal.asides) == (Finish(), ()), "its own question for a box has no place for a note"


@pytest.mark.parametrize("name", ["qwen3", "qwen2.5", "gemini", "internvl", "claude", "gpt", "pixels"])
def test_schemas_describe_what_is_read(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    fmt = FORMATS[name]
    schema = fmt.reply_schema(look())
    for action in (Click(79, 59, True), Click(0, 0, False), Finish()):
        said = {"point": None, **json.loads(fmt.render(action, HEIGHT, WIDTH, 0.41))}
        jsonschema.validate(said, schema)
        assert fmt.parse(json.dumps(said), HEIGHT, WIDTH)[1] == 0.41
        assert type(fmt.parse(json.dumps(said), HEIGHT, WIDTH)[0]) is type(action)
    for wrong in (
        {"iou": 0.4, "action": "positive", "point": [1, 2, 3]},
        {"iou": 0.4, "action": "undo", "point": None},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    box = json.loads(fmt.render(Box(0, 0, WIDTH, HEIGHT), HEIGHT, WIDTH))["box"]
    jsonschema.validate({"box": box}, replace(fmt, first_box=True).reply_schema(look(EMPTY, ())))


def test_formats_of_text_have_no_schema() -> None:
    assert FORMATS["paper"].reply_schema(look()) is None
    assert FORMATS["molmo"].reply_schema(look()) is None


@pytest.mark.parametrize("options", ["history=2", "verify=1", "structured=schema"])
@pytest.mark.parametrize("name", ["paper", "segagent-qwen", "segagent"])
def test_tuned_formats_refuse_what_is_for_zero_shot_models(options: str, name: str) -> None:
    with pytest.raises(SpecError, match="never taught to click"):
        chosen_format(parse_spec(f"x?{options}", ("structured",)), FORMATS[name])


def test_options() -> None:
    fmt = chosen_format(parse_spec("x?history=4&verify=1&pictures=1", ()), QWEN3)
    assert (fmt.history, fmt.verify, fmt.most_pictures) == (4, True, 1)
    assert chosen_format(parse_spec("x?history=0&verify=0", ()), FORMATS["paper"]).history == 0
    assert chosen_format(parse_spec("x?prompt=zero-shot&history=2", ()), FORMATS["paper"]).history == 2
    for odd in ("history=-1", "verify=2", "pictures=3"):
        with pytest.raises(SpecError):
            chosen_format(parse_spec(f"x?{odd}", ()), QWEN3)


def test_visionreasoners_box_comes_with_a_point() -> None:
    fmt = replace(FORMATS["visionreasoner"], first_box=True)
    begun = look(EMPTY, ())
    text = '<think>two mugs</think>\n<answer>[{"bbox_2d": [105, 140, 525, 560], "point_2d": [300, 300]}]</answer>'
    assert read_answer(fmt, begun, Reply(text)).action == Box(10, 10, 50, 40)
    assert fmt.shown((HEIGHT, WIDTH)) == (840, 840)
    assert '"the mug"' in ask(fmt, begun).prompt
    two = text.replace("}]", '}, {"bbox_2d": [0, 0, 84, 84], "point_2d": [3, 3]}]')
    assert read_answer(fmt, begun, Reply(two)).action == InvalidAction(two, "ambiguous: two different boxes")
    assert isinstance(fmt.parse(text, HEIGHT, WIDTH)[0], InvalidAction), "only where a box was asked for"


def test_egm_thinks_and_gives_a_box() -> None:
    fmt = replace(FORMATS["egm"], first_box=True)
    begun = look(EMPTY, ())
    assert ask(fmt, begun).prompt == "Locate the mug, output its bbox coordinates using JSON format"
    text = 'I see (3, 4) and a mug.\n</think>\n\n```json\n[{"bbox_2d": [125, 167, 625, 667], "label": "the mug"}]\n```'
    assert read_answer(fmt, begun, Reply(text)).action == Box(10, 10, 50, 40)
