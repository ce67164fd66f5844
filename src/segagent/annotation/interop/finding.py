"""What sentences find in one picture, for programs that ask for the masks of labels; and the file that maps the two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segagent.annotation.batch import Models
from segagent.annotation.python_api import annotate
from segagent.annotation.single import checked_text
from segagent.core import BoolMask, Image, InputError
from segagent.core.texts import read_json
from segagent.runs.playing import CANNOT_BE_PLAYED
from segagent.search import SearchConfig

FOUND = 0.3
"""Below this expected IoU nothing counts as found, where a program sets no threshold of its own."""


@dataclass(frozen=True, eq=False)
class Found:
    """A mask, bool (height, width) with at least one pixel, of what ``text`` says. ``expected_iou``: what masks that
    the policy scores so are worth on average; None where it scores nothing. ``doubts``: against relying on it here.
    """

    label: str
    text: str
    mask: BoolMask
    expected_iou: float | None
    doubts: tuple[str, ...]


def find_one(
    image: Image,
    text: str,
    models: Models,
    search: SearchConfig = SearchConfig(),
    lowest: float = FOUND,
    label: str = "",
) -> Found | None:
    """The mask of one sentence, as :func:`find`; None where nothing is found. Raises what models raise."""
    record = annotate(image, text, models=models, search=search, found=lowest)
    if record.outcome == "not_found" or not record.mask.any():
        return None
    predicted = record.predicted_iou
    expected = None if predicted is None else models.calibrated(predicted, record.doubts)
    return Found(label, text, record.mask, expected, tuple(record.doubts))


def find(
    image: Image,
    sentences: Mapping[str, Sequence[str]],
    models: Models,
    search: SearchConfig,
    lowest: float,
    failed: Callable[[str, str, Exception], None],
) -> Iterator[Found]:
    """The masks of ``sentences``, by label; ``lowest`` is the least expected IoU, doubts left aside as everywhere where
    it is decided what counts as found.

    ``failed`` is told label, sentence and error where models have no answer; that takes no other sentence with it.
    """
    for label, texts in sentences.items():
        for text in texts:
            try:
                found = find_one(image, text, models, search, lowest, label)
            except CANNOT_BE_PLAYED as error:
                failed(label, text, error)
                continue
            if found is not None:
                yield found


def read_sentences(path: Path, names: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """What a JSON file says to look for, by label; of all its labels where no ``names`` are given.

    Raises ``InputError``.
    """
    wanted = 'expected an object of labels, each with a sentence or a list of them: {"dog": "the black dog"}'
    content = read_json(path, wanted)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: {wanted}")
    found: dict[str, tuple[str, ...]] = {}
    for name, value in content.items():
        listed = value if isinstance(value, list) else [value]
        if not listed or not all(isinstance(text, str) for text in listed):
            raise InputError(f"{path}, label {name!r:.80}: {wanted}")
        try:
            found[name] = tuple(checked_text(text) for text in listed)
        except InputError as error:
            raise InputError(f"{path}, label {name!r:.80}: {error}") from error
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{path}: says nothing about the label {missing[0]!r:.80}; it has {', '.join(found)}")
    return {name: found[name] for name in names} if names else found
