"""The protocol of interactive segmentation: a simulated annotator clicks, how good is the mask after each click?

Only this module (and what gives the rewards) holds the target; the tool sees the picture and the clicks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from segagent.core import (
    BoolMask,
    Click,
    Image,
    SegmentationTool,
    SegmentRequest,
    empty_mask,
    iou,
)
from segagent.environment.annotator import next_click


@dataclass(frozen=True, eq=False)
class ClickTask:
    """One object to be found: the picture, its ``target`` and pixels to ``ignore``, bool (height, width)."""

    image: Image
    target: BoolMask
    ignore: BoolMask | None = None


@dataclass(frozen=True, slots=True)
class ClickCurve:
    """IoU after each click: ``ious[k]`` in [0, 1] after click ``k + 1``.

    Shorter than the limit where nothing was left to click or ``enough`` was reached; the last value then stands for
    the clicks that were not made.
    """

    ious: tuple[float, ...]

    def after(self, clicks: int) -> float:
        """IoU after ``clicks`` >= 1 clicks."""
        return self.ious[min(clicks, len(self.ious)) - 1]

    def clicks_to(self, threshold: float) -> int | None:
        """Clicks until the IoU is at least ``threshold``, or None where it never is."""
        return next((k for k, value in enumerate(self.ious, start=1) if value >= threshold), None)


@dataclass(frozen=True, slots=True)
class NumberOfClicks:
    """NoC at one threshold: the mean number of clicks, a failure counting as ``max_clicks``, and the failures."""

    threshold: float
    mean: float
    num_failures: int
    num_objects: int
    max_clicks: int


def click_curves(
    tool: SegmentationTool,
    tasks: Iterable[ClickTask],
    *,
    max_clicks: int = 20,
    batch: int = 8,
    enough: float = 1.0,
) -> Iterator[ClickCurve]:
    """The curve of every task, in order; ``batch`` tasks advance together.

    ``enough``: an object whose IoU reaches this is left as it is, to save time (thresholds above it lose meaning).
    Raises ``ValueError`` for a target without a pixel: there is nothing to click.
    """
    if max_clicks < 1 or batch < 1:
        raise ValueError(f"max_clicks and batch must be at least 1, got {max_clicks} and {batch}")
    remaining = iter(tasks)
    while together := list(islice(remaining, batch)):
        yield from _advance_together(tool, together, max_clicks, enough)


def number_of_clicks(curves: Sequence[ClickCurve], threshold: float, max_clicks: int = 20) -> NumberOfClicks:
    """NoC@``threshold`` (0.9 for NoC@90), capped at ``max_clicks``. Raises ``ValueError`` without curves."""
    if not curves:
        raise ValueError("no curves to average")
    needed = [curve.clicks_to(threshold) for curve in curves]
    capped = [max_clicks if n is None or n > max_clicks else n for n in needed]
    failures = sum(n is None or n > max_clicks for n in needed)
    return NumberOfClicks(threshold, float(np.mean(capped)), failures, len(curves), max_clicks)


def mean_iou_after(curves: Sequence[ClickCurve], clicks: int) -> float:
    """MIoU@``clicks``: the mean over objects of the IoU after that many clicks, in [0, 1]."""
    if not curves:
        raise ValueError("no curves to average")
    return float(np.mean([curve.after(clicks) for curve in curves]))


def _advance_together(
    tool: SegmentationTool, tasks: Sequence[ClickTask], max_clicks: int, enough: float
) -> list[ClickCurve]:
    for task in tasks:
        if not task.target.any():
            raise ValueError("a target without a single pixel cannot be clicked")
    embeddings = tool.embed([task.image for task in tasks])
    masks: list[BoolMask] = [empty_mask(task.image.height, task.image.width) for task in tasks]
    memories: list[object | None] = [None] * len(tasks)
    prompts: list[tuple[Click, ...]] = [()] * len(tasks)
    ious: list[list[float]] = [[] for _ in tasks]
    active = list(range(len(tasks)))
    for _ in range(max_clicks):
        clicked = []
        for i in active:
            click = next_click(masks[i], tasks[i].target, prompts[i], tasks[i].ignore)
            if click is not None:
                prompts[i] += (click,)
                clicked.append(i)
        if not clicked:
            break
        answers = tool.segment([SegmentRequest(embeddings[i], masks[i], memories[i], prompts[i]) for i in clicked])
        for i, answer in zip(clicked, answers, strict=True):
            masks[i], memories[i] = answer.mask, answer.memory
            ious[i].append(iou(answer.mask, tasks[i].target, tasks[i].ignore))
        active = [i for i in clicked if ious[i][-1] < enough]
    return [ClickCurve(tuple(values)) for values in ious]
