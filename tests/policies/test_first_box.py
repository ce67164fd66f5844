"""A first action that is a box: by the policy, by another model, and what happens when the box comes to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import segagent.policies
from segagent.annotation import annotate_image
from segagent.core import Box, Click, Image, InputError, InvalidAction, Policy, SpecError, Usage
from segagent.environment import Episode
from segagent.policies import CentrePolicy, with_first_box
from segagent.policies.chat import FORMATS, ChatPolicy, Question, Reply
from segagent.search import SearchConfig, run_search
from segagent.tools.fake import DiscTool

IMAGE = Image.of(np.full((60, 80, 3), 90, np.uint8))
BOX = '{"box": [250, 250, 750, 750]}'
IN_PIXELS = Box(20, 15, 60, 45)


class Speaker:
    """Answers questions about boxes and about clicks from two lists, the last of each forever; counts both."""

    def __init__(self, boxes: Sequence[str], clicks: Sequence[str]) -> None:
        self._lines = {True: list(boxes), False: list(clicks)}
        self.asked = {True: 0, False: 0}
        self.usage = Usage()

    def reply(
        self, questions: Sequence[Question], num_replies: int, *, temperature: float, seeds: Sequence[int] | None
    ) -> list[list[Reply]]:
        rows = []
        for question in questions:
            boxed = "bounding box" in question.prompt
            self.asked[boxed] += 1
            self.usage += Usage(calls=1, prompt_tokens=100)
            lines = self._lines[boxed]
            row = []
            for number in range(num_replies):
                text = lines[0] if len(lines) == 1 else lines.pop(0)
                row.append(Reply(text, usage=Usage(calls=1, prompt_tokens=100) if number == 0 else None))
            rows.append(row)
        return rows


def click(x: int, y: int, iou: float = 0.3) -> str:
    return FORMATS["qwen3"].render(Click(x, y, positive=True), 60, 80, iou)


def chat(speaker: Speaker, name: str = "hf:clicker") -> ChatPolicy:
    return ChatPolicy(name, speaker, FORMATS["qwen3"])


def actions(policy: Policy, config: SearchConfig) -> list[object]:
    (trajectory,) = run_search([Episode(IMAGE, "the mug")], policy, DiscTool(), config)
    return [step.action for step in trajectory.steps]


def test_own_box_comes_first_and_once() -> None:
    speaker = Speaker([BOX], [click(1, 1), click(2, 2)])
    policy = with_first_box(chat(speaker), "own")
    assert policy.name == "hf:clicker?box=first"
    assert actions(policy, SearchConfig(max_steps=3)) == [IN_PIXELS, Click(1, 1, True), Click(2, 2, True)]
    assert speaker.asked == {True: 1, False: 3}


def test_box_of_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    grounder, clicker = Speaker([BOX], ["x"]), Speaker(["x"], [click(1, 1), click(2, 2)])
    monkeypatch.setattr(segagent.policies, "make_policy", lambda spec: chat(grounder, spec))
    policy = with_first_box(chat(clicker), "hf:grounder")
    assert policy.name == "hf:clicker, first box by hf:grounder"
    (trajectory,) = run_search([Episode(IMAGE, "the mug")], policy, DiscTool(), SearchConfig(max_steps=2))
    assert [step.action for step in trajectory.steps] == [IN_PIXELS, Click(1, 1, True)]
    assert (grounder.asked, clicker.asked) == ({True: 1, False: 0}, {True: 0, False: 2})
    assert trajectory.steps[0].text == BOX
    assert trajectory.usage == Usage(calls=3, prompt_tokens=300)


def test_the_embedded_kind_of_policy_can_begin_with_another_models_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segagent.policies, "make_policy", lambda spec: chat(Speaker([BOX], ["x"])))
    policy = with_first_box(CentrePolicy(), "hf:grounder")
    assert actions(policy, SearchConfig(max_steps=1)) == [IN_PIXELS]


def test_choice_goes_before_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    boxed = with_first_box(chat(Speaker([BOX], [click(1, 1)])), "own")
    assert actions(with_first_box(boxed, "none"), SearchConfig(max_steps=1)) == [Click(1, 1, True)]
    monkeypatch.setattr(segagent.policies, "_hf", None)
    monkeypatch.setattr(
        segagent.policies,
        "SCHEMES",
        {"hf": lambda rest: replace_format(chat(Speaker([BOX], [click(1, 1)]), f"hf:{rest}"))},
    )
    made = segagent.policies.make_policy("hf:clicker?box=first")
    assert made.name == "hf:clicker?box=first"
    assert actions(made, SearchConfig(max_steps=1)) == [IN_PIXELS]


def replace_format(policy: ChatPolicy) -> ChatPolicy:
    return ChatPolicy(policy.name, policy.model, replace(policy.format, first_box=True))


@pytest.mark.parametrize("reply", ["no idea", '{"box": [0, 0, 1001, 5]}'])
def test_a_box_that_is_none_is_on_record_and_clicks_go_on(reply: str) -> None:
    speaker = Speaker([reply], [click(1, 1, 0.0), click(9, 9, 0.0), click(5, 5)])
    first, second, *_ = actions(with_first_box(chat(speaker), "own"), SearchConfig(max_steps=3))
    assert isinstance(first, InvalidAction)
    assert second == Click(9, 9, True), "the sampled click of a state in which the box brought nothing"


def test_search_compares_box_and_clicks() -> None:
    speaker = Speaker([BOX], [click(1, 1, 0.0), click(9, 9), click(70, 50), *[click(3, 3, 0.1), click(4, 4), "x"] * 9])
    policy = with_first_box(chat(speaker), "own")
    (trajectory,) = run_search(
        [Episode(IMAGE, "the mug")], policy, DiscTool(), SearchConfig(max_steps=1, num_candidates=3)
    )
    (step,) = trajectory.steps
    tried = {step.action, *(candidate.action for candidate in step.candidates)}
    assert tried == {IN_PIXELS, Click(9, 9, True), Click(70, 50, True)}
    assert trajectory.start.predicted_iou == 0.0


class ClicksOnly(DiscTool):
    accepts_box = False


def test_tools_without_boxes_are_told_apart() -> None:
    policy = with_first_box(chat(Speaker([BOX], [click(1, 1)])), "own")
    with pytest.raises(InputError, match=r"takes no box.*--seed-mask"):
        annotate_image(IMAGE, "the mug", policy, ClicksOnly())
    assert annotate_image(IMAGE, "the mug", policy, DiscTool()).steps[0].action == IN_PIXELS


def test_who_draws_no_boxes_is_refused() -> None:
    with pytest.raises(SpecError, match="'centre' draws no boxes"):
        with_first_box(CentrePolicy(), "own")
    with pytest.raises(SpecError, match="'centre' draws no boxes"):
        with_first_box(chat(Speaker([BOX], ["x"])), "centre")
