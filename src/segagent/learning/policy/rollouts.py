"""States the policy is trained on: of the simulated annotator, of random starts, and of the policy's own episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segagent.core import BoolMask, Click, Image, SegmentationTool, State, empty_mask, iou
from segagent.environment import random_clicks_start
from segagent.environment.annotator import next_click
from segagent.environment.mdp import step_batch
from segagent.learning.policy.train_states import MaskState, StudiedScene, made_up_mask
from segagent.policies.grounding import Words
from segagent.policies.network import PolicyNetwork
from segagent.policies.reading import Examined, conclude, examine
from segagent.policies.reply import parse_reply
from segagent.policies.state_head import BINS
from segagent.policies.writing import reply_text, write_greedy, write_sampled

_DONE = 0.95
"""The simulated annotator stops at this IoU."""


def annotator_states(
    rng: np.random.Generator,
    studied: Sequence[StudiedScene],
    numbers: Sequence[int],
    tool: SegmentationTool,
    steps: int,
) -> list[MaskState]:
    """Every mask on the simulated annotator's way to one object of each scene in ``numbers``; some ways start
    with clicks at random, or with a click on another object.
    """
    images = [Image.of(studied[n].scene.pixels) for n in numbers]
    embeddings = tool.embed(images)
    targets = [int(rng.integers(len(studied[n].scene.names))) for n in numbers]
    states = [State(empty_mask(image.height, image.width)) for image in images]
    openings: list[list[Click]] = []
    for number, target in zip(numbers, targets, strict=True):
        scene = studied[number].scene
        roll = rng.random()
        aimed = int(rng.integers(len(scene.names))) if roll < 0.2 else target
        openings.append(list(random_clicks_start(scene.mask(aimed), rng).clicks) if roll < 0.45 else [])
    found: list[MaskState] = []
    for step in range(steps):
        moves, movers = [], []
        for row, (number, target) in enumerate(zip(numbers, targets, strict=True)):
            true = studied[number].scene.mask(target)
            if step < len(openings[row]):
                click: Click | None = openings[row][step]
            elif iou(states[row].mask, true) >= _DONE:
                click = None
            else:
                clicked = [p for p in states[row].prompts if isinstance(p, Click)]
                click = next_click(states[row].mask, true, clicked)
            if click is not None:
                moves.append((embeddings[row], states[row], click))
                movers.append(row)
        for row, state in zip(movers, step_batch(moves, tool), strict=True):
            states[row] = state
            found.append(MaskState(numbers[row], targets[row], state.mask))
    return found


@dataclass(frozen=True, eq=False)
class RewardRow:
    """One state as the reward head sees it, all 1-D, and its true IoU. ``source`` says where the state came from."""

    mixed: Tensor
    region: Tensor
    sentence: Tensor
    summary: Tensor
    iou: float
    source: str


def _row(found: Examined, mask: BoolMask, true: BoolMask, source: str) -> RewardRow:
    return RewardRow(found.mixture.iou, found.region, found.sentence, found.mixture.summary, iou(mask, true), source)


@torch.no_grad()
def _words(network: PolicyNetwork, text: str) -> Words:
    words: Words = network.grounding.text(torch.tensor([network.vocabulary.encode(text)]))
    return words


def reward_rows(
    rng: np.random.Generator, network: PolicyNetwork, studied: Sequence[StudiedScene], states: Sequence[MaskState]
) -> list[RewardRow]:
    """Each state under a sentence about its target, or sometimes about another object of the scene."""
    rows = []
    for state in states:
        one = studied[state.scene]
        about = [e for e in one.scene.expressions if e.target == state.target]
        if not about or rng.random() < 0.25:
            about = list(one.scene.expressions)
        if about:
            expression = about[int(rng.integers(len(about)))]
            found = examine(network, one.percept, _words(network, expression.text), state.mask)
            rows.append(_row(found, state.mask, one.scene.mask(expression.target), "annotator"))
    return rows


def made_up_rows(
    rng: np.random.Generator, network: PolicyNetwork, studied: Sequence[StudiedScene], num: int
) -> list[RewardRow]:
    """``num`` invented masks under sentences of their scenes."""
    rows: list[RewardRow] = []
    while len(rows) < num:
        one = studied[int(rng.integers(len(studied)))]
        if one.scene.expressions:
            expression = one.scene.expressions[int(rng.integers(len(one.scene.expressions)))]
            mask = made_up_mask(rng, one.scene, expression.target)
            found = examine(network, one.percept, _words(network, expression.text), mask)
            rows.append(_row(found, mask, one.scene.mask(expression.target), "made up"))
    return rows


def own_episodes(
    rng: np.random.Generator,
    network: PolicyNetwork,
    studied: Sequence[StudiedScene],
    numbers: Sequence[int],
    tool: SegmentationTool,
    steps: int,
    sampled: float = 0.5,
) -> tuple[list[RewardRow], list[MaskState]]:
    """Roll the policy out on one sentence per scene in ``numbers``: greedily, or (a share ``sampled``) at
    temperature 1.
    """
    numbers = [n for n in numbers if studied[n].scene.expressions]
    images = [Image.of(studied[n].scene.pixels) for n in numbers]
    embeddings = tool.embed(images)
    chosen = []
    for number in numbers:
        expressions = studied[number].scene.expressions
        chosen.append(expressions[int(rng.integers(len(expressions)))])
    words = [_words(network, expression.text) for expression in chosen]
    greedy = rng.random(len(numbers)) >= sampled
    states = [State(empty_mask(image.height, image.width)) for image in images]
    rows: list[RewardRow] = []
    found: list[MaskState] = []
    for step in range(steps + 1):
        moves = []
        for index, (number, expression) in enumerate(zip(numbers, chosen, strict=True)):
            one, mask = studied[number], states[index].mask
            examined = examine(network, one.percept, words[index], mask)
            if step > 0 or rng.random() < 0.2:
                rows.append(_row(examined, mask, one.scene.mask(expression.target), "own"))
                found.append(MaskState(number, expression.target, mask))
            if step < steps:
                reading = conclude(network, examined)
                written = write_greedy(reading) if greedy[index] else write_sampled(reading, rng, 1.0)
                height, width = mask.shape
                action, _ = parse_reply(reply_text(written, height, width, BINS), height, width)
                moves.append((embeddings[index], states[index], action))
        if moves:
            states = step_batch(moves, tool)
    return rows, found
