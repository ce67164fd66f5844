"""The trajectory and prediction files of the published SegAgent project, to and from our :class:`Trajectory`.

Its points are ``[y, x]`` in pixels, ours ``x, y``. Trajectory file: ``{"data": [{image_name, height, width, gt_ann:
{object_id, caption (a list), segmentation (RLE), bbox, area}, clicks_list: [{idx, coor, is_positive, mask (RLE), box,
area, iou}]}]}``. Prediction file: ``[{img_path, height, width, caption, gt_mask (RLE), pred_list: [{click_id, clicks:
{is_positive, coords}, used_box, mask (RLE after the click), outputs (raw text)}]}]``, and ``masks`` (null) and
``click_id`` (0), without which its evaluation stops; the predicted IoU in ``outputs`` speaks of the mask *before* its
click. (https://github.com/aim-uofa/SegAgent, its ``evaltools`` and ``tools``.)

What the files cannot say is lost on the way out: predicted IoUs and raw replies (trajectory file), the predicted IoU of
the last mask (prediction file), undone clicks and branches, costs. An episode with a box or a start of its own has no
place in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segagent.core import (
    Action,
    BoolMask,
    Box,
    Click,
    Finish,
    InputError,
    InvalidAction,
    Rle,
    Start,
    Step,
    Trajectory,
    empty_mask,
    encode_rle,
    iou,
)
from segagent.core.texts import read_json
from segagent.datasets.coco_masks import decode_segmentation
from segagent.datasets.listed import length_of, objects_of, text_of, told
from segagent.datasets.published_replies import entry_taken, read_predicted_iou, with_predicted_iou
from segagent.imaging import whole_file, write_bytes

_WANTED = "expected a file of the published SegAgent project"


@dataclass(frozen=True, slots=True)
class PublishedEpisode:
    """An episode and the true mask (RLE), which the published files keep together."""

    trajectory: Trajectory
    target: Rle


def read_published_trajectories(path: str | Path) -> Iterator[PublishedEpisode]:
    """Every object and caption of a trajectory file. Raises ``InputError`` naming file and entry."""
    file = Path(path)
    data = read_json(file, _WANTED)
    if not isinstance(data, dict):
        raise InputError(f"{file}: expected an object with a list 'data', got {type(data).__name__}")
    for number, entry in enumerate(objects_of(data.get("data"), f"{file}, data")):
        where = f"{file}, data[{number}]"
        height, width = length_of(entry, "height", where), length_of(entry, "width", where)
        truth = entry.get("gt_ann")
        if not isinstance(truth, dict):
            raise InputError(f"{where}: 'gt_ann' must be an object, got {told(truth)}")
        target = _mask(truth.get("segmentation"), height, width, f"{where}, gt_ann")
        steps: list[Step] = []
        for index, click in enumerate(objects_of(entry.get("clicks_list"), f"{where}, clicks_list")):
            place = f"{where}, clicks_list[{index}]"
            mask = _mask(click.get("mask"), height, width, place)
            action = _click(click.get("coor"), click.get("is_positive"), height, width, place)
            steps.append(Step(action, "", encode_rle(mask), index, reward=iou(mask, target)))
        captions = truth.get("caption")
        captions = [captions] if isinstance(captions, str) else captions
        if not isinstance(captions, list) or not captions:
            raise InputError(f"{where}: 'caption' must be a list of sentences, got {told(captions)}")
        for count, caption in enumerate(captions):
            text = text_of({"caption": caption}, "caption", where)
            name = text_of(entry, "image_name", where)
            sample_id = f"{number}-{count}"
            yield _episode(sample_id, name, text, height, width, target, steps, None, len(steps))


def write_published_trajectories(path: str | Path, episodes: Iterable[PublishedEpisode]) -> None:
    """A trajectory file, an entry per episode: the clicks that led to the returned mask.

    Takes one at a time. Raises ``InputError`` for one that has no place in it (see the module), or an unwritable file.
    """
    with whole_file(path) as file:
        file.write(b'{"data": [')
        for number, episode in enumerate(episodes):
            file.write(b", " * bool(number) + json.dumps(_trajectory_entry(number, episode)).encode("ascii"))
        file.write(b"]}")


def _trajectory_entry(number: int, episode: PublishedEpisode) -> dict[str, Any]:
    trajectory = episode.trajectory
    target = decode_segmentation(dict(episode.target), trajectory.height, trajectory.width)
    clicks = []
    for index, step in enumerate(_linear(trajectory, trajectory.returned)):
        action, mask = _only_click(step.action, trajectory), trajectory_mask(step, trajectory)
        clicks.append(
            {
                "idx": index,
                "coor": [action.y, action.x],
                "is_positive": action.positive,
                "mask": step.mask,
                "box": _box(mask),
                "area": int(mask.sum()),
                "iou": iou(mask, target),
            }
        )
    return {
        "image_name": trajectory.image,
        "height": trajectory.height,
        "width": trajectory.width,
        "gt_ann": {
            "object_id": number,
            "caption": [trajectory.text],
            "segmentation": episode.target,
            "bbox": _box(target),
            "area": int(target.sum()),
        },
        "clicks_list": clicks,
    }


def read_published_predictions(path: str | Path) -> Iterator[PublishedEpisode]:
    """Every prediction of a file; ``returned`` is the state that the published evaluation takes.

    That is the mask before the entry with the largest predicted IoU, the first entry's own where it is the first or
    where a reply names no IoU. IoUs above 1 are percent. Raises ``InputError`` naming file and entry.
    """
    file = Path(path)
    data = read_json(file, _WANTED)
    for number, entry in enumerate(objects_of(data, str(file))):
        where = f"{file}, [{number}]"
        height, width = length_of(entry, "height", where), length_of(entry, "width", where)
        target = _mask(entry.get("gt_mask"), height, width, f"{where}, gt_mask")
        captions = entry.get("caption")
        caption = captions[0] if isinstance(captions, list) and captions else captions
        text = text_of({"caption": caption}, "caption", where)
        entries = objects_of(entry.get("pred_list"), f"{where}, pred_list")
        scores = [read_predicted_iou(one.get("outputs"), f"{where}, pred_list[{i}]") for i, one in enumerate(entries)]
        steps: list[Step] = []
        for index, one in enumerate(entries):
            place = f"{where}, pred_list[{index}]"
            mask = _mask(one.get("mask"), height, width, place)
            action = _predicted_action(one, height, width, place)
            later = scores[index + 1] if index + 1 < len(scores) else None
            invalid = action.reason if isinstance(action, InvalidAction) else None
            steps.append(
                Step(
                    action,
                    one.get("outputs") or "",
                    encode_rle(mask),
                    index,
                    predicted_iou=later,
                    reward=iou(mask, target),
                    invalid=invalid,
                )
            )
        returned = min(1 + entry_taken([one.get("outputs") for one in entries], scores), len(steps))
        image = text_of(entry, "img_path", where)
        first = scores[0] if scores else None
        yield _episode(str(number), image, text, height, width, target, steps, first, returned)


def write_published_predictions(path: str | Path, episodes: Iterable[PublishedEpisode]) -> None:
    """A prediction file, all steps of each episode. Raises ``InputError`` as :func:`write_published_trajectories`."""
    data = []
    for episode in episodes:
        trajectory = episode.trajectory
        entries = []
        for index, step in enumerate(_linear(trajectory, len(trajectory.steps))):
            action = _only_click(step.action, trajectory)
            sign = "Positive" if action.positive else "Negative"
            text = step.text or f"{sign} point: ({action.x}, {action.y})"
            entries.append(
                {
                    "click_id": index,
                    "clicks": {"is_positive": action.positive, "coords": [action.y, action.x]},
                    "used_box": None,
                    "mask": step.mask,
                    "outputs": with_predicted_iou(text, trajectory.predicted_iou_at(step.parent)),
                }
            )
        data.append(
            {
                "img_path": trajectory.image,
                "height": trajectory.height,
                "width": trajectory.width,
                "caption": [trajectory.text],
                "masks": None,
                "click_id": 0,
                "gt_mask": episode.target,
                "pred_list": entries,
            }
        )
    write_bytes(path, json.dumps(data).encode("ascii"))


def trajectory_mask(step: Step, trajectory: Trajectory) -> BoolMask:
    """The mask after a step, bool (height, width)."""
    return decode_segmentation(dict(step.mask), trajectory.height, trajectory.width)


def _episode(
    sample_id: str,
    image: str,
    text: str,
    height: int,
    width: int,
    target: BoolMask,
    steps: list[Step],
    first: float | None,
    returned: int,
) -> PublishedEpisode:
    nothing = empty_mask(height, width)
    start = Start("empty", encode_rle(nothing), predicted_iou=first, reward=iou(nothing, target))
    trajectory = Trajectory(
        sample_id, image, height, width, text, "published", "published", 0, start, tuple(steps), returned, "published"
    )
    return PublishedEpisode(trajectory, encode_rle(target))


def _mask(value: Any, height: int, width: int, where: str) -> BoolMask:
    if value is None:
        return empty_mask(height, width)
    try:
        return decode_segmentation(value, height, width)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _click(coordinates: Any, positive: Any, height: int, width: int, where: str) -> Click:
    if not isinstance(positive, bool | int) or positive not in (0, 1):
        raise InputError(f"{where}: 'is_positive' must be true or false, got {told(positive)}")
    if not isinstance(coordinates, list) or len(coordinates) != 2 or not all(map(_is_pixel, coordinates)):
        raise InputError(f"{where}: expected [y, x] in whole pixels, got {told(coordinates)}")
    click = Click(int(coordinates[1]), int(coordinates[0]), bool(positive))
    if not click.inside(height, width):
        raise InputError(f"{where}: [y, x] = {told(coordinates)} lies outside the image of {height} x {width}")
    return click


def _is_pixel(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _predicted_action(entry: dict[str, Any], height: int, width: int, where: str) -> Action:
    clicks, box, outputs = entry.get("clicks"), entry.get("used_box"), entry.get("outputs")
    if isinstance(clicks, dict):
        return _click(clicks.get("coords"), clicks.get("is_positive"), height, width, where)
    if isinstance(box, list) and len(box) == 4 and all(type(n) in {int, float} and abs(n) < 1e6 for n in box):
        drawn = Box(*(round(n) for n in box))
        if drawn.inside(height, width):
            return drawn
    if clicks is not None:
        raise InputError(f"{where}: 'clicks' must be an object with is_positive and coords, got {told(clicks)}")
    return InvalidAction(outputs or "", "the published file holds no click here")


def _linear(trajectory: Trajectory, state: int) -> list[Step]:
    """The steps that lead to a state; ``Finish`` has no entry in the published files."""
    if trajectory.start.kind != "empty":
        raise InputError(f"episode {trajectory.sample_id}: starts from a {trajectory.start.kind}, not from nothing")
    steps = [trajectory.steps[index - 1] for index in trajectory.path_to(state)]
    return [step for step in steps if not isinstance(step.action, Finish)]


def _only_click(action: Action, trajectory: Trajectory) -> Click:
    if not isinstance(action, Click):
        raise InputError(
            f"episode {trajectory.sample_id}: holds a {type(action).__name__}; the published files have clicks only"
        )
    return action


def _box(mask: BoolMask) -> list[int]:
    """[x, y, width, height] in pixels, as COCO has it; all 0 for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
