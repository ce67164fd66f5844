"""States the policy is trained on: of the simulated annotator, of random starts, and of the policy's own episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segagent.core import BoolMask, Click, Image, SegmentationTool, State, empty_mask, iou
from segagent.environment import random_clicks_start
from segagent.environment.annotator import next_click
from segagent.environment.mdp import step_batch
from segagent.learning.policy.train_states import MaskState, StudiedScene
from segagent.policies.embedded.grounding import Words
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.perception import Percept
from segagent.policies.embedded.reading import conclude, encoded, examine
from segagent.policies.embedded.state_head import BINS
from segagent.policies.embedded.writing import reply_text, write_greedy, write_sampled
from segagent.policies.reply import parse_reply

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
class Asked:
    """A picture as the policy perceives it, and a sentence about it."""

    image: Image
    percept: Percept
    words: Words


def own_masks(
    rng: np.random.Generator,
    network: PolicyNetwork,
    asked: Sequence[Asked],
    tool: SegmentationTool,
    steps: int,
    sampled: float = 0.5,
) -> list[list[BoolMask]]:
    """The masks of each episode of the policy from an empty mask, that included: greedy ones or (a share ``sampled``)
    at temperature 1.
    """
    embeddings = tool.embed([one.image for one in asked])
    greedy = rng.random(len(asked)) >= sampled
    states = [State(empty_mask(one.image.height, one.image.width)) for one in asked]
    masks = [[state.mask] for state in states]
    for _ in range(steps):
        moves = []
        for index, one in enumerate(asked):
            reading = conclude(network, examine(network, one.percept, one.words, states[index].mask))
            written = write_greedy(reading) if greedy[index] else write_sampled(reading, rng, 1.0)
            height, width = states[index].mask.shape
            action, _ = parse_reply(reply_text(written, height, width, BINS), height, width)
            moves.append((embeddings[index], states[index], action))
        if moves:
            states = step_batch(moves, tool)
        for made, state in zip(masks, states, strict=True):
            made.append(state.mask)
    return masks


def own_episodes(
    rng: np.random.Generator,
    network: PolicyNetwork,
    studied: Sequence[StudiedScene],
    numbers: Sequence[int],
    tool: SegmentationTool,
    steps: int,
) -> list[MaskState]:
    """The states of the policy's episodes on one sentence per scene in ``numbers``; a fifth of the starts is kept."""
    numbers = [n for n in numbers if studied[n].scene.expressions]
    chosen = []
    for number in numbers:
        expressions = studied[number].scene.expressions
        chosen.append(expressions[int(rng.integers(len(expressions)))])
    asked = [
        Asked(Image.of(studied[n].scene.pixels), studied[n].percept, encoded(network, expression.text))
        for n, expression in zip(numbers, chosen, strict=True)
    ]
    return [
        MaskState(number, expression.target, mask)
        for number, expression, masks in zip(numbers, chosen, own_masks(rng, network, asked, tool, steps), strict=True)
        for step, mask in enumerate(masks)
        if step > 0 or rng.random() < 0.2
    ]
