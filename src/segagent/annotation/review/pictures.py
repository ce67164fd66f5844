"""The pictures of entries: what was given, what came of it, and the difference, zoomed to the object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from segagent.annotation.batch import ObjectRecord, Run
from segagent.core import Image, InputError, Pixels, Trajectory
from segagent.datasets import Dataset
from segagent.pages.panels import Panel, Sketch, as_panels, sketch


@dataclass(frozen=True, slots=True)
class Shown:
    """The pictures of one entry; none where the image cannot be read, and why."""

    panels: tuple[Panel, ...] = ()
    missing: str = ""


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
    for record, index, image in _with_images(run, dataset, indices):
        if isinstance(image, str):
            shown[index] = Shown(missing=image)
        else:
            shown[index] = Shown(as_panels(sketch_record(image.pixels, record), len(indices)))
        watch(len(shown))
    return shown


def sketch_record(pixels: Pixels, record: ObjectRecord) -> list[Sketch]:
    """The whole image, the given mask, the answer or what was tried, and the change."""
    trajectory = record.trajectory
    given = record.outcome not in ("made", "not_found")
    state = _other_state(trajectory) if given else trajectory.returned
    before = (f"given{_score(trajectory, 0)}", trajectory.mask_at(0)) if given else None
    if state is None:
        return sketch(pixels, before, None)
    after = f"{_named(record, state)}{_score(trajectory, state)}", trajectory.mask_at(state)
    return sketch(pixels, before, after, trajectory.prompts_at(state))


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
