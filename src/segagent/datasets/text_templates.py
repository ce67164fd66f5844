"""``--text-template``: the option ``text=`` of a specification, given beside it."""

from __future__ import annotations

from pathlib import Path

from segagent.core import SpecError
from segagent.datasets.spec_options import parse_spec

_OPTIONS: dict[str, tuple[str, ...]] = {
    "coco": ("text", "images"),
    "lvis": ("text", "images"),
    "voc": ("split", "text"),
    "sbd": ("split", "text"),
    "grabcut": ("text",),
    "berkeley": ("text",),
    "davis": ("by", "split", "resolution", "text"),
}
"""The options of every scheme whose sentences can be made by a template."""


def with_text_template(spec: str, scheme: str | None, template: str) -> str:
    """``spec`` with ``text=template`` among its options.

    ``scheme`` is what stands before its first colon, None where it is a path. Raises ``SpecError`` for data sets whose
    sentences are their own, where ``spec`` names another text, and for a template that would be read as an option.
    """
    if scheme is None:
        file = Path(spec)
        if file.is_dir() and not any((file / name).is_file() for name in ("manifest.json", "manifest.jsonl")):
            file /= "instances.json"
        if file.suffix.lower() != ".json" or file.name == "manifest.json" or not file.is_file():
            raise SpecError(
                f"{spec!r:.200}: a text template goes with COCO files and with {_schemes()}; "
                "the sentences of a manifest are its own"
            )
        spec, scheme = f"coco:{file}", "coco"
    if scheme not in _OPTIONS:
        raise SpecError(
            f"{spec!r:.200}: the sentences of {scheme} are its own; a text template goes with COCO files and with "
            f"{_schemes()}"
        )
    known = dict.fromkeys(_OPTIONS[scheme])
    options = parse_spec(spec, known)[1]
    if "text" in options:
        if options["text"] != template:
            raise SpecError(f"{spec!r:.200}: says text={options['text']!r:.80}, the text template is {template!r:.80}")
        return spec
    joined = f"{spec}{',' if options else ':'}text={template}"
    if parse_spec(joined, known)[1] != {**options, "text": template}:
        raise SpecError(f"the text template {template!r:.80} is empty or would be read as another option")
    return joined


def _schemes() -> str:
    return ", ".join(f"{name}:" for name in _OPTIONS)
