"""From examples to what the embedded model's state head is trained on.

The model mixes hypotheses of which found object is meant. Each row knows the right one, the found outline that matches
the sample's target. Either it is given to the state head, which is then asked what ought to be written of this mask
(:func:`reply_batch`), or it is what the model's own choice is measured against (:mod:`.embedded_losses`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from segagent.core import Click, InputError, Rle, decode_rle
from segagent.datasets import Sample
from segagent.learning.examples import Example
from segagent.learning.policy.train_states import StateBatch
from segagent.learning.sft.data import TrainingSet
from segagent.learning.sft.trained import TrainingWatch
from segagent.policies.embedded.detector import GRID
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.perception import Percept, perceive
from segagent.policies.embedded.reading import see_mask, state_inputs
from segagent.policies.embedded.state_head import BINS

MATCH_IOU = 0.35
"""A found outline below this IoU with the target is not the target's."""


@dataclass(frozen=True, eq=False)
class Row:
    """One example: ``picture`` numbers the percept, ``hypothesis`` the found object that is meant, ``coverage`` (GRID,
    GRID) in 0..1 is the target. ``click`` is (positive, x bin, y bin), or None where no click is taught. ``fits``
    (found objects,) sums to 1: how much each of them is what ``text`` means.
    """

    picture: int
    text: str
    fits: npt.NDArray[np.float32]
    hypothesis: int
    mask: Rle
    iou: float
    click: tuple[bool, int, int] | None
    coverage: npt.NDArray[np.float16]


class Rows(NamedTuple):
    """``rows`` to train on, the ``percepts`` they refer to, and how many examples were ``left_out``, their object not
    being found by the detector or not in the data set.
    """

    rows: list[Row]
    percepts: list[Percept]
    left_out: int


def collect_rows(network: PolicyNetwork, sets: Sequence[TrainingSet], progress: TrainingWatch) -> Rows:
    """Look at each picture once and pair every example with the object it is about.

    A picture or target that cannot be read leaves its examples out and no others.
    """
    rows: list[Row] = []
    percepts: list[Percept] = []
    total = 0
    num_images = sum(len({example.image for example in one.examples}) for one in sets)
    done = 0
    for one in sets:
        by_image: dict[str, dict[str, list[Example]]] = {}
        for example in one.examples:
            by_image.setdefault(example.image, {}).setdefault(example.sample_id, []).append(example)
        total += len(one.examples)
        for samples in _groups(one, set(by_image)):
            done += 1
            progress("looking at pictures", done, num_images, float("nan"))
            wanted = by_image[samples[0].image_name]
            found = _rows_of(network, samples, wanted, len(percepts))
            if found is not None:
                percepts.append(found[0])
                rows += found[1]
    return Rows(rows, percepts, total - len(rows))


def _groups(one: TrainingSet, names: set[str]) -> Iterator[Sequence[Sample]]:
    """The samples of each wanted image; ends once all were seen."""
    missing = set(names)
    for group in one.dataset.groups():
        if group.image_name in missing:
            missing.discard(group.image_name)
            samples = group.samples()
            if samples:
                yield samples
        if not missing:
            return


def _rows_of(
    network: PolicyNetwork, samples: Sequence[Sample], wanted: dict[str, list[Example]], picture: int
) -> tuple[Percept, list[Row]] | None:
    try:
        image = samples[0].load_image()
    except InputError:
        return None
    percept = perceive(network, image)
    rows = []
    for sample in samples:
        examples = wanted.get(sample.sample_id, [])
        if not examples:
            continue
        try:
            target, _ = sample.load_target(image)
        except InputError:
            continue
        coverage = np.asarray(
            cv2.resize(target.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32
        )
        fits = fitting(percept, coverage)
        if fits is None:
            continue
        about = (picture, sample.text, fits, int(fits.argmax()))
        rows += [Row(*about, e.mask, e.current_iou, _binned(e), coverage.astype(np.float16)) for e in examples]
    return percept, rows


def fitting(percept: Percept, coverage: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """How much each found object is the one of ``coverage`` (GRID, GRID) in 0..1: (n,), summing to 1.

    Where several overlap it enough, each has a share by the square of its IoU. None where none does.
    """
    # As solid outlines: those that two opinions make the mean of are soft where the two differ.
    found = (percept.coverage.flatten(1) > 0.5).float().numpy()
    flat = coverage.reshape(-1)
    overlap = found @ flat
    share = overlap / np.maximum(found.sum(1) + flat.sum() - overlap, 1e-6)
    if share.max() <= MATCH_IOU:
        return None
    fits = np.where(share > MATCH_IOU, share, 0.0) ** 2
    return np.asarray(fits / fits.sum(), np.float32)


def _binned(example: Example) -> tuple[bool, int, int] | None:
    action = example.action
    if not isinstance(action, Click):
        return None  # The model has no word for Finish: a high IoU says it.
    height, width = example.mask["size"]
    return action.positive, action.x * BINS // width, action.y * BINS // height


def reply_batch(rows: Sequence[Row], percepts: Sequence[Percept]) -> StateBatch:
    """``rows`` as tensors."""
    inputs, outlines, seen = [], [], []
    for row in rows:
        look = see_mask(percepts[row.picture], decode_rle(row.mask))
        channels, outline = state_inputs(percepts[row.picture], look, [row.hypothesis])
        inputs.append(channels)
        outlines.append(outline)
        seen.append(look)
    clicks = torch.tensor([(0, 0, 0) if r.click is None else (1 + r.click[0], *r.click[1:]) for r in rows])
    return StateBatch(
        torch.cat(inputs),
        torch.cat(outlines),
        seen,
        torch.from_numpy(np.stack([r.coverage for r in rows]).astype(np.float32)),
        torch.tensor([r.iou for r in rows], dtype=torch.float32),
        clicks[:, 0] > 0,
        clicks[:, 0] == 2,
        clicks[:, 2] * BINS + clicks[:, 1],
    )
