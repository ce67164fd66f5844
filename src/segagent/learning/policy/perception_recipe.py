"""Stages 1 to 3 of the embedded policy's training: finding objects, naming them, and what a sentence means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from segagent.core import Image
from segagent.cpu import autocast
from segagent.datasets.scenes.model import Split
from segagent.learning.photographs.said import Said, read_said
from segagent.learning.photographs.store import PHOTO_SPLIT, PhotoSets, Purpose, draw_photographs, held_out
from segagent.learning.policy.absence import accuracies, doubted, operating_point
from segagent.learning.policy.config import PolicyTraining
from segagent.learning.policy.loop import StageBudget, put_channels_last
from segagent.learning.policy.scene_store import SHARD, SceneMix, SceneStore, StoredScene, write_shard
from segagent.learning.policy.train_detector import train_detector
from segagent.learning.policy.train_grounding import (
    PerceivedScene,
    grounding_accuracy,
    perceive_scene,
    train_grounding,
    with_borrowed,
)
from segagent.learning.policy.train_kinds import seen_things, settle, small_kinds
from segagent.learning.policy.train_objects import AnnotatedPicture, KnownObjects, known_objects, train_objects
from segagent.policies.embedded.detector import Detector
from segagent.policies.embedded.network import PolicyNetwork
from segagent.vision.encoder import read_published_head

_FIRST = {"scenes": 0, "grounding": 100_000}
"""Which numbers of the train split (and of the views of photographs) each purpose uses: no picture serves two."""
_RATES = {"detector": 2e-3, "objects": 2e-3, "grounding": 1e-3}
_TUNING_RATES = {"detector": 1.2e-3, "objects": 1e-3, "grounding": 7e-4}
"""Learning rates of a start from trained weights."""

Say = Callable[[str], None]


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


def _draw(
    config: PolicyTraining, sets: PhotoSets | None, out: Path, name: str, num_scenes: int, num_views: int
) -> _Pictures:
    first = _FIRST[name]
    scenes = draw_scenes(out, name, "train", first, num_scenes)
    if sets is None:
        return _Pictures(scenes, None)
    folder = out / f"{name}_photographs"
    return _Pictures(scenes, draw_photographs(folder, sets, "train", num_views, first))


def _fewer(config: PolicyTraining) -> float:
    """What share of the scenes is drawn."""
    return 1.0 if config.start is None else config.tuning_scenes


def _train_sight(
    config: PolicyTraining, sets: PhotoSets | None, out: Path, network: PolicyNetwork, say: Say, *, resume: bool
) -> None:
    """Stages 1 and 2: detector and object encoder of ``network``, in place."""
    say("drawing scenes")
    pictures = _draw(config, sets, out, "scenes", round(config.scenes * _fewer(config)), config.photo_views)
    say("stage 1: finding objects")
    assert network.sight is not None
    assert isinstance(network.detector, Detector)
    detector = train_detector(
        out,
        network.detector,
        pictures.mix(config.photo_share),
        stage_budget(config, "detector", config.detector_share + config.states_share * config.perception_only),
        config.seed,
        resume=resume,
        sight=network.sight,
        batch_scale=config.batch_scale,
    )
    network.detector.load_state_dict(detector.state_dict())
    network.eval()
    say("stage 2: naming objects")
    encoder = train_objects(
        out,
        network.encoder,
        _known(config, sets, out / "known_objects.npz", network, pictures.scenes, resume=resume),
        stage_budget(config, "objects", config.objects_share),
        config.seed,
        resume=resume,
        batch_scale=config.batch_scale,
    )
    network.encoder.load_state_dict(encoder.state_dict())
    network.eval()


def train_perception(
    config: PolicyTraining, out: Path, network: PolicyNetwork, say: Say, *, resume: bool
) -> dict[str, float]:
    """Train detector, object encoder and grounding of ``network`` in place; returns what was measured on pictures
    held out.
    """
    sets = PhotoSets(config.photographs) if config.photographs else None
    if not config.grounding_only:
        _train_sight(config, sets, out, network, say, resume=resume)
    if sets is not None and config.encoder is not None and config.encoder.suffix != ".safetensors":
        say("ImageNet's kinds of things")
        seen = seen_things(network, sets, np.random.default_rng((config.seed, 8)))
        network.kinds = small_kinds(read_published_head(config.encoder), seen)
    say("stage 3: which object a sentence means")
    num_scenes = round(config.grounding_scenes * _fewer(config))
    pictures = _draw(config, sets, out, "grounding", num_scenes, config.grounding_photo_views)
    scenes = perceive_all(network, pictures.first(num_scenes, config.grounding_photo_views))
    said = Said() if config.expressions is None else read_said(config.expressions)
    scenes += perceive_said(network, sets, said, "train")
    measuring = {"": perceive_all(network, draw_scenes(out, "held_out", "val", 0, config.held_out_scenes))}
    if sets is not None:
        folder = out / "held_out_photographs"
        store = draw_photographs(folder, sets, "validation", config.held_out_scenes)
        measuring["photographs_"] = perceive_all(network, store)
    if said_held_out := perceive_said(network, sets, said, "validation"):
        measuring["said_"] = said_held_out
    grounding = train_grounding(
        out,
        network.grounding,
        scenes,
        measuring,
        network.vocabulary,
        stage_budget(config, "grounding", 1.0 if config.grounding_only else config.grounding_share),
        config.seed,
        resume=resume,
        batch_scale=config.batch_scale,
    )
    network.grounding.load_state_dict(grounding.state_dict())
    network.eval()
    measured = settle(network, with_borrowed(measuring.get("photographs_", ())))
    measured |= {
        f"{name}grounding_{kind}": value
        for name, part in measuring.items()
        for kind, value in grounding_accuracy(network.grounding, part, network.vocabulary, network.kinds).items()
    }
    return measured | settle_absence(network, measuring.get("photographs_", ()), said_held_out)


def settle_absence(
    network: PolicyNetwork, made: Sequence[PerceivedScene], said: Sequence[PerceivedScene]
) -> dict[str, float]:
    """Choose on every second held-out photograph when ``network`` says "no such object"; what the others say of it.

    As rarely of what people ``said``, where there is any of that, as of ``made`` sentences: people's sound absent more
    often.
    """
    asked = {
        name: doubted(network.grounding, scenes, network.vocabulary, network.kinds)
        for name, scenes in (("", with_borrowed(made)), ("said_", said))
    }
    bars = [operating_point([one for one in sentences if one.picture % 2 == 0]) for sentences in asked.values()]
    if bars[0] is None:
        return {}
    network.absent_above = max(bar for bar in bars if bar is not None)
    return {
        f"{name}{kind}": value
        for name, sentences in asked.items()
        for kind, value in accuracies([one for one in sentences if one.picture % 2], network.absent_above).items()
    }


def _known(
    config: PolicyTraining,
    sets: PhotoSets | None,
    path: Path,
    network: PolicyNetwork,
    scenes: Iterable[StoredScene],
    *,
    resume: bool,
) -> KnownObjects:
    """Objects of scenes and whole photographs as ``network`` sees them, looked at once and kept in ``path``."""
    if resume and path.exists():
        return KnownObjects.load(path)
    rng = np.random.default_rng((config.seed, 2))
    share = config.photo_share if sets else 0.0
    num = round(config.outlined_pictures * (1 - share))
    pictures = (AnnotatedPicture(Image.of(s.pixels), s.labels, s.names) for s in islice(scenes, num))
    photographs = sets.pictures(rng, config.outlined_pictures - num) if sets else iter(())
    put_channels_last(network.detector)
    known = known_objects(network, chain(pictures, photographs), rng)
    known.save(path)
    return known


def stage_budget(config: PolicyTraining, stage: str, share: float, learning_rate: float | None = None) -> StageBudget:
    """The stage's part of the minutes; its learning rate depends on whether it starts from trained weights. The small
    networks of the later stages stay on the CPU.
    """
    steps = 10**9 if config.steps is None else config.steps
    rate = learning_rate or (_RATES if config.start is None else _TUNING_RATES).get(stage, 2e-3)
    device = config.device if stage in ("detector", "objects") else "cpu"
    return StageBudget(minutes=config.minutes * share, steps=steps, learning_rate=rate, device=device)


def train_kinds(config: PolicyTraining, network: PolicyNetwork, say: Say) -> dict[str, float]:
    """``network`` with ImageNet's kinds of things beside all that it has learnt; returns what was measured on held-out
    photographs, each at its own size. When "no such object" is the answer is chosen anew only where there is
    what people said (``config.expressions``), for it was chosen by that too.
    """
    assert config.encoder is not None
    sets = PhotoSets(config.photographs)
    say("ImageNet's kinds of things")
    seen = seen_things(network, sets, np.random.default_rng((config.seed, 8)))
    network.kinds = small_kinds(read_published_head(config.encoder), seen)
    say("held-out photographs")
    few = islice(held_out(sets), config.held_out_scenes)
    perceived = [perceive_scene(network, scene, image) for image, scene in few]
    measured = settle(network, with_borrowed(perceived))
    if config.expressions is None:
        return measured
    said = perceive_said(network, sets, read_said(config.expressions), "validation")
    return measured | settle_absence(network, perceived, said)


def perceive_said(network: PolicyNetwork, sets: PhotoSets | None, said: Said, purpose: Purpose) -> list[PerceivedScene]:
    """The training or held-out photographs that people said something of, each seen at its own size."""
    put_channels_last(network.detector)
    found = () if sets is None else sets.said(said, purpose)
    with autocast():
        return [perceive_scene(network, scene, image, familiar=purpose == "train") for image, scene in found]


def perceive_all(network: PolicyNetwork, scenes: SceneStore | Iterator[StoredScene]) -> list[PerceivedScene]:
    """Scenes as the detector and object encoder see them; photographs are taken to be those they were trained on."""
    put_channels_last(network.detector)
    with autocast():
        return [perceive_scene(network, scene, familiar=scene.split == PHOTO_SPLIT) for scene in scenes]
