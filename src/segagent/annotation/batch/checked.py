"""A person's word on some masks of a run, read from a file that people and programs write."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.records import ObjectRecord
from segagent.core import InputError, decode_rle, iou
from segagent.core.texts import read_json
from segagent.datasets.coco_masks import decode_segmentation, is_no_mask
from segagent.datasets.listed import id_of

CHECKED_SCHEMA = "segagent.checked/1"

_VERDICTS = {"ok": True, "wrong": False}


@dataclass(frozen=True, slots=True)
class Check:
    """What a person found out about a mask: its true ``iou``, or whether it is good enough (``ok``)."""

    object_id: str
    iou: float | None = None
    ok: bool | None = None

    def good(self, iou_bar: float) -> bool:
        """Whether the mask is good enough."""
        return bool(self.ok) if self.iou is None else self.iou >= iou_bar


@dataclass(frozen=True, slots=True)
class Checked:
    """The checks of a file by object id, how many entries are ``open`` (not filled in), and entries that are
    ``unknown``: they are about no mask of the run. ``num_by_overlap``: right masks that were not found by their id.
    """

    checks: dict[str, Check]
    open: int = 0
    unknown: tuple[str, ...] = ()
    num_by_overlap: int = 0


_Entries: TypeAlias = Iterator[tuple[str, str, Callable[[ObjectRecord], Check | None]]]
"""Where an entry stands, the object it is about, and how its check is found; None for one not filled in."""


def mask_digest(record: ObjectRecord) -> str:
    """A short name of the object's answer, so that what was said of it is never taken for another run's mask."""
    counts = record.trajectory.rle_at(record.trajectory.returned)["counts"]
    return hashlib.blake2b(counts.encode("ascii"), digest_size=8).hexdigest()


def read_checked(path: str | Path, run: Run) -> Checked:
    """The checks of masks of ``run`` in a JSON file of one of two forms.

    - A list of ``{"object_id": ..., "iou": 0.83}`` or ``{"object_id": ..., "verdict": "ok"}`` (or ``"wrong"``; null
      is an entry not filled in), as it is or as ``checked`` in an object, which is what ``segagent check`` writes. An
      entry that also tells the object's ``text`` or ``mask`` (:func:`mask_digest`) is about that one alone.
    - COCO annotations that hold the right masks. Those with images are found as ``segagent import`` finds them: by id
      where picture and label agree, else by picture, label and overlap. Without images, ``object_id``, ``sample_id`` or
      ``id`` names the object, the first that is there. One without a segmentation is not filled in.

    Raises ``InputError`` naming the file and the entry that is not right, or where no entry is about a mask of the run.
    """
    name = Path(path)
    data = read_json(name, "expected JSON with checked masks")
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        found = _matched(data, name, run) if data.get("images") else _checked(_coco(data["annotations"], name), run)
    elif isinstance(data, dict) and isinstance(data.get("checked"), list):
        found = _checked(_listed(data["checked"], f"{name}, checked"), run)
    elif isinstance(data, list):
        found = _checked(_listed(data, str(name)), run)
    else:
        raise InputError(f"{name}: expected a list of checked masks, an object with 'checked', or COCO annotations")
    if not found.checks:
        reason = f"none of its {found.open} entries is filled in" if found.open else "none of its entries names one"
        raise InputError(f"{name}: says nothing about the masks of {run.folder}; {reason}")
    return found


def _checked(entries: _Entries, run: Run) -> Checked:
    """The checks of entries that name their objects."""
    wanted: dict[str, tuple[str, Callable[[ObjectRecord], Check | None]]] = {}
    for where, object_id, find in entries:
        if object_id in wanted:
            raise InputError(f"{where}: object {object_id!r} stands in an earlier entry too")
        wanted[object_id] = (where, find)
    checks: dict[str, Check] = {}
    num_open = 0
    for record in run.objects():
        if record.object_id not in wanted or record.outcome == "not_found":
            continue
        try:
            check = wanted[record.object_id][1](record)
        except _OtherMask:
            continue
        del wanted[record.object_id]
        if check is None:
            num_open += 1
        else:
            checks[record.object_id] = check
    return Checked(checks, num_open, tuple(wanted))


class _OtherMask(Exception):  # noqa: N818 - no error: the entry is left out, and that is told
    """The entry is about another mask than the run's."""


def _matched(data: dict[str, Any], path: Path, run: Run) -> Checked:
    """The right masks of a whole COCO file. What has no object of its label, or is not right itself, is unknown."""
    # That package is built on this one.
    from segagent.annotation.interop.from_coco import read_coco_corrections
    from segagent.annotation.interop.matching import match

    matched = match(run, read_coco_corrections(data, path))
    pairs = {name: one for name, one in matched.pairs.items() if not one.relabelled}
    unknown = [one.drawn.entry.where for one in matched.pairs.values() if one.relabelled]
    unknown += [one.entry.where for _, one in matched.new] + [one.where for one in matched.problems]
    checks: dict[str, Check] = {}
    num_by_overlap = 0
    for record in run.objects():
        one = pairs.pop(record.object_id, None)
        if one is None:
            continue
        if record.outcome == "not_found":
            unknown.append(one.drawn.entry.where)
            continue
        trajectory = record.trajectory
        checks[record.object_id] = Check(
            record.object_id, iou=iou(trajectory.mask_at(trajectory.returned), decode_rle(one.drawn.rle))
        )
        num_by_overlap += one.how != "id"
    num_open = sum(not one.crowd for one in matched.blank)
    return Checked(checks, num_open, tuple(unknown), num_by_overlap)


def _listed(entries: list[Any], prefix: str) -> _Entries:
    for index, entry in enumerate(entries):
        where = f"{prefix}[{index}]"
        object_id = _object_id(entry, ("object_id",), where)
        check = _check(entry, object_id, where)
        yield where, object_id, partial(_told, check=check, entry=entry)


def _check(entry: dict[str, Any], object_id: str, where: str) -> Check | None:
    value, verdict = entry.get("iou"), entry.get("verdict")
    if value is not None and verdict is not None:
        raise InputError(f"{where}: give 'iou' or 'verdict', not both")
    if value is not None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1 or math.isnan(value):
            raise InputError(f"{where}: 'iou' must be a number in 0..1, got {value!r:.80}")
        return Check(object_id, iou=float(value))
    if verdict is None and ("verdict" in entry or "iou" in entry):
        return None
    if not isinstance(verdict, str) or verdict not in _VERDICTS:
        raise InputError(f"{where}: 'verdict' must be \"ok\" or \"wrong\" (or give 'iou'), got {verdict!r:.80}")
    return Check(object_id, ok=_VERDICTS[verdict])


def _coco(annotations: list[Any], path: Path) -> _Entries:
    for index, entry in enumerate(annotations):
        where = f"{path}, annotations[{index}]"
        object_id = _object_id(entry, ("object_id", "sample_id", "id"), where)
        yield where, object_id, partial(_compare, entry=entry, where=where)


def _told(record: ObjectRecord, check: Check | None, entry: dict[str, Any]) -> Check | None:
    text, mask = entry.get("text"), entry.get("mask")
    if (text is not None and text != record.text) or (mask is not None and mask != mask_digest(record)):
        raise _OtherMask
    return check


def _compare(record: ObjectRecord, entry: dict[str, Any], where: str) -> Check | None:
    trajectory = record.trajectory
    if is_no_mask(entry.get("segmentation")):
        return None
    try:
        right = decode_segmentation(entry["segmentation"], trajectory.height, trajectory.width)
    except ValueError as error:
        raise InputError(f"{where} (object {record.object_id}): {error}") from error
    return Check(record.object_id, iou=iou(trajectory.mask_at(trajectory.returned), right))


def _object_id(entry: Any, keys: tuple[str, ...], where: str) -> str:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object, got {type(entry).__name__}")
    return str(id_of(entry, next((key for key in keys if key in entry), keys[0]), where))
