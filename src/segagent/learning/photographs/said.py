"""What people say of photographs: expressions written by somebody who looked, beside those that are made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segagent.core import Image, InputError
from segagent.core.texts import read_text
from segagent.learning.photographs.facts import see_things
from segagent.learning.photographs.views import Photo, whole_view
from segagent.learning.policy.scene_store import ABSENT_TARGET, SIZE, StoredExpression, StoredScene
from segagent.policies.embedded.tokens import Vocabulary, split_words

SAID = "said"
"""Kind of an expression that somebody wrote, and the split of scenes of them."""
ABSENT_SAID = "absent said"
HEADER = ("folder", "image", "annotation", "expression")
_LEAST_USES = 3
"""A word used less often is not learnt from so few."""


@dataclass(frozen=True)
class Said:
    """The expressions of one file: by name of the folder and id of the image, pairs of the id of the annotation that is
    meant (None: nothing in the picture) and the text.
    """

    by_image: Mapping[tuple[str, int], Sequence[tuple[int | None, str]]] = field(default_factory=dict)

    def words(self, known: Iterable[str]) -> frozenset[str]:
        """The words that are used at least three times, and are not read as one of ``known`` anyway."""
        vocabulary = Vocabulary(known)
        texts = [text for pairs in self.by_image.values() for _, text in pairs]
        counts = Counter(word for text in texts for word in split_words(text))
        often = {word for word, count in counts.items() if count >= _LEAST_USES}
        return frozenset(word for word in often if vocabulary.unknown_words(word) or vocabulary.guesses(word))


def read_said(path: Path) -> Said:
    """Read a table of tab-separated columns ``folder``, ``image``, ``annotation``, ``expression``, named in its first
    line: the name of a COCO-format folder, ids of ``instances.json`` there, and the text. No annotation: nothing in
    this picture is meant. Raises ``InputError`` naming the line where one is none.
    """
    lines = read_text(path, "expected a table of expressions").splitlines()
    if not lines or tuple(lines[0].split("\t")) != HEADER:
        raise InputError(f"{path}: the first line must be the columns' names, {', '.join(HEADER)}, with tabs between")
    found: dict[tuple[str, int], list[tuple[int | None, str]]] = {}
    for number, line in enumerate(lines[1:], 2):
        cells = line.split("\t")
        if len(cells) != len(HEADER) or not split_words(cells[3]):
            raise InputError(
                f"{path}, line {number}: expected {len(HEADER)} columns, the last with words, not {line!r}"
            )
        try:
            image, annotation = int(cells[1]), int(cells[2]) if cells[2] else None
        except ValueError:
            raise InputError(
                f"{path}, line {number}: image and annotation must be whole numbers, not {line!r}"
            ) from None
        found.setdefault((cells[0], image), []).append((annotation, cells[3]))
    return Said(found)


def said_scene(photo: Photo, expressions: Sequence[tuple[int | None, str]]) -> tuple[Image, StoredScene]:
    """A whole photograph at its own size, and as a scene with what was said of it.

    What is said of an annotation that is too small to be seen there is left out. The noun phrase is taken to fit all
    things of the target's category.
    """
    view = whole_view(photo, SIZE)
    place = {annotation: number for number, annotation in enumerate(view.ids)}
    written = []
    for annotation, text in expressions:
        if annotation is None:
            written.append(StoredExpression(text, ABSENT_TARGET, ABSENT_SAID, (), None))
        elif annotation in place:
            target = place[annotation]
            alike = tuple(i for i, names in enumerate(view.names) if names[0] == view.names[target][0])
            written.append(StoredExpression(text, target, SAID, alike, None))
    names = tuple((t.fact.category, t.fact.color, t.fact.pattern, t.fact.size) for t in see_things(view))
    scene = StoredScene(SAID, photo.image_id, view.pixels, view.labels, names, tuple(written), view.told)
    return Image.of(photo.pixels), scene
