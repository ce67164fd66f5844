"""Specifications of the form ``scheme:PATH[:name=value,...]``, read strictly and written back.

``--text-template`` and ``--crowds`` are such options, given beside the specification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from segagent.core import SpecError

_OPTIONS: dict[str, tuple[str, ...]] = {
    "coco": ("text", "images", "crowds"),
    "lvis": ("text", "images", "crowds"),
    "voc": ("split", "text"),
    "sbd": ("split", "text"),
    "grabcut": ("text",),
    "berkeley": ("text",),
    "davis": ("by", "split", "resolution", "text"),
}
"""The options of every scheme that has one of those that can be given beside it."""

_WORDS = {
    "text": ("the text template", "the sentences of {} are its own"),
    "crowds": ("--crowds", "nothing in {} is left out as a crowd"),
}
"""What each is called, and why a data set has no use for it."""


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


def with_option(spec: str, scheme: str | None, name: str, value: str) -> str:
    """``spec`` with ``name=value`` among its options.

    ``scheme`` is what stands before its first colon, None where it is a path. Raises ``SpecError`` for data sets
    without that option, where ``spec`` gives it another value, and for a value that would be read as another option.
    """
    called, why_not = _WORDS[name]
    takers = f"{called} goes with COCO files and with {', '.join(f'{s}:' for s, o in _OPTIONS.items() if name in o)}"
    if scheme is None:
        file = Path(spec)
        if file.is_dir() and not any((file / one).is_file() for one in ("manifest.json", "manifest.jsonl")):
            file /= "instances.json"
        if file.suffix.lower() != ".json" or file.name == "manifest.json" or not file.is_file():
            raise SpecError(f"{spec!r:.200}: {takers}; {why_not.format('a manifest')}")
        spec, scheme = f"coco:{file}", "coco"
    if name not in _OPTIONS.get(scheme, ()):
        raise SpecError(f"{spec!r:.200}: {why_not.format(scheme)}; {takers}")
    known = dict.fromkeys(_OPTIONS[scheme])
    options = parse_spec(spec, known)[1]
    if name in options:
        if options[name] != value:
            raise SpecError(f"{spec!r:.200}: says {name}={options[name]!r:.80}, {called} is {value!r:.80}")
        return spec
    joined = f"{spec}{',' if options else ':'}{name}={value}"
    if parse_spec(joined, known)[1] != {**options, name: value}:
        raise SpecError(f"{called} {value!r:.80} is empty or would be read as another option")
    return joined
