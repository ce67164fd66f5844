"""The pictures of entries: what was given, what came of it, and the difference, zoomed to the object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from segagent.annotation.batch import ObjectRecord, Run
from segagent.core import BoolMask, Image, InputError, Pixels, Trajectory
from segagent.datasets import Dataset
from segagent.evaluation.report.pictures import jpeg_within
from segagent.imaging.change import AFTER, BEFORE, draw_change, draw_mask, draw_window, object_window

PICTURE_BYTES = 20_000_000
"""What all pictures of a page may take together as JPEG files; a third more in the page, where they are text."""

_PANEL_SIDE = 300
_WHOLE_SIDE = 200
_MOST_PER_ENTRY = 150_000
_FEWEST_PER_PANEL = 2_000


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of an object, a JPEG file, and what it shows in words."""

    caption: str
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """The pictures of one entry; none where the image cannot be read, and why."""

    panels: tuple[Panel, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Sketch:
    """One picture before it is made a file."""

    caption: str
    pixels: Pixels


def draw_entries(
    run: Run,
    dataset: Dataset | str,
    indices: Collection[int],
    watch: Callable[[int], None] = lambda done: None,
) -> dict[int, Shown]:
    """The pictures of the run's records with these ``indices``, each image read once.

    ``dataset``: where images are read, or why they cannot be. ``watch`` is told how many are drawn.
    """
    shown: dict[int, Shown] = {}
    most = min(PICTURE_BYTES // max(len(indices), 1), _MOST_PER_ENTRY)
    for record, index, image in _with_images(run, dataset, indices):
        if isinstance(image, str):
            shown[index] = Shown(missing=image)
        else:
            sketches = sketch(image.pixels, record)
            each = max(most // len(sketches), _FEWEST_PER_PANEL)
            shown[index] = Shown(tuple(Panel(one.caption, jpeg_within(one.pixels, each)) for one in sketches))
        watch(len(shown))
    return shown


def sketch(pixels: Pixels, record: ObjectRecord, side: int = _PANEL_SIDE) -> list[Sketch]:
    """The panels of one object: the whole image, the given mask, the answer or what was tried, the change."""
    trajectory = record.trajectory
    given = None if record.outcome in ("made", "not_found") else trajectory.mask_at(0)
    state = trajectory.returned if given is None else _other_state(trajectory)
    other = None if state is None else trajectory.mask_at(state)
    prompts = [] if state is None else trajectory.prompts_at(state)
    masks: list[BoolMask] = [mask for mask in (given, other) if mask is not None]
    window = object_window(masks, prompts)
    sketches = [Sketch("the image", draw_window(pixels, window, _WHOLE_SIDE))]
    if given is not None:
        caption = f"given{_score(trajectory, 0)}"
        sketches.append(Sketch(caption, draw_mask(pixels, window, given, side, BEFORE)))
    if other is not None and state is not None:
        caption = f"{_named(record, state)}{_score(trajectory, state)}"
        sketches.append(Sketch(caption, draw_mask(pixels, window, other, side, AFTER, prompts)))
    if given is not None and other is not None:
        sketches.append(Sketch("blue: away, orange: new", draw_change(pixels, window, given, other, side)))
    return sketches


def _with_images(
    run: Run, dataset: Dataset | str, indices: Collection[int]
) -> Iterator[tuple[ObjectRecord, int, Image | str]]:
    """The chosen records with their images, or why there is none; records about one image follow each other."""
    name: str | None = None
    found: Image | str = dataset if isinstance(dataset, str) else ""
    for index, record in enumerate(run.records()):
        if index not in indices or not isinstance(record, ObjectRecord):
            continue
        if not isinstance(dataset, str) and record.image != name:
            name = record.image
            try:
                found = dataset.load_image(name)
            except InputError as error:
                found = str(error)
        trajectory = record.trajectory
        size = (trajectory.height, trajectory.width)
        if isinstance(found, Image) and (found.height, found.width) != size:
            yield (
                record,
                index,
                (
                    f"image {name}: has {found.width} x {found.height} pixels now, "
                    f"had {trajectory.width} x {trajectory.height} when the run was made"
                ),
            )
        else:
            yield record, index, found


def _other_state(trajectory: Trajectory) -> int | None:
    """The answer, or where the given mask was left as it is the best state that was tried, None without any."""
    if trajectory.returned:
        return trajectory.returned
    tried = range(1, len(trajectory.steps) + 1)
    return max(tried, key=lambda state: trajectory.predicted_iou_at(state) or 0.0, default=None)


def _named(record: ObjectRecord, state: int) -> str:
    if record.outcome == "not_found":
        return "best try, not taken"
    if state == record.trajectory.returned:
        return "answer"
    return "what the policy would do" if record.outcome == "audited" else "best try, not taken"


def _score(trajectory: Trajectory, state: int) -> str:
    predicted = trajectory.predicted_iou_at(state)
    return "" if predicted is None else f", predicted IoU {predicted:.2f}"
