"""Specifications of the form ``scheme:PATH[:name=value,...]``, read strictly and written back.

``--text-template`` and ``--crowds`` are such options, which can be given beside the specification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from segagent.core import SpecError

NOTHING: Mapping[str, str] = MappingProxyType({})

_BESIDE = {
    "text": (
        "the text template",
        "the sentences of {} are its own",
        ("coco", "lvis", "voc", "sbd", "grabcut", "berkeley", "davis", "yolo"),
    ),
    "crowds": ("--crowds", "nothing in {} is left out as a crowd", ("coco", "lvis")),
}
"""Options that can be given beside a specification: what each is called, why others have no use for it, who has."""


def parse_spec(
    spec: str, options: Mapping[str, Sequence[str] | None], beside: Mapping[str, str] = NOTHING
) -> tuple[Path, dict[str, str]]:
    """Path and options of ``spec``, its scheme left off.

    Args:
        spec: the specification. A path may hold colons; values may hold commas and colons as long as what follows them
            does not look like another known option.
        options: known names, each with the values it may have, None for free text.
        beside: options that were given beside the specification; one that it says too must be the same.

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
    for name, value in beside.items():
        if found.setdefault(name, value) != value:
            raise SpecError(f"{spec!r:.200}: says {name}={found[name]!r:.80}, {_BESIDE[name][0]} is {value!r:.80}")
    return Path(path), found


def write_spec(scheme: str, path: Path, options: Mapping[str, str | None]) -> str:
    """The specification of an absolute path and those options that are not None.

    Raises ``SpecError`` where it would be read as something else: a run could not find its data again.
    """
    given = {name: value for name, value in options.items() if value is not None}
    joined = ",".join(f"{name}={value}" for name, value in given.items())
    spec = f"{scheme}:{path.resolve()}" + (f":{joined}" if joined else "")
    try:
        read = parse_spec(spec, dict.fromkeys(options))
    except SpecError:
        read = None
    if read != (path.resolve(), given):
        raise SpecError(
            f"{spec!r:.300}: a path or value in it holds what reads as an option (name= after a colon or comma); "
            "rename that folder or file"
        )
    return spec


def refuse_untaken(spec: str, scheme: str, beside: Mapping[str, str]) -> None:
    """Raise ``SpecError`` where data sets of this scheme (or kind) take not all that was given ``beside`` ``spec``."""
    for name in beside:
        called, why_not, takers = _BESIDE[name]
        if scheme not in takers:
            others = ", ".join(f"{taker}:" for taker in takers)
            raise SpecError(f"{spec!r:.200}: {why_not.format(scheme)}; {called} goes with COCO files and with {others}")
