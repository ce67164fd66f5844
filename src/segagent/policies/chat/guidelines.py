"""A project's labelling rules: a text that people read beside each object, and language models before each question."""

from __future__ import annotations

import re
from pathlib import Path

from segagent.core import InputError
from segagent.core.texts import read_text

MAX_BYTES = 32_768
"""More would crowd out the question, and nobody would read it."""

_BEFORE = "Labelling rules of this project:\n{}\n(End of the rules.)\n\n"
_MARKUP = str.maketrans({"<": "\u2039", "\uff5c": "|"})
_BRACKETS = re.compile(r"\[(?=/?[A-Z_]{2,20}\])|\{(?=[{%#])")


def read_guidelines(path: str | Path) -> str:
    """The text of a file, line ends as ``\\n``, without white space around it.

    Raises ``InputError`` for a file that is no such text, is larger than :data:`MAX_BYTES`, or says nothing.
    """
    name = Path(path)
    text = read_text(name, "expected a text file with labelling rules", max_bytes=1 << 20)
    size = len(text.encode("utf-8"))
    if size > MAX_BYTES:
        raise InputError(
            f"{name}: {size} bytes of guidelines, more than {MAX_BYTES}; they go before every question to a language "
            "model, so keep them short"
        )
    if odd := next((one for one in text if not (one.isprintable() or one.isspace() or one in _JOINERS)), ""):
        raise InputError(f"{name}: holds the character U+{ord(odd):04X}, which is no text; expected a text file")
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise InputError(f"{name}: is empty; expected labelling rules")
    return text


_JOINERS = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
"""Invisible letters that word processors leave behind."""


def before_prompt(guidelines: str) -> str:
    """What goes before a prompt: the rules, in which nothing is left that a tokenizer or template takes for markup.

    ``<`` becomes a single quotation mark of that form, so "< 20 pixels" can still be read. Empty for empty rules.
    """
    if not guidelines:
        return ""
    return _BEFORE.format(_BRACKETS.sub("(", guidelines.translate(_MARKUP)))
