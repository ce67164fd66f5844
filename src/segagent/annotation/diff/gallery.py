"""Pictures of the largest changes, and of masks that only one side has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from segagent.annotation.diff.comparing import Change, Diff, largest
from segagent.annotation.diff.sources import Annotation
from segagent.core import Image, decode_rle
from segagent.pages.panels import Panel, as_panels, sketch
from segagent.pages.pictures import picture_or_blank


@dataclass(frozen=True, slots=True)
class Card:
    """One object of the gallery: a heading, lines of text, pictures. All text is untrusted."""

    heading: str
    lines: tuple[str, ...]
    panels: tuple[Panel, ...]


@dataclass
class Gallery:
    """Cards by group. ``missing``: which images could not be read, and why."""

    groups: dict[str, list[Card]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def draw_gallery(diff: Diff, most: int, watch: Callable[[int, int], None] = lambda done, total: None) -> Gallery:
    """The ``most`` largest changes, and the largest third as many removed and added masks each.

    Where an image cannot be read, masks are drawn on a blank ground. ``watch`` is told (drawn, to draw).
    """
    entries: list[_Entry] = [
        *(_Entry("Largest changes", one.pair.before, one.pair.after, one) for one in largest(diff.changed, most)),
        *(_Entry("Removed", one, None) for one in _biggest(diff.removed, most // 3)),
        *(_Entry("Added", None, one) for one in _biggest(diff.added, most // 3)),
    ]
    names_after = {before: after for after, before in diff.pictures.other_spelling.items()}
    gallery = Gallery()
    missing: dict[str, None] = {}
    for number, entry in enumerate(entries, 1):
        height, width = entry.shown.rle["size"]
        if entry.before is not None:
            before, after = entry.before.image, names_after.get(entry.before.image, entry.before.image)
        else:
            before, after = diff.pictures.name_before(entry.shown.image), entry.shown.image
        image, reason = picture_or_blank(diff.after.load_image, after, height, width)
        if diff.before.load_image is not None and (reason or diff.after.load_image is None):
            # The side after has no pictures, or not under its own name.
            image, reason = picture_or_blank(diff.before.load_image, before, height, width)
        if reason:
            missing[reason] = None
        card = Card(
            entry.shown.category or entry.shown.annotation_id, _lines(entry), _panels(entry, image, len(entries))
        )
        gallery.groups.setdefault(entry.group, []).append(card)
        watch(number, len(entries))
    gallery.missing = list(missing)
    return gallery


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a card is made of; one of ``before`` and ``after`` at least is there."""

    group: str
    before: Annotation | None
    after: Annotation | None
    change: Change | None = None

    @property
    def shown(self) -> Annotation:
        """The annotation whose image is shown."""
        one = self.after or self.before
        if one is None:
            raise ValueError("an entry needs an annotation before or after")
        return one


def _biggest(annotations: Sequence[Annotation], most: int) -> list[Annotation]:
    return sorted(annotations, key=lambda one: -one.area)[:most]


def _lines(entry: _Entry) -> tuple[str, ...]:
    one = entry.shown
    if entry.change is None:
        return (f"annotation {one.annotation_id}, image {one.image}, {one.area} pixels",)
    before, iou = entry.change.pair.before, entry.change.pair.iou
    other = "" if before.annotation_id == one.annotation_id else f" (before: {before.annotation_id})"
    told = "the image has another size" if iou is None else f"IoU {iou:.3f}"
    first = f"annotation {one.annotation_id}{other}, image {one.image}: {told}, {before.area} to {one.area} pixels"
    return first, *(f"{name}: {a} -> {b}" for name, (a, b) in entry.change.changes.items() if name != "mask")


def _panels(entry: _Entry, image: Image, num_entries: int) -> tuple[Panel, ...]:
    before, after = entry.before, entry.after
    if before is not None and before.rle["size"] != entry.shown.rle["size"]:
        before = None
    sketches = sketch(
        image.pixels,
        None if before is None else ("before", decode_rle(before.rle)),
        None if after is None else ("after", decode_rle(after.rle)),
    )
    return as_panels(sketches, num_entries)
