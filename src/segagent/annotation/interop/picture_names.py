"""A picture of the run, found by what another program calls it."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath


class PictureNames:
    """The pictures of a run, by their names in its data set."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        self._by_last: defaultdict[str, set[str]] = defaultdict(set)
        known = set(names)
        for name in sorted(known):
            # Exports call pictures that were no files what they are called and ".png".
            for spelled in (name, f"{name}.png"):
                if spelled == name or spelled not in known:
                    plain = _plain(spelled)
                    self._names[spelled] = self._names[plain] = name
                    self._by_last[PurePosixPath(plain).name].add(plain)

    def find(self, told: str | None, objects_lie_on: Collection[str] = ()) -> str | None:
        """The picture that a file calls ``told`` (None: nothing), None where none or several could be meant.

        Names agree where they are equal, or where one is the other with folders before it (``b.png``,
        ``images/b.png``, ``https://host/upload/1/0a1b2c3d-b.png``). Other folders are other pictures, unless the
        file's objects are known and lie on one picture of that file name: ``objects_lie_on``.
        """
        if told is None:
            return next(iter(objects_lie_on)) if len(objects_lie_on) == 1 else None
        if told in self._names:
            return self._names[told]
        spelled = _plain(told)
        if spelled in self._names:
            return self._names[spelled]
        parts = PurePosixPath(spelled).parts
        if not parts:
            return None
        # Label Studio puts eight digits before the name of an uploaded file.
        ends = {parts, (*parts[:-1], re.sub(r"^[0-9a-f]{8}-", "", parts[-1]))}
        alike = {name for end in ends for name in self._by_last.get(end[-1], ())}
        longer = [name for name in alike if any(_ends_with(end, PurePosixPath(name).parts) for end in ends)]
        if longer:
            return self._names[max(longer, key=lambda name: len(PurePosixPath(name).parts))]
        shorter = {
            self._names[name] for name in alike if any(_ends_with(PurePosixPath(name).parts, end) for end in ends)
        }
        possible = shorter or {self._names[name] for name in alike}
        meant = possible.intersection(objects_lie_on)
        if len(meant) == 1:
            return meant.pop()
        return next(iter(shorter)) if len(shorter) == 1 else None


def _plain(told: str) -> str:
    """As a path below a folder, without what only says where the folder is."""
    path = unicodedata.normalize("NFC", told).replace("\\", "/").rpartition("?d=")[2]
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _ends_with(parts: tuple[str, ...], end: tuple[str, ...]) -> bool:
    return parts[-len(end) :] == end
