"""Specifications of the form ``scheme:PATH[:name=value,...]``, read strictly and written back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from segagent.core import SpecError


def parse_spec(spec: str, options: Mapping[str, Sequence[str] | None]) -> tuple[Path, dict[str, str]]:
    """Path and options of ``spec``, its scheme left off.

    Args:
        spec: the specification. A path may hold colons; values may hold commas and colons as long as what follows them
            does not look like another known option.
        options: known names, each with the values it may have, None for free text.

    Raises:
        SpecError: saying which options there are.
    """
    scheme, _, rest = spec.partition(":")
    known = ", ".join(f"{name}={'|'.join(values) if values else '...'}" for name, values in options.items())
    usage = f"expected {scheme}:PATH" + (f"[:name=value,...] with {known}" if known else "")
    if "\0" in spec:
        raise SpecError(f"{spec!r:.200}: not a path; {usage}")
    path, tail = rest, ""
    match = re.search(r":(?=[a-z_]+=)", rest)
    if match is not None:
        path, tail = rest[: match.start()], rest[match.end() :]
    if not path:
        raise SpecError(f"{spec!r:.200}: the path is missing; {usage}")
    names = "|".join(map(re.escape, options)) or "(?!)"
    found: dict[str, str] = {}
    for part in re.split(rf",(?=(?:{names})=)", tail) if tail else []:
        name, _, value = part.partition("=")
        allowed = options.get(name, ())
        if name not in options or name in found or not value:
            raise SpecError(f"{spec!r:.200}: {part!r:.80} is not a known option, each given once; {usage}")
        if allowed is not None and value not in allowed:
            raise SpecError(f"{spec!r:.200}: {name} must be one of {', '.join(allowed)}, got {value!r:.80}")
        found[name] = value
    return Path(path), found


def write_spec(scheme: str, path: Path, options: Mapping[str, str | None]) -> str:
    """The specification of an absolute path and those options that are not None."""
    given = ",".join(f"{name}={value}" for name, value in options.items() if value is not None)
    return f"{scheme}:{path.resolve()}" + (f":{given}" if given else "")
