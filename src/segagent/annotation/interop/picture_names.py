"""A picture of the run, found by what another program calls it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from segagent.annotation.picture_path import picture_path


class PictureNames:
    """The pictures of a run, by their names in its data set."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact: dict[str, str] = {}
        self._read: defaultdict[str, set[str]] = defaultdict(set)
        self._by_last: defaultdict[str, set[str]] = defaultdict(set)
        known = set(names)
        for name in sorted(known):
            # Exports call pictures that were no files what they are called and ".png".
            for spelled in (name, f"{name}.png"):
                if spelled == name or spelled not in known:
                    self._exact[spelled] = name
                    self._read[_plain(spelled)].add(name)
                    self._by_last[PurePosixPath(_plain(spelled)).name].add(_plain(spelled))

    def find(self, told: str | None, objects_lie_on: Collection[str] = ()) -> str | None:
        """The picture that a file calls ``told`` (None: nothing), None where none or several could be meant.

        Names agree where they are equal, or where one is the other with folders before it (``b.png``,
        ``images/b.png``, ``https://host/upload/1/0a1b2c3d-b.png``). Other folders are other pictures, unless the
        file's objects are known and lie on one picture of that file name: ``objects_lie_on``.
        """
        if told is None:
            return next(iter(objects_lie_on)) if len(objects_lie_on) == 1 else None
        if told in self._exact:
            return self._exact[told]
        spelled = _plain(told)
        parts = PurePosixPath(spelled).parts
        if not parts:
            return None
        # Label Studio puts eight digits before the name of an uploaded file.
        ends = {parts, (*parts[:-1], re.sub(r"^[0-9a-f]{8}-", "", parts[-1]))}
        alike = {name for end in ends for name in self._by_last.get(end[-1], ())}
        longer = [name for name in alike if any(_ends_with(end, PurePosixPath(name).parts) for end in ends)]
        if spelled in self._read:
            possible = self._read[spelled]
        elif longer:
            possible = self._read[max(longer, key=lambda name: len(PurePosixPath(name).parts))]
        else:
            shorter = {name for name in alike if any(_ends_with(PurePosixPath(name).parts, end) for end in ends)}
            possible = {name for same in shorter or alike for name in self._read[same]}
            if not shorter:
                possible &= set(objects_lie_on)
        meant = possible.intersection(objects_lie_on)
        chosen = meant if len(meant) == 1 else possible
        return next(iter(chosen)) if len(chosen) == 1 else None


def _plain(told: str) -> str:
    return "/".join(picture_path(told).parts)


def _ends_with(parts: tuple[str, ...], end: tuple[str, ...]) -> bool:
    return parts[-len(end) :] == end
