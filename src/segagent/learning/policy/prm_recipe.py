"""Stage 5 of the embedded policy's training: its process reward model, on what all other parts have become."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch

from segagent.core import InputError, SegmentationTool
from segagent.learning.photographs.said import Said, read_said
from segagent.learning.photographs.store import PhotoSets
from segagent.learning.policy.config import PolicyTraining
from segagent.learning.policy.loop import StageBudget
from segagent.learning.policy.masks_to_judge import Looks, Things
from segagent.learning.policy.perception_recipe import draw_scenes, stage_budget
from segagent.learning.policy.train_prm import (
    KnownPicture,
    Table,
    joined_quality,
    joined_tables,
    known_photograph,
    known_scene,
    prm_rows,
    tabulate,
    train_joined,
)
from segagent.learning.policy.train_quality import cached_looks, quality_of, train_quality
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.prm import Prm

_SENTENCES = 12
_JOINED_STEPS = 1500
_ONLY_MEASURED = 20
"""Held-out photographs whose id is a multiple of this measure the process reward model; it is fitted on the others."""
_GROUP = 25


def train_prm(
    config: PolicyTraining,
    out: Path,
    network: PolicyNetwork,
    tool: SegmentationTool,
    first_scene: int,
    say: Callable[[str], None],
    *,
    resume: bool,
) -> dict[str, float]:
    """Train ``network.prm`` in place; returns what was measured on pictures kept for that.

    How well a mask outlines a thing is learnt on training photographs (``config.photographs``; without any the mask is
    not judged without words, and there is no process reward model of its own). The joined head needs pictures that the
    perception has not seen, else it would trust it too much: generated scenes from number ``first_scene`` on, and of
    the held-out photographs those whose id is no multiple of 20, with what people said of them
    (``config.expressions``); the others measure.
    """
    network.prm = None
    if not config.photographs:
        return {}
    assert network.sight is not None
    say("stage 5: looking at masks")
    scenes = draw_scenes(out, "prm_scenes", "train", first_scene, config.prm_scenes)
    looks: list[Looks | None] = []
    for validation, num in ((False, config.looks), (True, max(1, config.looks // 16))):
        things = Things(config.photographs, validation=validation, scenes=None if validation else scenes)
        looks.append(
            cached_looks(
                out / ("looks_held_out" if validation else "looks"),
                network.sight,
                things,
                num,
                tool=tool,
                clicked_share=config.clicked_share,
                seed=(config.seed, 7, int(validation)),
                resume=resume,
            )
            if things.num
            else None
        )
    shown, unseen = looks
    if shown is None:
        raise InputError("the training photographs have no objects; a process reward model cannot learn from them")
    say("stage 5: how well a mask outlines a thing")
    budget = stage_budget(config, "quality", 1.0 if config.prm_only else config.quality_share)
    prm = Prm()
    prm.quality.load_state_dict(train_quality(out, shown, unseen, budget, config.seed, resume=resume).state_dict())
    prm.quality.eval()
    measured = {f"quality_{k}": v for k, v in (quality_of(prm.quality, unseen) if unseen else {}).items()}
    del looks, shown, unseen
    network.prm = prm.eval().requires_grad_(False)
    say("stage 5: the policy's own masks and given ones")
    said = Said() if config.expressions is None else read_said(config.expressions)
    held_out = [
        (photo, said.by_image.get((folder, photo.image_id), ()))
        for folder, photos in PhotoSets(config.photographs).held_out_of.items()
        for photo in photos
    ]
    fitted_on = [one for one in held_out if one[0].image_id % _ONLY_MEASURED]
    measured_on = [one for one in held_out if one[0].image_id % _ONLY_MEASURED == 0]
    measured_on = measured_on[:: max(1, len(measured_on) // config.prm_measured)]
    tables: list[Table] = []
    for name, photographs in (("fit", fitted_on), ("held_out", measured_on)):
        pictures = chain(
            (partial(known_scene, scene) for scene in (islice(scenes, config.prm_scenes) if name == "fit" else ())),
            (partial(known_photograph, photo, n, _SENTENCES, about) for n, (photo, about) in enumerate(photographs)),
        )
        tables.append(_kept(out / "prm_rows", name, network, pictures, tool, config, resume=resume))
    steps = StageBudget(minutes=1e9, steps=min(_JOINED_STEPS, config.steps or _JOINED_STEPS), learning_rate=1e-3)
    joined = train_joined(out, tables[0], tables[1], steps, config.seed, resume=resume)
    prm.joined.load_state_dict(joined.state_dict())
    quality = joined_quality(prm.joined, tables[1]) if len(tables[1][3]) else {}
    return measured | {f"predicted_iou_{name}": value for name, value in quality.items()}


def _kept(
    folder: Path,
    name: str,
    network: PolicyNetwork,
    pictures: Iterable[Callable[[], KnownPicture]],
    tool: SegmentationTool,
    config: PolicyTraining,
    *,
    resume: bool,
) -> Table:
    """The rows of all pictures, kept in ``folder``, some pictures a file; with ``resume`` what is there is not made
    again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = [tabulate([])]
    remaining = iter(pictures)
    while group := list(islice(remaining, _GROUP)):
        path = folder / f"{name}_{len(tables) - 1}.pt"
        if not (resume and path.exists()):
            rng = np.random.default_rng((config.seed, 10, len(tables), len(name)))
            made = prm_rows(rng, network, (picture() for picture in group), tool, config.given_masks)
            partial_path = path.with_suffix(".partial")
            torch.save(tabulate(list(made)), partial_path)
            partial_path.replace(path)
        tables.append(tuple(torch.load(path, weights_only=True)))
    return joined_tables(tables)
