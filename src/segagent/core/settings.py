"""Settings that something was begun with, beside those it is to be continued with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segagent.core.errors import InputError
from segagent.core.texts import read_json

_MOST = 4

_CONTENTS = {
    "dataset": "its content has changed",
    "policy_answers": "the policy answers otherwise, so its weights have changed",
    "tool_answers": "the tool answers otherwise, so its weights have changed",
    "calibration": "the policy's calibration has changed",
    "guidelines": "their text has changed",
    "examples": "the training examples have changed",
}
"""What is said of settings whose values are digests or tables, which say nothing to a person."""


def changed_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], options: Mapping[str, str] | None = None
) -> str:
    """What differs between two mappings of JSON values, with the old and the new value; empty where nothing does.

    ``options`` tells by what option a setting is given, by its name; one within another is named ``outer.inner``.
    Where many differ, four are told and the others counted.
    """
    old, new = dict(_flat(before)), dict(_flat(now))
    names = [name for name in dict.fromkeys([*new, *old]) if old.get(name) != new.get(name)]
    told = [_told(name, old.get(name), new.get(name), options or {}) for name in names[:_MOST]]
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return "; ".join(told) + more


def require_same(
    where: str | Path,
    before: object,
    now: Mapping[str, Any],
    options: Mapping[str, str] | None = None,
    remedy: str = "choose another folder",
) -> None:
    """Raise ``InputError`` where ``before``, as read from JSON, are other settings than ``now``.

    ``remedy`` says what to do then; ``options`` as in :func:`changed_settings`.
    """
    told = changed_settings(before if isinstance(before, Mapping) else {}, json.loads(json.dumps(now)), options)
    if told:
        raise InputError(f"{where}: was begun with other settings ({told}); {remedy}")


def claim(
    path: Path, settings: Mapping[str, Any], options: Mapping[str, str] | None = None, *, anew: bool = False
) -> None:
    """Put the settings of what is begun into its folder, or check that they are those it was begun with.

    ``anew`` puts them there whatever was begun. The folder is made. Raises ``InputError`` for other settings, and where
    ``path`` cannot be read or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if anew or not path.exists():
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(settings, indent=1) + "\n", encoding="ascii")
            partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
    require_same(path.parent, read_json(path, "choose another folder"), settings, options)


def _flat(settings: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and name not in _CONTENTS:
            yield from _flat(value, f"{outer}{name}.")
        else:
            yield outer + name, value


def _told(name: str, old: Any, new: Any, options: Mapping[str, str]) -> str:
    if name in _CONTENTS:
        return f"{name}: {_CONTENTS[name]}"
    option = f" ({options[name]})" if name in options else ""
    return f"{name} {json.dumps(old)}, now {json.dumps(new)}{option}"
