"""Which picture before is which one after, where a program has written its path another way.

Programs put folders before a picture's name or take them away, write backslashes, whole paths of one machine, addresses
and ``%20``. Such names are taken as one picture where nothing else could be meant; the rest is told, never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from segagent.annotation.picture_path import PicturePath, picture_path

_MAX_NAMED = 3


@dataclass
class PictureMatch:
    """How the names of two sides go together.

    ``same``: how many are on both sides as they are. ``other_spelling``: by the name after, that before. ``unclear``:
    names before and after of which several could be one picture. ``only_before``, ``only_after``: all others.
    """

    same: int = 0
    other_spelling: dict[str, str] = field(default_factory=dict)
    unclear: list[tuple[list[str], list[str]]] = field(default_factory=list)
    only_before: list[str] = field(default_factory=list)
    only_after: list[str] = field(default_factory=list)

    def name_before(self, after: str) -> str:
        """What a picture of the side after is called before; its own name where it is only there."""
        return self.other_spelling.get(after, after)

    def to_dict(self) -> dict[str, Any]:
        """JSON form: counts, the names that are written another way, and those that are unclear."""
        return {
            "same_name": self.same,
            "other_spelling": {before: after for after, before in self.other_spelling.items()},
            "unclear": [{"before": before, "after": after} for before, after in self.unclear],
            "only_before": len(self.only_before),
            "only_after": len(self.only_after),
        }

    def told(self) -> str:
        """How many pictures are written another way, in words; empty where none is."""
        if not self.other_spelling:
            return ""
        after, before = next(iter(self.other_spelling.items()))
        number = len(self.other_spelling)
        return f"{number} picture{'s' * (number > 1)} with another path taken as the same ({before} is {after} now)"

    def warnings(self) -> list[str]:
        """Why annotations count as removed and added though their pictures may be the same, a sentence each."""
        lines = []
        for before, after in self.unclear[:_MAX_NAMED]:
            lines.append(
                f"no picture was matched with {_some(before)} before and {_some(after)} after, for several could be "
                f"meant; their annotations count as removed and added"
            )
        if len(self.unclear) > _MAX_NAMED:
            lines.append(f"and {len(self.unclear) - _MAX_NAMED} more such names; diff.json has all")
        if self.only_before and self.only_after:
            names = f"before {_some(self.only_before)}; after {_some(self.only_after)}"
            if self.same or self.other_spelling:
                lines.append(
                    f"for {len(self.only_before)} pictures before there is no picture of that name after, for "
                    f"{len(self.only_after)} after none before; their annotations count as removed and added ({names})"
                )
            else:
                lines.append(
                    f"no picture of one side has a name of the other, so their annotations count as removed and added "
                    f"({names}); give both files the same file names if the pictures are the same"
                )
        return lines


def match_pictures(before: Iterable[str], after: Iterable[str]) -> PictureMatch:
    """Pair the names of two sides: equal ones, then those that end alike, the longest common ending first.

    A pair must be the only one with its ending, and one name must be the other's end, or, where one is a whole path or
    an address, the last folder must be the same too.
    """
    old, new = dict.fromkeys(before), dict.fromkeys(after)
    left = _Side(name for name in old if name not in new), _Side(name for name in new if name not in old)
    match = PictureMatch(same=len(old) - len(left[0].paths))
    for length in range(min(side.longest for side in left), 0, -1):
        endings = [side.by_ending(length) for side in left]
        for ending in endings[0].keys() & endings[1].keys():
            _pair(match, left, (endings[0][ending], endings[1][ending]), length)
    place = {name: number for number, name in enumerate(new)}
    match.other_spelling = dict(sorted(match.other_spelling.items(), key=lambda pair: place[pair[0]]))
    match.unclear.sort(key=lambda names: place[names[1][0]])
    match.only_before, match.only_after = (list(side.paths) for side in left)
    return match


class _Side:
    """The names of one side that are not paired yet."""

    def __init__(self, names: Iterable[str]) -> None:
        self.paths = {name: _read(name) for name in names}
        self.longest = max((len(path.parts) for path in self.paths.values()), default=0)

    def by_ending(self, length: int) -> dict[tuple[str, ...], list[str]]:
        """The names that have so many parts, by the last of them."""
        found: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for name, path in self.paths.items():
            if len(path.parts) >= length:
                found[path.parts[-length:]].append(name)
        return found


def _pair(match: PictureMatch, left: tuple[_Side, _Side], names: tuple[list[str], list[str]], length: int) -> None:
    """Pair the names with one ending of ``length`` parts, or note that it is unclear which of them are one picture."""
    old, new = names
    ends_old = [name for name in old if len(left[0].paths[name].parts) == length]
    ends_new = [name for name in new if len(left[1].paths[name].parts) == length]
    if len(ends_old) == len(ends_new) == 1:
        _take(match, left, ends_old[0], ends_new[0])
        old, new = [name for name in old if name not in ends_old], [name for name in new if name not in ends_new]
    paths = [left[0].paths[name] for name in old] + [left[1].paths[name] for name in new]
    if not old or not new or not any(len(path.parts) == length or (path.whole and length > 1) for path in paths):
        return
    if len(old) == len(new) == 1:
        _take(match, left, old[0], new[0])
        return
    match.unclear.append((old, new))
    for side, unclear in zip(left, (old, new), strict=True):
        for name in unclear:
            del side.paths[name]


def _take(match: PictureMatch, left: tuple[_Side, _Side], before: str, after: str) -> None:
    match.other_spelling[after] = before
    del left[0].paths[before], left[1].paths[after]


def _read(name: str) -> PicturePath:
    path = picture_path(name)
    *folders, last = path.parts or ("",)
    if len(last) > len(".png") and last.lower().endswith(".png"):
        # Exports write it behind the names of pictures that are no files.
        return replace(path, parts=(*folders, last[: -len(".png")]))
    return path


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(f"{name:.120}" for name in names[:_MAX_NAMED]) + more
