"""The masks of a file of corrections, found again among the objects of the run, picture by picture."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from segagent.annotation.batch.folder import Run
from segagent.annotation.interop.coco_joined import is_written_into
from segagent.annotation.interop.entries import Entry, Found, Problem, Sheet, read_json
from segagent.annotation.interop.from_coco import read_coco_corrections
from segagent.annotation.interop.from_cvat import read_cvat_corrections
from segagent.annotation.interop.from_label_studio import read_label_studio_corrections
from segagent.annotation.interop.pairing import Drawn, Known, Pair, pair, plain_label
from segagent.annotation.interop.picture_names import PictureNames
from segagent.annotation.people import GONE, LeftObject, objects_left, read_events
from segagent.core import InputError, Rle, encode_rle
from segagent.core.rle import rle_areas
from segagent.datasets import Dataset, Sample

FORMATS = ("coco", "label-studio", "cvat")


def read_corrections(path: Path, kind: str | None = None) -> Found:
    """The entries of a file in one of :data:`FORMATS`; None tells it by its content.

    Raises ``InputError`` where the file is none of them; what is wrong with single entries is a :class:`Problem`.
    """
    if kind not in (*FORMATS, None):
        raise InputError(f"format {kind!r:.80}: expected one of {', '.join(FORMATS)}")
    if kind == "cvat" or (kind is None and path.suffix.lower() == ".xml"):
        return read_cvat_corrections(path)
    data = read_json(path)
    if isinstance(data, list) and kind != "coco":
        return read_label_studio_corrections(data, path)
    if isinstance(data, dict) and kind != "label-studio":
        return read_coco_corrections(data, path)
    raise InputError(f"{path}: not a file of corrections; expected Label Studio's or COCO's JSON, or CVAT's XML")


@dataclass
class Matched:
    """What a file says of a run.

    ``pairs``: by object id. ``new``: masks that are no object of the run, each with its picture's name. ``absent``:
    objects that an export shows and a picture of the file does not have, with what the file says of the picture;
    ``unclear`` are those of them that something which could not be read may be. ``blank``: entries without a mask.
    ``accepted``: what the masks were exported as (see :class:`Entry`), how often.
    """

    pairs: dict[str, Pair] = field(default_factory=dict)
    new: list[tuple[str, Drawn]] = field(default_factory=list)
    absent: dict[str, Sheet] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    blank: list[Entry] = field(default_factory=list)
    accepted: Counter[bool | None] = field(default_factory=Counter)


def match(run: Run, found: Found, dataset: Dataset | None = None) -> Matched:
    """Find the masks of a file again. ``dataset``: the run's, for pictures and objects that the run has not come to.

    Overlaps and pairs are found picture by picture; see :mod:`.pairing`.
    """
    matched = Matched()
    sheets: dict[str, Sheet] = {}
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    bad_sheets: set[str] = set()
    nowhere: set[str | None] = set()
    for one in found:
        if isinstance(one, Problem):
            matched.problems.append(one)
            nowhere.add(one.object_id)
            if one.sheet is not None:
                bad_sheets.add(one.sheet)
        elif isinstance(one, Sheet):
            sheets[one.key] = one
        elif one.blank:
            matched.blank.append(one)
            nowhere.add(one.object_id)
        else:
            entries[one.sheet].append(one)
            matched.accepted[one.accepted] += 1
    image_of = {one.object_id: one.image for one in objects_left(run)}
    if dataset is not None:
        image_of = {sample.sample_id: sample.image_name for sample in dataset} | image_of
    names = PictureNames(image_of.values())
    lying: defaultdict[str, list[Sheet]] = defaultdict(list)
    for sheet in sheets.values():
        ours = {image_of[e.object_id] for e in entries[sheet.key] if e.sure and e.object_id in image_of}
        image = names.find(sheet.image, ours)
        if image is None and sheet.image is not None and entries[sheet.key] and dataset is not None:
            image = sheet.image if _can_be_read(dataset, sheet.image) else None
        if image is not None:
            lying[image].append(sheet)
            continue
        reason = f"the picture {sheet.image!r:.120} is none of the run, or could be several; nothing was taken from it"
        matched.problems += [Problem(entry.where, reason) for entry in entries[sheet.key] if not entry.crowd]
        nowhere |= {entry.object_id for entry in entries[sheet.key]}
    by_image = _known_objects(run, dataset, lying)
    # Who draws an object anew in Label Studio or CVAT cannot give it the id; in COCO another id is another object.
    kept = any(one.sure and one.object_id in image_of for several in entries.values() for one in several)
    for image, several in lying.items():
        # Who worked last on a picture has the last word on it; where the file tells no times, what has its very name.
        *earlier, last = sorted(several, key=lambda sheet: (sheet.when or "", sheet.image == image))
        for sheet in earlier:
            if sheet.kind == "coco" and _plain_path(sheet.image) == _plain_path(last.image):
                # Joined files list pictures twice, each with some of the annotations.
                entries[last.key] += entries[sheet.key]
                bad_sheets |= {last.key} if sheet.key in bad_sheets else set()
            elif entries[sheet.key]:
                bad_sheets.add(last.key)
                reason = f"{last.where} is the same picture ({image!r:.120}) and takes its place"
                matched.problems.append(Problem(sheet.where, reason))
        unclear, ids_kept = last.key in bad_sheets, kept and last.kind == "coco"
        picture = _Picture(image, last, by_image[image], image_of.keys(), ids_kept=ids_kept, unclear=unclear)
        picture.match(entries[last.key], matched)
    matched.unclear |= matched.absent.keys() & nowhere
    return matched


@dataclass
class _Picture:
    """One picture of the run, and the sheet of the file that counts for it."""

    image: str
    sheet: Sheet
    known: Sequence[Known]
    object_ids: Collection[str]
    ids_kept: bool
    unclear: bool

    def match(self, entries: Sequence[Entry], matched: Matched) -> None:
        drawn = [one for one in (self._drawn(entry, matched) for entry in entries) if one is not None]
        fitting = [one for one in self.known if drawn and one.size in (None, drawn[0].entry.size)]
        pairs = pair(fitting, drawn, ids_kept=self.ids_kept)
        matched.pairs |= {one.known.object_id: one for one in pairs}
        paired = {id(one.drawn) for one in pairs}
        # An entry may repeat another: the same mask and label twice are one.
        seen = {(plain_label(one.drawn.entry.label or ""), one.drawn.rle["counts"]) for one in pairs}
        for one in drawn:
            if id(one) not in paired and not one.entry.crowd:
                self._left(one, seen, matched)
        told = {one.known.object_id for one in pairs}
        for known in self.known:
            if known.shown and known.object_id not in told:
                matched.absent[known.object_id] = self.sheet
                if self.unclear:
                    matched.unclear.add(known.object_id)

    def _drawn(self, entry: Entry, matched: Matched) -> Drawn | None:
        """None for what cannot be drawn, which is a problem."""
        sizes = {one.size for one in self.known if one.size is not None}
        try:
            if sizes and entry.size not in sizes:
                height, width = next(iter(sizes))
                raise ValueError(
                    f"is for a picture of {entry.size[1]} x {entry.size[0]}, {self.image!r:.80} has {width} x {height} "
                    "(width x height)"
                )
            if not all(click.inside(*entry.size) for click in entry.clicks):
                raise ValueError("a click lies outside the picture")
            return Drawn(entry, encode_rle(entry.draw()))
        except ValueError as error:
            if not entry.crowd:
                self._tell(entry, str(error), matched)
            return None

    def _left(self, one: Drawn, seen: set[tuple[str, str]], matched: Matched) -> None:
        """A mask that is no object of the run: new, if all is told of it that a new one needs."""
        entry, label = one.entry, plain_label(one.entry.label or "")
        ours = entry.sure and entry.object_id is not None
        if one.empty:
            self._tell(entry, "covers no pixel", matched)
        elif (label, one.rle["counts"]) in seen:
            self._tell(entry, "repeats another mask of this picture and label", matched)
        elif ours and entry.object_id not in self.object_ids:
            self._tell(entry, f"object {entry.object_id!r:.80} is not an object of the run", matched)
        elif not label:
            self._tell(entry, "is a new mask without a label", matched)
        else:
            seen.add((label, one.rle["counts"]))
            matched.new.append((self.image, one))

    def _tell(self, entry: Entry, reason: str, matched: Matched) -> None:
        self.unclear = True
        matched.problems.append(Problem(entry.where, reason))


def _known_objects(run: Run, dataset: Dataset | None, lying: Mapping[str, Sequence[Sheet]]) -> dict[str, list[Known]]:
    """The objects of the pictures that the file has; with the data set also those that the run has no answer for."""
    samples: dict[str, Sample] = {}
    if dataset is not None:
        samples = {sample.sample_id: sample for sample in dataset if sample.image_name in lying}
    given_back = dataset is not None and is_written_into(dataset)
    known: defaultdict[str, list[Known]] = defaultdict(list)

    def whole(image: str) -> bool:
        """COCO files are given back whole: with the data set's mask of every object that there is no better one of."""
        return given_back and any(sheet.kind == "coco" for sheet in lying[image])

    masks_by_people: defaultdict[str, dict[str, Rle]] = defaultdict(dict)
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for event in read_events(run):
        if event.mask is not None:
            masks_by_people[event.object_id][event.mask["counts"]] = event.mask
        if event.label is not None:
            labels[event.object_id].add(event.label)
    for one in objects_left(run):
        sample = samples.pop(one.object_id, None)
        if one.image in lying and (sample is not None or one.record is not None or one.added):
            given = _given_in(sample) if whole(one.image) else ()
            entry = _of_object(one, sample, given, whole=whole(one.image))
            drawn = [rle for rle in masks_by_people[one.object_id].values() if entry.size in (None, (*rle["size"],))]
            known[one.image].append(replace(entry, by_people=tuple(drawn), labels=tuple(labels[one.object_id])))
    for sample in samples.values():
        image = sample.image_name
        given = _given_in(sample) if whole(image) else ()
        known[image].append(_of_object(LeftObject(sample.sample_id, image), sample, given, whole=whole(image)))
    return known


def _of_object(one: LeftObject, sample: Sample | None, given: tuple[Rle, ...], *, whole: bool) -> Known:
    """``given``: the data set's mask; ``whole``: whether exports hold that where there is no better one."""
    said = one.said if sample is None or one.record is not None else (sample.text, sample.category)
    gone = one.stands in GONE
    empty = one.rle is None or not rle_areas([one.rle])[0]
    size = one.size or ((given[0]["size"][0], given[0]["size"][1]) if given else None)
    if one.record is None:
        masks = given
    else:
        trajectory = one.record.trajectory
        answer = trajectory.rle_at(trajectory.returned)
        masks = (answer, *given) if given or one.record.outcome != "repaired" else (answer, trajectory.start.mask)
    return Known(
        one.object_id,
        one.image,
        (one.now.label if one.added else said[1] or said[0]) or "",
        size,
        masks,
        answered=one.record is not None,
        shown=not gone and (not empty or (whole and not one.added)),
        gone=gone,
        added=one.added,
    )


def _given_in(sample: Sample | None) -> tuple[Rle, ...]:
    """The mask that the data set has of the object, none where it cannot be read."""
    try:
        return () if sample is None else (encode_rle(sample.load_target()[0]),)
    except InputError:
        return ()


def _plain_path(name: str | None) -> PurePosixPath | None:
    return None if name is None else PurePosixPath(name.replace("\\", "/"))


def _can_be_read(dataset: Dataset, name: str) -> bool:
    """Whether the data set has a picture of that name, be it one without objects."""
    try:
        dataset.load_image(name)
    except InputError:
        return False
    return True
