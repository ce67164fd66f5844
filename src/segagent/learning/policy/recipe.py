"""The embedded policy's training from nothing: scenes, five stages, rounds of own episodes, weights."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from segagent.core import SegmentationTool
from segagent.datasets.scenes import GENERATOR_VERSION, vocabulary
from segagent.datasets.scenes.model import Split
from segagent.learning.policy.config import PolicyTraining
from segagent.learning.policy.loop import StageBudget, load_average
from segagent.learning.policy.rollouts import (
    RewardRow,
    annotator_states,
    made_up_rows,
    own_episodes,
    reward_rows,
)
from segagent.learning.policy.scene_store import SHARD, SceneStore, write_shard
from segagent.learning.policy.train_detector import train_detector
from segagent.learning.policy.train_grounding import (
    PerceivedScene,
    grounding_accuracy,
    perceive_scene,
    train_grounding,
)
from segagent.learning.policy.train_objects import NUM_CLASSES, FoundObjects, found_objects, train_objects
from segagent.learning.policy.train_reward import reward_quality, train_reward
from segagent.learning.policy.train_states import MaskState, StudiedScene, train_states
from segagent.policies.network import Architecture, PolicyNetwork, save_network
from segagent.policies.objects import ObjectEncoder
from segagent.policies.perception import perceive
from segagent.policies.state_head import RewardHead
from segagent.tools import make_tool

_FIRST = {"scenes": 0, "grounding": 100_000, "states": 200_000}
"""Which numbers of the train split each purpose uses: no picture serves two."""
_GROUP = 40

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainedPolicy:
    """What training came to: the weights file and what was measured on held-out scenes of the val split."""

    weights: Path
    measured: dict[str, float]
    seconds: float


def train_policy(
    config: PolicyTraining, out: Path, *, resume: bool = True, report: Report | None = None
) -> TrainedPolicy:
    """Train the embedded policy in the folder ``out``; every stage leaves a checkpoint and a JSONL log there.

    Writes ``policy.safetensors`` and ``policy.json``. With ``resume`` finished stages are skipped and an
    interrupted one goes on. ``report`` is told what begins. Pictures come from the train split alone; the val
    split only measures.
    """
    began = time.perf_counter()
    say = report or (lambda _: None)
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    say("drawing scenes")
    stores = {
        "scenes": draw_scenes(out, "scenes", "train", _FIRST["scenes"], config.scenes),
        "grounding": draw_scenes(out, "grounding", "train", _FIRST["grounding"], config.grounding_scenes),
        "states": draw_scenes(out, "states", "train", _FIRST["states"], config.state_scenes),
        "held out": draw_scenes(out, "held_out", "val", 0, config.held_out_scenes),
    }
    network = new_network()
    say("stage 1: finding objects")
    detector = train_detector(
        out,
        stores["scenes"],
        _budget(config, config.detector_share),
        config.seed,
        resume=resume,
        batch_scale=config.batch_scale,
    )
    network.detector.load_state_dict(detector.state_dict())
    say("stage 2: naming objects")
    encoder = name_objects(config, out, network, stores["scenes"], resume=resume)
    network.encoder.load_state_dict(encoder.state_dict())
    network.eval()
    say("stage 3: which object a sentence means")
    scenes = perceive_all(network, stores["grounding"], config.grounding_scenes)
    held_out = perceive_all(network, stores["held out"], config.held_out_scenes)
    grounding_budget = _budget(config, config.grounding_share, learning_rate=1e-3)
    grounding = train_grounding(
        out,
        scenes,
        held_out,
        network.vocabulary,
        grounding_budget,
        config.seed,
        resume=resume,
        batch_scale=config.batch_scale,
    )
    network.grounding.load_state_dict(grounding.state_dict())
    network.eval()
    measured = {
        f"grounding_{kind}": value
        for kind, value in grounding_accuracy(network.grounding, held_out, network.vocabulary).items()
    }
    say("stages 4 and 5: states, place, predicted IoU")
    tool = make_tool(config.tool)
    measured |= train_episodes(config, out, network, stores["states"], tool, say, resume=resume)
    weights = out / "policy.safetensors"
    save_network(weights, network, card(config, measured))
    return TrainedPolicy(weights, measured, time.perf_counter() - began)


def name_objects(
    config: PolicyTraining, out: Path, network: PolicyNetwork, store: SceneStore, *, resume: bool
) -> ObjectEncoder:
    """Stage 2: first on true outlines made imperfect, then also on the outlines that ``network``'s detector draws."""
    found: FoundObjects | None = None
    encoder = network.encoder
    for share in (config.objects_share * 0.75, config.objects_share):
        encoder = train_objects(
            out,
            store,
            _budget(config, share),
            config.seed,
            resume=resume or found is not None,
            found=found,
            batch_scale=config.batch_scale,
        )
        if found is None:
            scenes = (store[i] for i in range(min(config.outlined_scenes, len(store))))
            found = found_objects(network.detector.eval(), network.encoder.eval(), scenes)
    return encoder


def new_network() -> PolicyNetwork:
    """An untrained network for the generated scenes' words and attributes."""
    return PolicyNetwork(Architecture(vocabulary(), NUM_CLASSES)).eval()


def card(config: PolicyTraining, measured: dict[str, float]) -> dict[str, object]:
    """What the weights' JSON file says about how they came to be."""
    return {
        "data": f"{GENERATOR_VERSION}, train split",
        "command": f"segagent train-embedded policy --minutes {config.minutes:g} --seed {config.seed}",
        "config": asdict(config),
        "measured_on": "val split",
        "measured": measured,
    }


def draw_scenes(out: Path, name: str, split: Split, first: int, count: int) -> SceneStore:
    """At least ``count`` scenes of a split on disk, from number ``first`` on."""
    folder = out / name
    for start in range(first, first + count, SHARD):
        write_shard(folder, split, start, min(SHARD, count))
    return SceneStore(folder, split)


def _budget(config: PolicyTraining, share: float, learning_rate: float = 2e-3) -> StageBudget:
    steps = 10**9 if config.steps is None else config.steps
    return StageBudget(minutes=config.minutes * share, steps=steps, learning_rate=learning_rate)


def perceive_all(network: PolicyNetwork, store: SceneStore, limit: int) -> list[PerceivedScene]:
    """The first ``limit`` scenes of a store as the detector and object encoder see them."""
    return [perceive_scene(network.detector, network.encoder, store[i]) for i in range(min(limit, len(store)))]


def study(network: PolicyNetwork, store: SceneStore, limit: int) -> list[StudiedScene]:
    """The first ``limit`` scenes of a store with their percepts."""
    return [
        StudiedScene.of(scene, perceive(network.detector, network.encoder, scene.pixels))
        for scene in (store[i] for i in range(min(limit, len(store))))
    ]


def train_episodes(
    config: PolicyTraining,
    out: Path,
    network: PolicyNetwork,
    store: SceneStore,
    tool: SegmentationTool,
    say: Report,
    *,
    resume: bool,
) -> dict[str, float]:
    """Stages 4 and 5: in each round collect states, train the state head on all so far, then the reward head.

    The reward head's rows are made anew each round, since they depend on the state head. A tenth of the scenes
    measures.
    """
    studied = study(network, store, config.state_scenes)
    cut = max(1, len(studied) // 10)
    rng = np.random.default_rng((config.seed, 6))
    states: list[MaskState] = []
    numbers = [int(n) for n in rng.permutation(np.arange(cut, len(studied)))]
    for group in _groups(numbers[: config.episodes]):
        states += annotator_states(rng, studied, group, tool, config.episode_steps)
    rows: list[RewardRow] = []
    for number in range(1, config.rounds + 1):
        share = config.states_share * number / config.rounds
        head = train_states(
            out,
            studied[cut:],
            _shifted(states, cut),
            _budget(config, share),
            config.seed,
            made_up=0.4,
            resume=resume or number > 1,
            batch_scale=config.batch_scale,
        )
        network.state.load_state_dict(head.state_dict())
        network.eval()
        say(f"round {number}: own episodes")
        chosen = [int(n) for n in rng.choice(np.arange(cut, len(studied)), config.episodes)]
        rows = []
        for group in _groups(chosen):
            more, seen = own_episodes(rng, network, studied, group, tool, config.episode_steps)
            rows += more
            states += seen
    rows += reward_rows(rng, network, studied, [states[int(i)] for i in rng.integers(0, len(states), len(rows) // 3)])
    rows += made_up_rows(rng, network, studied[cut:], len(rows) // 4)
    held_out: list[RewardRow] = []
    for group in _groups(list(range(cut))):
        held_out += own_episodes(rng, network, studied, group, tool, config.episode_steps)[0]
    reward = train_reward(out, rows, held_out, _budget(config, config.reward_share, 5e-4), config.seed, resume=resume)
    quality = reward_quality(reward, held_out)
    # The mixture alone is a good estimate already: a correction is kept only where it helps on pictures not trained on.
    if quality["mae"] < quality["mixed_mae"]:
        network.reward.load_state_dict(reward.state_dict())
    else:
        network.reward = RewardHead()
    network.eval()
    quality = reward_quality(network.reward, held_out)
    (out / "reward_quality.json").write_text(json.dumps(quality) + "\n")
    return {f"predicted_iou_{name}": value for name, value in quality.items()}


def _groups(numbers: Sequence[int]) -> list[Sequence[int]]:
    return [numbers[i : i + _GROUP] for i in range(0, len(numbers), _GROUP)]


def _shifted(states: Sequence[MaskState], cut: int) -> list[MaskState]:
    """The states with scene numbers counted from ``cut``."""
    return [MaskState(state.scene - cut, state.target, state.mask) for state in states]


def load_stages(out: Path, network: PolicyNetwork, names: Sequence[str]) -> None:
    """Put finished stages' averaged weights into ``network``; names of stages as in their checkpoint files."""
    parts = {
        "detector": network.detector,
        "objects": network.encoder,
        "grounding": network.grounding,
        "states": network.state,
        "reward": network.reward,
    }
    for name in names:
        load_average(out, name, parts[name])
    network.eval()
