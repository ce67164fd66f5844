"""Writing a reply token by token: [IoU] [sign] [x] [y], each drawn from its distribution given the ones before it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import Click
from segagent.policies.embedded.reading import Reading
from segagent.policies.reply import format_reply

_SMOOTHING = 1.5
"""Radius, in places, over which greedy writing adds up probability: the best spot, not the sharpest spike."""

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Written:
    """A reply as tokens. ``iou`` 0..100 percent; ``x`` and ``y`` are places 0..BINS-1. ``log_prob`` is the
    natural logarithm of the probability of sign, x and y together at temperature 1.
    """

    iou: int
    positive: bool
    x: int
    y: int
    log_prob: float


def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """softmax(logits / temperature) of a distribution given as probabilities (any shape, summing to 1)."""
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) / temperature
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum(), np.float64)


def draw(rng: np.random.Generator, probabilities: Probabilities, temperature: float) -> int:
    """One token from a distribution (n,) at a temperature above 0."""
    cumulative = np.cumsum(tempered(probabilities, temperature))
    token = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(min(token, len(probabilities) - 1))


def mean_iou(iou: Probabilities) -> int:
    """The mean of an IoU distribution (101,), rounded to whole percent."""
    return round(float(iou @ np.arange(len(iou))))


def write_greedy(reading: Reading) -> Written:
    """Temperature 0: the mean IoU, the likelier sign, the place with the most probability around it."""
    sign = int(reading.sign[1] > reading.sign[0])
    around = cv2.GaussianBlur(reading.place[sign], (0, 0), _SMOOTHING)
    y, x = divmod(int(around.argmax()), around.shape[1])
    return _written(reading, mean_iou(reading.iou), sign, x, y)


def write_sampled(
    reading: Reading, rng: np.random.Generator, temperature: float, *, iou_decoding: str = "mean"
) -> Written:
    """Draw sign, then x from the sign's marginal, then y given x; four numbers of ``rng`` are used, always.

    ``iou_decoding``: "mean" says the rounded mean of the IoU's distribution (the best estimate), "sample" draws
    it too.
    """
    drawn = draw(rng, reading.iou, temperature)
    sign = draw(rng, reading.sign, temperature)
    place = reading.place[sign]
    columns = place.sum(0)
    x = draw(rng, columns / columns.sum(), temperature)
    rows = place[:, x]
    y = draw(rng, rows / rows.sum(), temperature)
    return _written(reading, drawn if iou_decoding == "sample" else mean_iou(reading.iou), sign, x, y)


def write_at(reading: Reading, sign: int, x: int, y: int) -> Written:
    """The mean IoU, and a click of ``sign`` (0 positive) at a place."""
    return _written(reading, mean_iou(reading.iou), sign, x, y)


def _written(reading: Reading, iou: int, sign: int, x: int, y: int) -> Written:
    probability = float(reading.sign[sign]) * float(reading.place[sign, y, x])
    return Written(iou, sign == 0, x, y, float(np.log(max(probability, 1e-300))))


def reply_text(written: Written, height: int, width: int, bins: int) -> str:
    """The reply in words: places become pixels of an image of ``height`` x ``width``, the middle of each place."""
    x = min(width - 1, int((written.x + 0.5) * width / bins))
    y = min(height - 1, int((written.y + 0.5) * height / bins))
    return format_reply(Click(x, y, written.positive), written.iou / 100)
