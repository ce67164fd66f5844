"""GRPO for the embedded model: episodes of sampled clicks, each worth what it gained over the others of its group.

What learns is which object is meant (the grounding) and where to click (the state head); what sees stays as it is, and
so does the predicted IoU, which :mod:`segagent.learning.prm` or ``calibrate`` fits to the new clicks.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segagent.core import Image, InputError, SegmentationTool
from segagent.core.settings import changed_settings
from segagent.datasets import Dataset, Sample
from segagent.environment import Episode, Target, embed_images, reset, step_batch
from segagent.environment.rewards import Outcome, Reward, reward_named
from segagent.learning.policy.loop import Stage, StageBudget
from segagent.learning.rl.config import GrpoConfig
from segagent.learning.rl.replies import Look, Played, Replies, click_at, draw_clicks, look_at, replies_to
from segagent.learning.sft import TrainedModel, write_training_note
from segagent.policies.embedded.network import PolicyNetwork, load_network, save_network
from segagent.policies.embedded.perception import Percept, perceive
from segagent.policies.embedded.policy import SHIPPED, weights_file
from segagent.tools import make_tool

_SETTINGS = "settings.json"
_REMEMBERED = 48

Watch = Callable[[int, int, dict[str, float]], None]
"""Told (updates done, of how many, what was measured)."""


@dataclass(frozen=True, eq=False)
class Moves:
    """One click of each episode of a group: what was seen, clicked (n, 2), how likely that was (n,), what the model
    that training began with would have said, and what each click was worth against the others (n,).
    """

    text: Tensor
    looks: list[Look]
    tokens: Tensor
    log_prob: Tensor
    reference: Replies
    advantage: Tensor


def train_grpo(
    model: str,
    dataset: Dataset,
    out: str | Path,
    config: GrpoConfig = GrpoConfig(),  # noqa: B008 - frozen
    *,
    resume: bool = True,
    watch: Watch = lambda done, total, measured: None,
) -> TrainedModel:
    """Improve the embedded model in the folder ``model`` ("" for the shipped one) on ``dataset`` into ``out``.

    Writes ``policy.safetensors`` with its card, a checkpoint and a JSONL log; goes on where an earlier training in
    ``out`` stopped. Raises ``InputError`` for a folder begun with other settings and a data set without questions.
    """
    folder = Path(out)
    base = weights_file(model) if model else SHIPPED
    settings = {"model": model, "dataset": dataset.fingerprint, "config": config.to_dict()}
    _claim(folder, json.loads(json.dumps(settings)), resume=resume)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network, reference = load_network(base), load_network(base)
        learning = Played(network).requires_grad_(True).eval()  # Averages of activations stay as they are.
        budget = StageBudget(
            minutes=1e9, steps=config.updates, learning_rate=config.learning_rate, warmup_steps=min(10, config.updates)
        )
        stage = Stage("grpo", learning, folder, budget, resume=resume)
        tool, reward = make_tool(config.tool), reward_named(config.reward)
        samples = [sample for sample in dataset]
        if not samples:
            raise InputError(f"{dataset.spec}: holds no question")
        played = _Playing(network, reference, tool, reward, config)
        for update in stage.batches():
            rng = np.random.default_rng((config.seed, 11, update))
            chosen = rng.choice(len(samples), min(config.questions, len(samples)), replace=False)
            moves, measured = played.play([samples[int(number)] for number in chosen], rng)
            for some in chain.from_iterable(_parts(moves, rng) for _ in range(config.passes)):
                loss, learnt = _loss(network, some, config)
                stage.update(loss, **learnt)
            stage.log({**measured, "update": update})
            watch(update + 1, config.updates, measured)
        average = stage.average
        assert isinstance(average, Played)
        average.put_into(network)
    finally:
        torch.set_num_threads(threads)
    card = {"settings": settings, "seconds": round(stage.seconds, 1)}
    save_network(folder / SHIPPED.name, network.eval(), card)
    write_training_note(folder, {"kind": "grpo", "scheme": "embedded", "model": model, "dataset": dataset.spec, **card})
    return TrainedModel(f"embedded:{folder}", config.updates, len(samples), (), stage.seconds)


class _Playing:
    """Plays groups of episodes with ``network`` as it is at the time."""

    def __init__(
        self,
        network: PolicyNetwork,
        reference: PolicyNetwork,
        tool: SegmentationTool,
        reward: Reward,
        config: GrpoConfig,
    ) -> None:
        self._network, self._reference = network, reference
        self._tool, self._reward, self._config = tool, reward, config
        self._percepts: OrderedDict[str, Percept] = OrderedDict()

    @torch.no_grad()
    def play(self, samples: Sequence[Sample], rng: np.random.Generator) -> tuple[list[Moves], dict[str, float]]:
        """The moves of a group of episodes about each sample, and what was measured of them."""
        groups = [self._group(sample, rng) for sample in samples]
        spread = float(np.std(np.concatenate([worth.ravel() for _, worth, _ in groups]))) + 1e-6
        moves = []
        for steps, worth, _ in groups:
            for (text, looks, tokens, said, reference), column in zip(steps, worth.T, strict=True):
                advantage = torch.from_numpy(column / spread).float()
                moves.append(Moves(text, looks, tokens, said.of(tokens), reference, advantage))
        ious = np.stack([iou for _, _, iou in groups])
        return moves, {"first_iou": float(ious[:, :, 0].mean()), "last_iou": float(ious[:, :, -1].mean())}

    def _group(
        self, sample: Sample, rng: np.random.Generator
    ) -> tuple[list[tuple[Tensor, list[Look], Tensor, Replies, Replies]], np.ndarray, np.ndarray]:
        """The steps, what each click was worth (group, steps), and the IoU after it (group, steps)."""
        config = self._config
        image = sample.load_image()
        target = Target(*sample.load_target(image))
        percept = self._percept(image)
        text = torch.tensor([self._network.vocabulary.encode(sample.text)])
        episode = Episode(image, sample.text, sample.sample_id, sample.image_name)
        (embedding,) = embed_images(self._tool, [image])
        states = reset([episode] * config.group, [embedding] * config.group, self._tool)
        steps, rewards, ious = [], [], []
        for step in range(config.max_steps):
            # At first all see the same, and it is read once.
            same = step == 0
            looks = look_at(self._network, percept, [states[0].mask] if same else [one.mask for one in states])
            said = replies_to(self._network, text, looks)
            reference = replies_to(self._reference, text, looks)
            if same:
                looks, said, reference = (
                    looks * config.group,
                    _repeated(said, config.group),
                    _repeated(reference, config.group),
                )
            tokens = draw_clicks(said, rng)
            clicks = [click_at(token, image.height, image.width) for token in tokens.tolist()]
            before = [target.reward(one) for one in states]
            states = step_batch([(embedding, *move) for move in zip(states, clicks, strict=True)], self._tool)
            after = [target.reward(one) for one in states]
            ended = step + 1 == config.max_steps
            gained = zip(clicks, before, after, strict=True)
            rewards.append([self._reward(Outcome(click, one, two, None, None, ended)) for click, one, two in gained])
            ious.append(after)
            steps.append((text, looks, tokens, said, reference))
        # What is still to come after each click is what it is worth, beside the mean of its group.
        earned = np.array(rewards).T[:, ::-1].cumsum(1)[:, ::-1]
        return steps, earned - earned.mean(0), np.array(ious).T

    def _percept(self, image: Image) -> Percept:
        if image.key not in self._percepts:
            self._percepts[image.key] = perceive(self._network, image)
            if len(self._percepts) > _REMEMBERED:
                self._percepts.popitem(last=False)
        self._percepts.move_to_end(image.key)
        return self._percepts[image.key]


def _loss(network: PolicyNetwork, moves: Sequence[Moves], config: GrpoConfig) -> tuple[Tensor, dict[str, float]]:
    """The clipped gain of ``moves`` and the distance from the model of the beginning, as a loss."""
    gains, distances, clipped = [], [], []
    for one in moves:
        said = replies_to(network, one.text, one.looks)
        ratio = (said.of(one.tokens) - one.log_prob).exp()
        bounded = ratio.clamp(1 - config.clip, 1 + config.clip)
        gains.append(torch.minimum(ratio * one.advantage, bounded * one.advantage))
        distances.append(said.divergence(one.reference))
        clipped.append((ratio != bounded).float())
    distance = torch.cat(distances).mean()
    loss = config.kl * distance - torch.cat(gains).mean()
    return loss, {"kl": float(distance.detach()), "clipped": float(torch.cat(clipped).mean())}


def _repeated(one: Replies, times: int) -> Replies:
    return Replies(*(part.expand(times, *part.shape[1:]) for part in one))


def _parts(moves: Sequence[Moves], rng: np.random.Generator, size: int = 8) -> Iterator[list[Moves]]:
    order = iter(rng.permutation(len(moves)).tolist())
    while part := [moves[number] for number in islice(order, size)]:
        yield part


def _claim(folder: Path, settings: dict[str, object], *, resume: bool) -> None:
    """Put the settings into the folder. Raises ``InputError`` where others were begun there."""
    path = folder / _SETTINGS
    folder.mkdir(parents=True, exist_ok=True)
    if resume and path.exists():
        told = changed_settings(json.loads(path.read_text()), settings)
        if told:
            raise InputError(f"{folder}: was begun with other settings ({told}); choose another folder")
    path.write_text(json.dumps(settings))
