"""The embedded policy's training as one recipe: five stages, rounds of own episodes, weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from segagent.core import Image, InputError, SegmentationTool
from segagent.core.texts import read_json
from segagent.cpu import precision, usable_device
from segagent.datasets.scenes import GENERATOR_VERSION
from segagent.learning.photographs.said import read_said
from segagent.learning.policy.classes import architecture
from segagent.learning.policy.config import PolicyTraining
from segagent.learning.policy.perception_recipe import Say, draw_scenes, stage_budget, train_kinds, train_perception
from segagent.learning.policy.prm_recipe import train_prm
from segagent.learning.policy.rollouts import annotator_states, own_episodes
from segagent.learning.policy.scene_store import SceneStore
from segagent.learning.policy.train_states import MaskState, StudiedScene, train_states
from segagent.learning.policy.warm_start import grown
from segagent.policies.embedded.network import PolicyNetwork, load_network, save_network
from segagent.policies.embedded.perception import perceive
from segagent.policies.embedded.redrawing import Redrawer, click_network_beside
from segagent.tools import make_tool
from segagent.vision.click_weights import load_network as load_click_network
from segagent.vision.sight import Sight, sight_for_training

_FIRST_STATE, _FIRST_PRM = 200_000, 300_000
"""From which number of the train split on scenes serve for episodes and, further on, for the process
reward model; the perception uses lower ones."""
_PHOTO_DATA = ", and photographs with cut-outs of them pasted (ids that are multiples of 10 held out)"
_GROUP = 40


@dataclass(frozen=True, slots=True)
class TrainedPolicy:
    """What training came to: the weights file and what was measured on held-out scenes of the val split."""

    weights: Path
    measured: dict[str, float]
    seconds: float


def train_policy(config: PolicyTraining, out: Path, *, resume: bool = True, report: Say | None = None) -> TrainedPolicy:
    """Train the embedded policy in the folder ``out``; every stage leaves a checkpoint and a JSONL log there.

    Writes ``policy.safetensors`` and ``policy.json``. With ``resume`` finished stages are skipped and an
    interrupted one goes on. ``report`` is called with what begins. Pictures come from the train split and the training
    photographs alone; the val split and the held-out photographs only measure.
    """
    began = time.perf_counter()
    say = report or (lambda _: None)
    usable_device(config.device)
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    if config.nouns_only:
        return _with_kinds(config, out, say, began)
    network = starting_network(config, out)
    measured = {} if config.prm_only else train_perception(config, out, network, say, resume=resume)
    # Only now: what words and looks are learnt from is drawn quickly, and better outlines are no harder to read.
    if not config.prm_only:
        network.redrawer = _redrawer(config, network.sight, out)
    if not config.perception_only:
        tool = make_tool(config.tool)
        if not config.prm_only:
            say("stage 4: states, place")
            store = draw_scenes(out, "states", "train", _FIRST_STATE, config.state_scenes)
            train_episodes(config, out, network, store, tool, say, resume=resume)
        measured |= train_prm(config, out, network, tool, _FIRST_PRM, say, resume=resume)
    weights = out / "policy.safetensors"
    save_network(weights, network, card(config, measured))
    return TrainedPolicy(weights, measured, time.perf_counter() - began)


def _with_kinds(config: PolicyTraining, out: Path, say: Say, began: float) -> TrainedPolicy:
    """The weights to start from with ImageNet's kinds of things; all other parts stay what they are."""
    assert config.start is not None
    network = load_network(config.start)
    published = sight_for_training(config.encoder, out)
    if network.sight is None or network.sight.fingerprint != published.fingerprint:
        raise InputError(f"{config.start} does not see with the encoder of {config.encoder}, so its kinds mean nothing")
    measured = train_kinds(config, network, say)
    was = read_json(config.start.with_suffix(".json")).get("card", {})
    weights = out / "policy.safetensors"
    save_network(weights, network, {**was, "kinds": {"command": _command(config), "measured": measured}})
    return TrainedPolicy(weights, measured, time.perf_counter() - began)


def starting_network(config: PolicyTraining, out: Path) -> PolicyNetwork:
    """An untrained network, or the one to start from made larger where photographs need more words and categories."""
    torch.manual_seed(config.seed)
    old = None if config.start is None else load_network(config.start)
    wanted = architecture(photographs=bool(config.photographs))
    taught = None if config.prm_only else config.expressions
    said = () if taught is None else read_said(taught).words(wanted.words)
    known = () if old is None else old.architecture.words
    wanted = architecture(photographs=bool(config.photographs), words=(*said, *known))
    sight = _sight(config, old, out)
    sees = old is not None and old.architecture.grounding_sees
    wanted = replace(wanted, grounding_sees=sees or (sight is not None and not config.prm_only))
    network = PolicyNetwork(wanted, sight).eval() if old is None else grown(old, wanted, sight)
    if config.prm_only and old is not None:
        network.redrawer = old.redrawer
    return network


def _redrawer(config: PolicyTraining, sight: Sight | None, out: Path) -> Redrawer | None:
    """What draws found outlines anew: a click network that sees with the same encoder; where there is none, nothing."""
    name, _, given = config.tool.partition(":")
    path = Path(given) if name == "embedded" and given else click_network_beside(out / "policy.safetensors")
    _, meta = load_click_network(path)
    return Redrawer(path, sight) if sight is not None and meta.get("encoder") == sight.fingerprint else None


def _sight(config: PolicyTraining, old: PolicyNetwork | None, out: Path) -> Sight:
    """What the network will see with: that of the weights to start from, where nothing else is asked for."""
    if config.encoder is None and old is not None and old.sight is not None:
        return old.sight
    return sight_for_training(config.encoder, out)


def card(config: PolicyTraining, measured: dict[str, float]) -> dict[str, object]:
    """What the weights' JSON file says about how they came to be."""
    return {
        "data": f"{GENERATOR_VERSION}, train split" + (_PHOTO_DATA if config.photographs else ""),
        "command": _command(config),
        "config": asdict(config)
        | {
            "photographs": [folder.name for folder in config.photographs],
            "start": config.start is not None,
            "tool": config.tool.partition(":")[0],
            "encoder": None if config.encoder is None else config.encoder.name,
            "expressions": None if config.expressions is None else config.expressions.name,
        },
        "measured_on": "val split" + (", held-out photographs" if config.photographs else ""),
        "measured": measured,
        "precision": precision(),
    }


def _command(config: PolicyTraining) -> str:
    """The command line, without the names of this machine's folders."""
    parts = ["segagent train-embedded policy", f"--minutes {config.minutes:g} --seed {config.seed}"]
    parts += [f"--photographs {folder.name}" for folder in config.photographs]
    parts += [f"--expressions {config.expressions.name}"] if config.expressions else []
    parts += ["--encoder ENCODER"] if config.encoder else []
    parts += ["--from WEIGHTS"] if config.start else []
    parts += ["--grounding-only"] if config.grounding_only else []
    parts += ["--perception-only"] if config.perception_only and not config.grounding_only else []
    parts += ["--nouns-only"] if config.nouns_only else []
    parts += ["--prm-only"] if config.prm_only else []
    return " ".join(parts)


def study(network: PolicyNetwork, store: SceneStore, limit: int) -> list[StudiedScene]:
    """The first ``limit`` scenes of a store with their percepts."""
    return [
        StudiedScene.of(scene, perceive(network, Image.of(scene.pixels)))
        for scene in (store[i] for i in range(min(limit, len(store))))
    ]


def train_episodes(
    config: PolicyTraining,
    out: Path,
    network: PolicyNetwork,
    store: SceneStore,
    tool: SegmentationTool,
    say: Say,
    *,
    resume: bool,
) -> None:
    """Stage 4: in each round collect states, train the state head on all so far. A tenth of the scenes is left out."""
    studied = study(network, store, config.state_scenes)
    cut = max(1, len(studied) // 10)
    rng = np.random.default_rng((config.seed, 6))
    states: list[MaskState] = []
    numbers = [int(n) for n in rng.permutation(np.arange(cut, len(studied)))]
    for group in _groups(numbers[: config.episodes]):
        states += annotator_states(rng, studied, group, tool, config.episode_steps)
    for number in range(1, config.rounds + 1):
        share = config.states_share * number / config.rounds
        head = train_states(
            out,
            studied[cut:],
            _shifted(states, cut),
            stage_budget(config, "states", share),
            config.seed,
            made_up=0.4,
            resume=resume or number > 1,
            batch_scale=config.batch_scale,
        )
        network.state.load_state_dict(head.state_dict())
        network.eval()
        say(f"round {number}: own episodes")
        chosen = [int(n) for n in rng.choice(np.arange(cut, len(studied)), config.episodes)]
        for group in _groups(chosen):
            states += own_episodes(rng, network, studied, group, tool, config.episode_steps)


def _groups(numbers: Sequence[int]) -> list[Sequence[int]]:
    return [numbers[i : i + _GROUP] for i in range(0, len(numbers), _GROUP)]


def _shifted(states: Sequence[MaskState], cut: int) -> list[MaskState]:
    """The states with scene numbers counted from ``cut``."""
    return [MaskState(state.scene - cut, state.target, state.mask) for state in states]
