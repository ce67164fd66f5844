"""Stages 1 to 3 of the embedded policy's training: finding objects, naming them, and what a sentence means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from segagent.datasets.scenes.model import Split
from segagent.learning.photographs.store import PHOTO_SPLIT, draw_photographs
from segagent.learning.policy.config import PolicyTraining
from segagent.learning.policy.loop import StageBudget, put_channels_last
from segagent.learning.policy.scene_store import SHARD, SceneMix, SceneStore, StoredScene, write_shard
from segagent.learning.policy.train_detector import train_detector
from segagent.learning.policy.train_grounding import (
    PerceivedScene,
    grounding_accuracy,
    perceive_scene,
    train_grounding,
)
from segagent.learning.policy.train_objects import FoundObjects, found_objects, train_objects
from segagent.policies.network import PolicyNetwork
from segagent.policies.objects import ObjectEncoder

_FIRST = {"scenes": 0, "grounding": 100_000}
"""Which numbers of the train split (and of the views of photographs) each purpose uses: no picture serves two."""
_RATES = {"detector": 2e-3, "objects": 2e-3, "grounding": 1e-3}
_TUNING_RATES = {"detector": 1.2e-3, "objects": 1e-3, "grounding": 7e-4}
"""Learning rates of a start from trained weights."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class _Pictures:
    """What one purpose's pictures come from; ``photographs`` is None where there are none."""

    scenes: SceneStore
    photographs: SceneStore | None

    def mix(self, photo_share: float) -> SceneMix:
        if self.photographs is None:
            return SceneMix([(1.0, self.scenes)])
        return SceneMix([(1 - photo_share, self.scenes), (photo_share, self.photographs)])

    def first(self, num_scenes: int, num_photographs: int) -> Iterator[StoredScene]:
        return chain(islice(self.scenes, num_scenes), islice(self.photographs or (), num_photographs))


def draw_scenes(out: Path, name: str, split: Split, first: int, count: int) -> SceneStore:
    """At least ``count`` scenes of a split on disk, from number ``first`` on."""
    folder = out / name
    for start in range(first, first + count, SHARD):
        write_shard(folder, split, start, min(SHARD, count))
    return SceneStore(folder, split)


def _draw(config: PolicyTraining, out: Path, name: str, num_scenes: int, num_views: int) -> _Pictures:
    first = _FIRST[name]
    scenes = draw_scenes(out, name, "train", first, num_scenes)
    if config.photographs is None:
        return _Pictures(scenes, None)
    folder = out / f"{name}_photographs"
    return _Pictures(scenes, draw_photographs(folder, config.photographs, "train", num_views, first))


def train_perception(
    config: PolicyTraining, out: Path, network: PolicyNetwork, say: Report, *, resume: bool
) -> dict[str, float]:
    """Train detector, object encoder and grounding of ``network`` in place; returns what was measured on pictures
    held out.
    """
    say("drawing scenes")
    fewer = 1.0 if config.start is None else config.tuning_scenes
    pictures = _draw(config, out, "scenes", round(config.scenes * fewer), config.photo_views)
    say("stage 1: finding objects")
    detector = train_detector(
        out,
        network.detector,
        pictures.mix(config.photo_share),
        stage_budget(config, "detector", config.detector_share + config.states_share * config.perception_only),
        config.seed,
        resume=resume,
        batch_scale=config.batch_scale,
    )
    network.detector.load_state_dict(detector.state_dict())
    say("stage 2: naming objects")
    encoder = _name_objects(config, out, network, pictures, resume=resume)
    network.encoder.load_state_dict(encoder.state_dict())
    network.eval()
    say("stage 3: which object a sentence means")
    num_scenes = round(config.grounding_scenes * fewer)
    pictures = _draw(config, out, "grounding", num_scenes, config.grounding_photo_views)
    scenes = perceive_all(network, pictures.first(num_scenes, config.grounding_photo_views))
    held_out = {"": perceive_all(network, draw_scenes(out, "held_out", "val", 0, config.held_out_scenes))}
    if config.photographs is not None:
        folder = out / "held_out_photographs"
        store = draw_photographs(folder, config.photographs, "validation", config.held_out_scenes)
        held_out["photographs_"] = perceive_all(network, store)
    grounding = train_grounding(
        out,
        network.grounding,
        scenes,
        held_out,
        network.vocabulary,
        stage_budget(config, "grounding", config.grounding_share),
        config.seed,
        resume=resume,
        batch_scale=config.batch_scale,
    )
    network.grounding.load_state_dict(grounding.state_dict())
    network.eval()
    return {
        f"{name}grounding_{kind}": value
        for name, measuring in held_out.items()
        for kind, value in grounding_accuracy(network.grounding, measuring, network.vocabulary).items()
    }


def _name_objects(
    config: PolicyTraining, out: Path, network: PolicyNetwork, pictures: _Pictures, *, resume: bool
) -> ObjectEncoder:
    """Stage 2: first on true outlines made imperfect, then also on the outlines that ``network``'s detector draws."""
    found: FoundObjects | None = None
    encoder = network.encoder
    for share in (config.objects_share * 0.75, config.objects_share):
        encoder = train_objects(
            out,
            network.encoder,
            pictures.mix(config.photo_share),
            stage_budget(config, "objects", share),
            config.seed,
            resume=resume or found is not None,
            found=found,
            batch_scale=config.batch_scale,
        )
        if found is None:
            found = _outlined(config, out / "found_objects.npz", network, pictures, resume=resume)
    return encoder


def _outlined(
    config: PolicyTraining, path: Path, network: PolicyNetwork, pictures: _Pictures, *, resume: bool
) -> FoundObjects:
    """Objects as the detector outlines them, found once and kept in ``path``."""
    if resume and path.exists():
        return FoundObjects.load(path)
    half = config.outlined_scenes // 2
    some = pictures.first(config.outlined_scenes if pictures.photographs is None else half, half)
    found = found_objects(network.detector.eval(), network.encoder.eval(), some)
    found.save(path)
    return found


def stage_budget(config: PolicyTraining, stage: str, share: float, learning_rate: float | None = None) -> StageBudget:
    """The stage's part of the minutes; its learning rate depends on whether it starts from trained weights."""
    steps = 10**9 if config.steps is None else config.steps
    rate = learning_rate or (_RATES if config.start is None else _TUNING_RATES).get(stage, 2e-3)
    return StageBudget(minutes=config.minutes * share, steps=steps, learning_rate=rate)


def perceive_all(network: PolicyNetwork, scenes: SceneStore | Iterator[StoredScene]) -> list[PerceivedScene]:
    """Scenes as the detector and object encoder see them; photographs are taken to be those they were trained on."""
    put_channels_last(network.detector)
    return [
        perceive_scene(network.detector, network.encoder, scene, familiar=scene.split == PHOTO_SPLIT)
        for scene in scenes
    ]
