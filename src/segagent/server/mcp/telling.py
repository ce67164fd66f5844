"""What the tools tell: words for a model to read, the picture with the mask in green, and the structured answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from segagent.annotation.batch import Models, ObjectRecord, Run, likely_error, summarise_run, unfinished
from segagent.annotation.review.entries import entries_of, ranked
from segagent.core import BoolMask, Click, Image, encode_rle
from segagent.datasets import Dataset, ListedDataset
from segagent.imaging import draw_overlay, encode_png
from segagent.imaging.scaling import scaled_mask, scaled_pixels
from segagent.server.mcp.answers import AuditAnswer, AuditedObject, ClickMade, MaskAnswer, MaskRle, ScoreAnswer
from segagent.server.mcp.episodes import OpenEpisode

SHOWN_SIDE = 1024
"""Longer pictures are shown scaled down to this, in pixels: they go into a model's context."""


@dataclass(frozen=True, eq=False)
class Told:
    """``pictures``: PNG files."""

    words: str
    pictures: tuple[bytes, ...]
    answer: MaskAnswer | ScoreAnswer | AuditAnswer


def told_episode(episode: OpenEpisode, models: Models) -> Told:
    """An episode as it is now."""
    trajectory, mask = episode.trajectory, episode.mask
    shown, scale = _shown(episode.image, mask)
    clicks = [one for one in trajectory.prompts_at(trajectory.returned) if isinstance(one, Click)]
    answer = MaskAnswer(
        episode=episode.key,
        outcome=episode.outcome,
        text=trajectory.text,
        image=trajectory.image,
        height=trajectory.height,
        width=trajectory.width,
        mask=MaskRle(**encode_rle(mask)),
        area=int(mask.sum()),
        predicted_iou=episode.predicted_iou,
        calibrated_iou=_calibrated(models, episode.predicted_iou, episode.doubts),
        doubts=list(episode.doubts),
        clicks=[ClickMade(x=one.x, y=one.y, positive=one.positive) for one in clicks],
        num_steps=len(trajectory.steps),
        shown_scale=scale,
    )
    covered = f"the mask covers {mask.mean():.1%} of the picture" if mask.any() else "the mask is empty"
    listed = " ".join(f"{'+' if one.positive else '-'}({one.x}, {one.y})" for one in clicks)
    words = (
        f'episode {episode.key}, {answer.outcome}: "{answer.text}"; {_iou_words(answer)}; {covered}; '
        f"clicks: {listed or 'none'}{_doubt_words(answer)}; "
        f"the full picture has {answer.width} x {answer.height} pixels"
        + ("" if scale == 1 else f" and is shown at {scale:.3f} of that; click in full pixels")
    )
    return Told(words, (shown,), answer)


def told_score(record: ObjectRecord, image: Image, name: str, models: Models) -> Told:
    """An audited mask of ``image``, which is called ``name``."""
    assert record.given_iou is not None
    likely = likely_error(record, models.calibrated(record.given_iou, record.doubts))
    shown, scale = _shown(image, record.trajectory.mask_at(0))
    answer = ScoreAnswer(
        text=record.text,
        image=name,
        height=image.height,
        width=image.width,
        predicted_iou=record.given_iou,
        calibrated_iou=_calibrated(models, record.given_iou, record.doubts),
        outline_iou=None if record.outline is None else record.outline.iou,
        likely_error=likely.label,
        reason=likely.reason,
        doubts=list(record.doubts),
        shown_scale=scale,
    )
    words = f'"{record.text}": {_iou_words(answer)}; {likely.label}: {likely.reason}{_doubt_words(answer)}'
    return Told(words, (shown,), answer)


def told_audit(run: Run, dataset: Dataset, spec: str, models: Models, *, worst: int, kept: bool) -> Told:
    """An audit of first images of ``dataset``, which the client calls ``spec``; ``kept``: the run's folder stays."""
    summary = summarise_run(run)
    left: int = summary["images_left"]
    entries = ranked(list(entries_of(run)))
    listed = [
        AuditedObject(
            **{name: getattr(entry, name) for name in AuditedObject.model_fields if "iou" not in name},
            predicted_iou=entry.predicted_iou_given,
            calibrated_iou=_calibrated(models, entry.predicted_iou_given, entry.doubts),
        )
        for entry in entries[:worst]
    ]
    answer = AuditAnswer(
        dataset=spec,
        images=summary["images"] - left,
        images_left=left,
        objects=summary["objects"],
        failed=len(summary["failed"]),
        doubted=summary["doubted"],
        likely_errors=summary["likely_errors"],
        mean_calibrated_iou=None if models.calibration is None else summary["expected_iou_given"],
        # That not all images were looked at is as asked, and told by images_left.
        warnings=[
            *(one for one in summary["warnings"] if one != unfinished(left, summary["images"])),
            *(dataset.notes if isinstance(dataset, ListedDataset) else ()),
        ],
        worst=listed,
        run=str(run.folder) if kept else "",
    )
    pictures: list[bytes] = []
    first = next((entry for entry in entries if entry.mask), None)
    if first is not None:
        record = next(one for index, one in enumerate(run.records()) if index == first.index)
        assert isinstance(record, ObjectRecord)
        pictures.append(_shown(dataset.load_image(record.image), record.mask)[0])
    lines = [
        f"{answer.objects} objects in {answer.images} images, {answer.images_left} images left; "
        f"{answer.failed} failed, {answer.doubted} doubted",
        *(f"warning: {one}" for one in answer.warnings),
        "worst first, the first that has a mask is shown:",
        *(
            f'{one.object_id} in {one.image}: "{one.text}", '
            + (one.reason or f"{_iou_words(one)}; {one.likely_error}: {one.evidence}")
            for one in listed
        ),
    ]
    return Told("\n".join(lines), tuple(pictures), answer)


def _calibrated(models: Models, predicted: float | None, doubts: Collection[str]) -> float | None:
    return None if predicted is None or models.calibration is None else models.calibrated(predicted, doubts)


def _shown(image: Image, mask: BoolMask) -> tuple[bytes, float]:
    """The picture with the mask in green as a PNG file, scaled down where it is long, and by how much."""
    scale = min(1.0, SHOWN_SIDE / max(image.height, image.width))
    if scale == 1.0:
        return encode_png(draw_overlay(image.pixels, mask)), scale
    pixels = scaled_pixels(image.pixels, scale)
    return encode_png(draw_overlay(pixels, scaled_mask(mask, *pixels.shape[:2]))), scale


def _iou_words(answer: Any) -> str:
    if answer.predicted_iou is None:
        return "the policy predicts no IoU"
    calibrated = "" if answer.calibrated_iou is None else f", calibrated {answer.calibrated_iou:.2f}"
    return f"predicted IoU {answer.predicted_iou:.2f}{calibrated}"


def _doubt_words(answer: Any) -> str:
    return "".join(f"; the policy {one}" for one in answer.doubts)
