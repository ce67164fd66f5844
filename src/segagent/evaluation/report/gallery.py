"""The best, median and worst trajectories of a run as film strips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from segagent.core import decode_rle
from segagent.datasets import Dataset
from segagent.evaluation.results import EvaluationRun, Found, judged_samples
from segagent.imaging import draw_overlay, film_strip
from segagent.pages.pictures import jpeg_file, picture_or_blank

_TARGET_COLOR = (255, 170, 0)
_TARGET_SIDE = 220


@dataclass(frozen=True)
class Shown:
    """One trajectory of the gallery: ``strip`` and ``target`` are JPEG files, the rest untrusted text and numbers."""

    group: str
    sample_id: str
    image: str
    text: str
    iou: float
    strip: bytes
    target: bytes


def choose(found: Sequence[Found], number: int) -> dict[int, str]:
    """``number`` best, median and worst trajectories by the selected mask's IoU: index to group, best first.

    No trajectory is in two groups; where there are few, the later groups get fewer.
    """
    ranked = sorted(found, key=lambda one: (-one.iou, one.index))
    middle = max((len(ranked) - number) // 2, 0)
    chosen: dict[int, str] = {}
    for group, part in (
        ("best", ranked[:number]),
        ("worst", ranked[len(ranked) - number :] if number else []),
        ("median", ranked[middle : middle + number]),
    ):
        for one in part:
            chosen.setdefault(one.index, group)
    order = {one.index: place for place, one in enumerate(ranked)}
    return dict(sorted(chosen.items(), key=lambda item: order[item[0]]))


def draw_gallery(
    run: EvaluationRun, found: Sequence[Found], number: int, dataset: Dataset | None
) -> tuple[list[Shown], list[str]]:
    """The chosen trajectories drawn, and why pictures are missing; without ``dataset`` the ground is blank."""
    chosen = choose(found, number)
    by_index = {one.index: one for one in found}
    shown: dict[int, Shown] = {}
    missing: list[str] = []
    for index, sample in enumerate(judged_samples(run)):
        if index not in chosen:
            continue
        one = by_index[index]
        trajectory = replace(sample.trajectory, returned=one.state)
        load = None if dataset is None else dataset.load_image
        image, reason = picture_or_blank(load, one.image, trajectory.height, trajectory.width)
        if reason:
            missing.append(reason)
        target = draw_overlay(image.pixels, decode_rle(sample.target), _TARGET_COLOR)
        shown[index] = Shown(
            chosen[index],
            one.sample_id,
            one.image,
            one.text,
            one.iou,
            jpeg_file(film_strip(image, trajectory)),
            jpeg_file(target, _TARGET_SIDE),
        )
        if len(shown) == len(chosen):
            break
    return [shown[index] for index in chosen if index in shown], missing
