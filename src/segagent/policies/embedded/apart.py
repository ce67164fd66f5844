"""Replies that differ in what matters: about other objects that might be meant first, then about other places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from segagent.cpu import autocast
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.perception import Percept
from segagent.policies.embedded.reading import Examined, Reading, SeenMask, decide, state_inputs
from segagent.policies.embedded.state_head import BINS, JudgedState
from segagent.policies.embedded.writing import Written, write_at, write_greedy, write_sampled

_NO_CHANCE = 0.01
"""An object that is less likely meant is not worth a reply of its own."""


def write_apart(
    network: PolicyNetwork,
    percept: Percept,
    seen: SeenMask,
    found: Examined,
    reading: Reading,
    num: int,
    apart: float,
    rng: np.random.Generator,
    temperature: float,
) -> list[Written]:
    """At most ``num`` replies, the greedy one first; see :class:`segagent.core.Diverse`."""
    written = [write_greedy(reading)]
    about = _object_of(found, written[0])
    ranked = found.objects[1:].argsort(descending=True, stable=True).tolist()
    others = [n for n in ranked if n != about and found.objects[1 + n] > _NO_CHANCE][: num - 1]
    for judged in _judged(network, percept, seen, others) if others else ():
        one = write_greedy(_alone(judged, reading))
        one = write_at(reading, int(not one.positive), one.x, one.y)
        if all(_distance(one, before) >= apart for before in written):
            written.append(one)
    while temperature and len(written) < num:
        left = _without(reading, written, apart)
        if left is None:
            break
        drawn = write_sampled(left, rng, temperature)
        written.append(write_at(reading, int(not drawn.positive), drawn.x, drawn.y))
    return written


def _object_of(found: Examined, click: Written) -> int:
    """The hypothesis that a click most likely comes from."""
    sign = int(not click.positive)
    positive = found.judged.sign.sigmoid()
    maps = found.judged.place[:, sign].flatten(1).softmax(1)[:, click.y * BINS + click.x]
    chances = found.mixture.weights * (1 - positive if sign else positive) * maps
    return found.hypotheses[int(chances.argmax())]


@torch.no_grad()
def _judged(network: PolicyNetwork, percept: Percept, seen: SeenMask, objects: list[int]) -> list[JudgedState]:
    """What there is to click if each of ``objects`` is what is meant."""
    inputs, outlines = state_inputs(percept, seen, objects)
    with autocast():
        refined = network.state.refine(inputs, outlines)
    judged = decide(network, refined, [seen] * len(objects))
    return [JudgedState(*(part[n : n + 1] for part in judged)) for n in range(len(objects))]


def _alone(judged: JudgedState, reading: Reading) -> Reading:
    """The reading as if the only hypothesis were that of ``judged``."""
    positive = float(judged.sign[0].sigmoid())
    place = judged.place[0].double().flatten(1).softmax(1).view(2, BINS, BINS).numpy()
    return replace(reading, sign=np.array((positive, 1 - positive)), place=place)


def _distance(one: Written, other: Written) -> float:
    """Between two places, as a share of the picture's sides; clicks of different signs are never near."""
    if one.positive != other.positive:
        return float("inf")
    return float(np.hypot(one.x - other.x, one.y - other.y)) / BINS


def _without(reading: Reading, written: list[Written], apart: float) -> Reading | None:
    """The reading without the places that are too near to those of ``written``; None where nothing is left."""
    y, x = np.ogrid[:BINS, :BINS]
    place = reading.place.copy()
    for one in written:
        place[int(not one.positive)][np.hypot(x - one.x, y - one.y) < max(apart * BINS, 0.5)] = 0
    left = place.sum((1, 2))
    sign = reading.sign * left
    if not sign.sum() > 1e-6:
        return None
    return replace(reading, sign=sign / sign.sum(), place=place / np.maximum(left, 1e-300)[:, None, None])
