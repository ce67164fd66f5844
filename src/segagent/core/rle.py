"""Areas, intersections and unions of masks straight from their COCO run-length encoding, many pairs at once.

A mask is its *ends*: where its runs end, counted in pixels from the first one in column-major order, beginning with a
run of background that may be empty. ``ends`` is int64 (number of runs), not falling, its last value height x width.
The overlap of two masks is then a merge of two sorted lists and never touches a pixel. The encoding is that of
pycocotools (``maskApi.c``: groups of five bits, from the fourth run on as differences to the run two before).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segagent.core import Rle

Ends = npt.NDArray[np.int64]

_TOGETHER = 128
"""How many pairs are merged in one go: enough to hide Python's own time, small enough for the caches."""


def run_ends(rle: Rle) -> Ends:
    """The ends of one mask. Raises ``ValueError`` on a malformed encoding, as ``core.decode_rle`` does."""
    return _ends_of([rle])[0]


def rle_areas(rles: Sequence[Rle]) -> npt.NDArray[np.int64]:
    """Number of pixels inside each mask, int64 (number of masks)."""
    return np.array([_area(ends) for ends in _ends_of(rles)], np.int64)


def rle_overlaps(
    first: Sequence[Rle], second: Sequence[Rle], ignore: Sequence[Rle | None] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pixel counts of intersection and union of ``first[i]`` and ``second[i]``, each int64 (number of pairs).

    Pixels of ``ignore[i]`` are left out of both, as in :func:`segagent.core.intersection_and_union`. Raises
    ``ValueError`` where an encoding is malformed or the sizes of a pair differ.
    """
    if len(first) != len(second) or (ignore is not None and len(ignore) != len(first)):
        raise ValueError(f"need as many first as second masks, got {len(first)} and {len(second)}")
    intersections, unions = np.zeros(len(first), np.int64), np.zeros(len(first), np.int64)
    for begin in range(0, len(first), _TOGETHER):
        part = slice(begin, begin + _TOGETHER)
        for one, other in zip(first[part], second[part], strict=True):
            _same_size(one, other)
        a, b = _ends_of(first[part]), _ends_of(second[part])
        if ignore is not None:
            for number, left_out in enumerate(ignore[part]):
                if left_out is not None:
                    _same_size(first[begin + number], left_out)
                    away = run_ends(left_out)
                    a[number], b[number] = without(a[number], away), without(b[number], away)
        intersections[part] = _intersections(a, b)
        unions[part] = [_area(x) + _area(y) for x, y in zip(a, b, strict=True)]
    return intersections, unions - intersections


def rle_iou(first: Sequence[Rle], second: Sequence[Rle]) -> npt.NDArray[np.float64]:
    """IoU of each pair in [0, 1], float64; two empty masks agree, so their IoU is 1."""
    intersections, unions = rle_overlaps(first, second)
    return np.where(unions > 0, intersections / np.maximum(unions, 1), 1.0)


def without(ends: Ends, away: Ends) -> Ends:
    """The ends of the pixels that are in the mask ``ends`` and not in ``away``."""
    cuts = np.unique(np.concatenate([ends, away]))
    starts = np.concatenate([[0], cuts[:-1]])
    inside = (np.searchsorted(ends, starts, "right") % 2 == 1) & (np.searchsorted(away, starts, "right") % 2 == 0)
    # Runs alternate: keep an end only where the next piece differs, and begin with background.
    keep = np.append(inside[1:] != inside[:-1], True)
    kept = cuts[keep]
    return np.concatenate([[0], kept]) if inside.size and inside[0] else kept


def _same_size(one: Rle, other: Rle) -> None:
    if list(one["size"]) != list(other["size"]):
        raise ValueError(f"masks differ in size: {one['size']} and {other['size']}")


def _area(ends: Ends) -> int:
    """Sum of the runs at odd places."""
    even = ends.size // 2 * 2
    return int(ends[1:even:2].sum() - ends[0:even:2].sum())


def _intersections(a: Sequence[Ends], b: Sequence[Ends]) -> npt.NDArray[np.int64]:
    """Number of common pixels of each pair; all pairs laid one behind the other on one line of pixels."""
    sizes = np.array([ends[-1] if ends.size else 0 for ends in a], np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    a_starts, a_stops = _intervals(a, offsets)
    b_starts, b_stops = _intervals(b, offsets)
    covered = np.concatenate([[0], np.cumsum(a_stops - a_starts)])

    def inside_before(points: Ends) -> Ends:
        """How many pixels before each point are inside a."""
        place = np.searchsorted(a_starts, points, "right")
        last = np.maximum(place - 1, 0)
        beyond = a_stops[last] - points if a_stops.size else np.zeros_like(points)
        return np.asarray(covered[place] - np.where(place > 0, np.maximum(beyond, 0), 0), np.int64)

    common = np.concatenate([[0], np.cumsum(inside_before(b_stops) - inside_before(b_starts))])
    per_pair = np.concatenate([[0], np.cumsum([ends.size // 2 for ends in b])])
    return np.asarray(np.diff(common[per_pair]), np.int64)


def _intervals(masks: Sequence[Ends], offsets: Ends) -> tuple[Ends, Ends]:
    """Starts and stops of all inside runs, those of mask ``i`` moved by ``offsets[i]``."""
    evens = [ends[: ends.size // 2 * 2] for ends in masks]
    moved = np.concatenate(evens) + np.repeat(offsets[:-1], [ends.size for ends in evens])
    return moved[0::2], moved[1::2]


def _ends_of(rles: Sequence[Rle]) -> list[Ends]:
    """The ends of many masks, their text read in one go. Raises ``ValueError`` on a malformed one."""
    texts, sizes = [], []
    for rle in rles:
        try:
            height, width = (int(n) for n in rle["size"])
            texts.append(rle["counts"].encode("ascii"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"not a compressed COCO RLE: {error}") from error
        sizes.append((height, width))
    lengths = np.array([len(text) for text in texts], np.int64)
    codes = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes >= 64)).any():
        raise ValueError("RLE counts hold a character that no encoder writes")
    closing = np.flatnonzero(codes & 0x20 == 0)
    borders = np.cumsum(lengths)
    full = borders[lengths > 0] - 1
    if (codes[full] & 0x20).any():
        raise ValueError("RLE counts end in the middle of a run")
    values = _numbers(codes, closing)
    runs_before = np.concatenate([[0], np.searchsorted(closing, borders, "left")])
    return [
        _add_up(values[runs_before[i] : runs_before[i + 1]], height, width) for i, (height, width) in enumerate(sizes)
    ]


def _numbers(codes: Ends, closing: Ends) -> Ends:
    """The signed numbers that end at ``closing``: little-endian groups of five bits, bit 4 of the last is the sign."""
    if not closing.size:
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], closing[:-1] + 1])
    length = closing - starts + 1
    if length.max() > 12:
        raise ValueError("RLE counts hold a number that no encoder writes")
    place = np.arange(closing[-1] + 1) - np.repeat(starts, length)
    values = np.add.reduceat((codes[: closing[-1] + 1] & 0x1F) << (5 * place), starts)
    negative = codes[closing] & 0x10 != 0
    return np.where(negative, values - (np.int64(1) << (5 * length)), values)


def _add_up(numbers: Ends, height: int, width: int) -> Ends:
    """Run lengths out of differences, and ends out of lengths."""
    runs = numbers.copy()
    runs[1::2] = np.cumsum(numbers[1::2])
    runs[2::2] = np.cumsum(numbers[2::2])
    ends = np.cumsum(runs)
    if (runs < 0).any():
        raise ValueError("RLE counts hold a negative run")
    if height < 0 or width < 0 or (int(ends[-1]) if ends.size else 0) != height * width:
        raise ValueError(f"RLE counts do not describe {height} x {width} pixels")
    return ends
