"""Samples loaded, played together, and one by one where that does not work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from released_data import NoPicture

from cheap_models import CheapPolicy, TinyDataset
from segagent.core import Image, InputError, RefusedError, ToolError, Trajectory
from segagent.datasets import Sample
from segagent.datasets.sample import ListedGroup
from segagent.environment import Episode
from segagent.runs.models import Models
from segagent.runs.playing import Asked, ImageTask, Playing, play_images
from segagent.search import SearchConfig, rollout
from segagent.tools.fake import DiscTool

MODELS = Models(CheapPolicy(), DiscTool())
GROUPS = list(TinyDataset(2, 3).groups())
TASKS = [ImageTask(place, group) for place, group in enumerate(GROUPS)]


@dataclass
class Plain:
    """Plays two clicks; ``bad`` sentences raise ``error``, alone and together with others; ``keys``: see Asked."""

    bad: tuple[str, ...] = ()
    error: Exception = field(default_factory=lambda: ToolError("cannot be segmented"))
    keys: dict[str, str] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    embeds: bool = True

    def asked(self, sample: Sample, image: Image, models: Models) -> list[Asked] | dict[str, Any]:
        if sample.text == "the dot number 5":
            return {"schema": "left out", "sample_id": sample.sample_id}
        episode = Episode(image, sample.text, sample.sample_id, sample.image_name)
        return [Asked(episode, key=self.keys.get(sample.text))]

    def play(self, asked: Sequence[Asked], models: Models) -> list[list[Trajectory]]:
        self.calls.append([one.episode.sample_id for one in asked])
        if any(one.episode.text in self.bad for one in asked):
            raise self.error
        assert models.policy is not None
        episodes = [one.episode for one in asked]
        return [[made] for made in rollout(episodes, models.policy, models.tool, SearchConfig(2))]

    def kept(
        self, sample: Sample, asked: Asked, made: Sequence[Trajectory], models: Models, seconds: float
    ) -> list[dict[str, Any]]:
        return [{"sample_id": sample.sample_id, "by": one.sample_id, "steps": len(one.steps)} for one in made]


def told(kind: Plain, tasks: Sequence[ImageTask] = TASKS) -> list[tuple[str, str]]:
    results = play_images(MODELS, tasks, kind=kind)
    assert [result.unit for result in results] == [task.unit for task in tasks]
    return [
        (str(record["sample_id"]), str(record.get("reason", record.get("by", record.get("schema")))))
        for result in results
        for record in result.records
    ]


def test_all_are_played_together() -> None:
    kind = Plain()
    assert told(kind) == [
        ("0-0", "0-0"),
        ("0-1", "0-1"),
        ("0-2", "0-2"),
        ("1-0", "1-0"),
        ("1-1", "1-1"),
        ("1-2", "left out"),
    ]
    assert kind.calls == [["0-0", "0-1", "0-2", "1-0", "1-1"]]


@pytest.mark.parametrize("error", [ToolError("no"), RefusedError("no"), ValueError("no"), ValueError()])
def test_what_cannot_be_played_takes_nothing_with_it(error: Exception) -> None:
    found = dict(told(Plain(("the dot number 1", "the dot number 3"), error)))
    reason = str(error) or "ValueError"
    assert (found["0-1"], found["1-0"]) == (reason, reason)
    assert [name for name, by in found.items() if by == name] == ["0-0", "0-2", "1-1"]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), InputError("the policy does not suit"), KeyboardInterrupt()])
def test_what_the_next_one_would_meet_too_ends_the_run(error: BaseException) -> None:
    with pytest.raises(type(error)):
        told(Plain(("the dot number 1",), error))  # type: ignore[arg-type]


def test_a_sample_that_cannot_be_loaded_is_recorded_in_its_place() -> None:
    first, second, third = GROUPS[0].samples()
    absent = NoPicture(second.sample_id, second.image_name, second.text, 0)
    task = ImageTask(7, ListedGroup("0.png", (first, absent, third)))
    # The picture is read once, for the first of them that can.
    assert told(Plain(), [task]) == [("0-0", "0-0"), ("0-1", "0-1"), ("0-2", "0-2")]
    task = replace(task, group=ListedGroup("0.png", (absent, first)))
    assert told(Plain(), [task]) == [("0-1", "0.png: no such file"), ("0-0", "0-0")]
    assert told(Plain(), [replace(task, only=frozenset({"0-0"}))]) == [("0-0", "0-0")]


def test_equal_episodes_of_an_image_are_played_once() -> None:
    same = {f"the dot number {number}": "same" for number in (0, 2, 3)}
    kind = Plain(keys=same)
    assert told(kind)[:4] == [("0-0", "0-0"), ("0-1", "0-1"), ("0-2", "0-0"), ("1-0", "1-0")]
    assert kind.calls == [["0-0", "0-1", "1-0", "1-1"]]
    found = dict(told(Plain(("the dot number 0",), keys=same)))
    assert found["0-0"] == found["0-2"] == "cannot be segmented"


def test_what_it_costs_is_counted_once() -> None:
    first, second = play_images(MODELS, TASKS, kind=Plain(keys={f"the dot number {n}": "same" for n in (0, 2)}))
    assert (first.cost["objects"], second.cost["objects"]) == (2, 2)
    assert first.cost["policy_calls"] == 2 * 3
    assert first.cost["seconds"] > 0


class Looked(DiscTool):
    """Says which pictures it has looked at, and fails at those in ``bad``."""

    accepts_box = False

    def __init__(self, bad: tuple[str, ...] = (), *, thread_safe: bool = True) -> None:
        super().__init__()
        self.bad, self.thread_safe = bad, thread_safe
        self.looked: list[str] = []

    def embed(self, images: Sequence[Image]) -> list[object]:
        self.looked += [image.key for image in images]
        if any(image.key in self.bad for image in images):
            raise ToolError("cannot be looked at")
        return super().embed(images)


KEYS = [next(iter(group.samples())).load_image().key for group in GROUPS]


@pytest.mark.parametrize(("embeds", "thread_safe"), [(True, True), (False, True), (True, False)])
def test_what_was_prepared_is_what_would_have_been(embeds: bool, thread_safe: bool) -> None:
    tool = Looked(thread_safe=thread_safe)
    models, work = Models(CheapPolicy(), tool), Playing(Plain(embeds=embeds))
    prepared = work.prepare(models, TASKS)
    assert tool.looked == (KEYS if embeds and thread_safe else [])
    results = work(models, TASKS, prepared)
    assert tool.looked == KEYS
    assert [one.records for one in results] == [one.records for one in work(models, TASKS)]
    assert results[0].cost["seconds"] >= prepared.seconds / 3


def test_a_picture_that_cannot_be_looked_at_is_its_own_fault() -> None:
    models, work = Models(CheapPolicy(), Looked((KEYS[1],))), Playing(Plain())
    first, second = work(models, TASKS, work.prepare(models, TASKS))
    assert [record.get("by") for record in first.records] == ["0-0", "0-1", "0-2"]
    assert [record.get("reason") for record in second.records] == ["cannot be looked at"] * 2 + [None]
