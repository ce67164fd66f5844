"""Examples that keep a model able to stop: masks spoiled on purpose, whose error is pointed at, and that are judged.

Trained on clicks alone, a policy sees few masks that are good enough, and those mostly at the end of long episodes
(SAM-Veteran, ICLR 2026, reports the same). So of a true mask some are made that are wrong, and as many that are as good
as is asked for; each is shown with two questions: what to do next, and whether it is good enough.
"""

from __future__ import annotations

import cv2
import numpy as np

from segagent.core import Action, BoolMask, Click, Finish, encode_rle, iou
from segagent.datasets import Sample
from segagent.datasets.faults import degraded
from segagent.environment import Target, next_click
from segagent.learning.examples import Asks, Example

_QUESTIONS: tuple[Asks, Asks] = ("action", "good")


def auxiliary_examples(sample: Sample, target: Target, number: int, tau_stop: float, seed: int) -> list[Example]:
    """``number`` spoiled masks of a sample and as many good enough ones, two examples each; none without an object.

    A mask whose IoU reaches ``tau_stop`` is good enough: ``Finish`` and yes. Else the click of the simulated annotator,
    in the largest error, and no. Good ones are the true mask and masks that are off at their edge by what ``tau_stop``
    allows. ``seed`` decides everything.
    """
    if not target.mask.any():
        return []
    rng = np.random.default_rng([seed, 17])
    made: list[Example] = []
    for _ in range(number):
        for mask in (degraded(target.mask, rng, target.ignore), _good_enough(target, tau_stop, rng)):
            reached = iou(mask, target.mask, target.ignore)
            click = None if reached >= tau_stop else next_click(mask, target.mask, (), target.ignore)
            action: Action = Finish() if click is None else click
            made += [_example(sample, mask, reached, action, asks) for asks in _QUESTIONS]
    return made


def _good_enough(target: Target, tau_stop: float, rng: np.random.Generator) -> BoolMask:
    """A mask that reaches ``tau_stop``: some pixels at one place of the edge are missing, or too many."""
    solid = target.mask.astype(np.uint8)
    add = bool(rng.random() < 0.5)
    changed = cv2.dilate(solid, np.ones((3, 3), np.uint8)) if add else cv2.erode(solid, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(changed != solid)
    area = int(target.mask.sum())
    most = int(area * (1 / tau_stop - 1)) if add and tau_stop else int(area * (1 - tau_stop))
    wrong = min(int(rng.integers(0, most + 1)), rows.size)
    mask = target.mask.copy()
    if wrong:
        at = int(rng.integers(rows.size))
        near = np.argsort(np.hypot(rows - rows[at], columns - columns[at]), kind="stable")[:wrong]
        mask[rows[near], columns[near]] = add
    return mask if iou(mask, target.mask, target.ignore) >= tau_stop else target.mask


def _example(sample: Sample, mask: BoolMask, reached: float, action: Action, asks: Asks) -> Example:
    assert isinstance(action, Click | Finish)
    about = sample.sample_id, sample.image_name, sample.text
    return Example(*about, encode_rle(mask), reached, action, "annotator", asks)
