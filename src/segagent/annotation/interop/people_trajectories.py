"""What people clicked in a run's objects, as trajectories: training data with the tool that really answered.

Nothing is played again: the mask after each click stands in the record. A trajectory is a stretch of one person's
clicks, the mask before it its start, and its rewards are the IoU with the mask that this person came to in the end.
What was undone is not in it. A stroke or a polygon is no action that a policy could take, and a click that did not help
is not to be learnt: there a stretch ends, and the next begins with the mask after it. Where somebody has mended a mask
without any click, a trajectory without steps tells what the mask before was worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segagent.annotation.batch import Run
from segagent.annotation.interop.answers import Answers, ImageAnswers
from segagent.annotation.people import Event, LeftObject
from segagent.core import Action, Box, Click, InputError, Rle, Start, Step, Trajectory, empty_mask, encode_rle
from segagent.core.rle import rle_areas, rle_iou
from segagent.core.versions import package_versions
from segagent.datasets import FolderDataset
from segagent.environment import GenerationConfig
from segagent.environment.seeds import episode_seed
from segagent.runs.journal import Journal

RULES = GenerationConfig()
"""By which a mask is taken for finished."""


def taught(answers: Answers) -> Iterator[ImageAnswers]:
    """The objects whose masks people have made, image by image."""
    for image in answers.by_image():
        found = [
            one for one in image.answers if one.outcome in ("corrected", "added") and one.facts["made_by"] == "person"
        ]
        found = [one for one in found if one.facts.get("verdict") != "wrong"]
        if found:
            yield ImageAnswers(image.image, image.size, found)


def write_people_trajectories(
    run: Run, left: Mapping[str, LeftObject], dataset: FolderDataset, spec: str, path: Path
) -> int:
    """Write the trajectories of the objects of ``dataset``, whose masks are people's, to a journal; gives their number.

    ``left``: these objects by id. ``spec``: where the data set will be found. ``segagent train sft`` reads the file.
    """
    tool: dict[str, Any] = {name: run.config[name] for name in ("tool", "tool_answers") if name in run.config}
    settings = {"what": "corrections", "dataset": dataset.fingerprint, **tool, **asdict(RULES)}
    num = 0
    with Journal(path, settings, {"dataset": spec, "versions": package_versions()}) as journal:
        for group in dataset.groups():
            records: list[dict[str, Any]] = []
            for sample in group.samples():
                one = left[sample.sample_id]
                made = trajectories_of(one, sample.image_name, sample.text, str(run.config.get("tool", "")))
                records += [trajectory.to_dict() for trajectory in made]
            num += len(records)
            journal.append(journal.next_unit, records)
    return num


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A mask that somebody came to, and the one before."""

    event: Event
    before: Rle
    after: Rle


def trajectories_of(one: LeftObject, image: str, text: str, tool: str) -> list[Trajectory]:
    """The trajectories of an object with a person's mask. ``tool``: the run's, where nobody has clicked."""
    if one.standing is None or one.size is None:
        raise InputError(f"object {one.object_id!r:.80}: nobody has drawn a mask of it")
    empty = encode_rle(empty_mask(*one.size))
    begun = one.answer or empty
    drawn: list[_Drawn] = []
    for moment in one.standing.moments[1 : one.standing.place + 1]:
        before = drawn[-1].after if drawn else begun
        if moment.drawn is not None and moment.drawn.kind == "box":
            before = empty  # Who draws a box means what is in it: the tool begins anew.
        if moment.drawn is not None and moment.mask is not None and moment.drawn.number == moment.number:
            drawn.append(_Drawn(moment.drawn, before, moment.mask))
    final = {step.event.by: step.after for step in drawn if not _is_policys(step.event)}
    height, width = one.size
    made = []
    for steps, start in _stretches(drawn, final) or [([], begun)]:
        event = steps[0].event if steps else None
        end = final[event.by] if event is not None else one.rle
        assert end is not None
        rewards = rle_iou([start, *(step.after for step in steps)], [end] * (len(steps) + 1)).tolist()
        made.append(
            Trajectory(
                sample_id=one.object_id,
                image=image,
                height=height,
                width=width,
                text=text,
                policy="person",
                tool=event.tool or tool if event is not None else tool,
                seed=episode_seed(0, one.object_id),
                start=Start("mask" if rle_areas([start])[0] else "empty", start, rewards[0], rewards[0]),
                steps=tuple(
                    Step(_action(step.event), "", step.after, place, predicted_iou=reward, reward=reward)
                    for place, (step, reward) in enumerate(zip(steps, rewards[1:], strict=True))
                ),
                returned=len(steps),
                stopped="tau_stop" if rewards[-1] >= RULES.tau_stop else "person",
                num_tool_calls=len(steps),
            )
        )
    return made


def _stretches(drawn: Sequence[_Drawn], final: Mapping[str | None, Rle]) -> list[tuple[list[_Drawn], Rle]]:
    """One person's clicks in a row that each came nearer to that person's mask, with the mask before them."""
    found: list[tuple[list[_Drawn], Rle]] = []
    open_one: list[_Drawn] = []
    for step in drawn:
        last = open_one[-1].event if open_one else None
        if last is None or (last.by, last.tool) != (step.event.by, step.event.tool) or step.event.kind == "box":
            open_one = []
        if step.event.kind not in ("click", "box") or not _helps(step, final[step.event.by]):
            open_one = []
            continue
        if not open_one:
            found.append((open_one, step.before))
        open_one.append(step)
    return found


def _helps(step: _Drawn, final: Rle) -> bool:
    before, after = rle_iou([step.before, step.after], [final, final]).tolist()
    return not RULES.discards(after - before)


def _is_policys(event: Event) -> bool:
    return event.kind in ("agent", "take") or (event.kind == "added" and event.policy is not None)


def _action(event: Event) -> Action:
    did = event.did
    try:
        if event.kind == "box":
            x0, y0, x1, y1 = did["box"]
            return Box(int(x0), int(y0), int(x1) + 1, int(y1) + 1)  # The record's boxes include their ends.
        return Click(int(did["x"]), int(did["y"]), bool(did["positive"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"event {event.number} of people.jsonl: a {event.kind} without its place ({error})") from error
