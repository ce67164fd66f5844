"""SegAgent as an auto-annotation function of CVAT: ``cvat-cli task auto-annotate``.

Each label of the task is looked for in each picture, by its name, by what ``texts`` says, or by the sentences that a
JSON file gives it, ``{"dog": "the dog", "cup": ["the red cup", "the cup on the left"]}``::

    cvat-cli --server-host HOST task auto-annotate TASK \\
        --function-module segagent.annotation.interop.cvat_function \\
        -p "labels=str:dog;cup" -p "texts=str:the dog;the cup on the left" -p policy=str:embedded
    cvat-cli ... -p texts_file=str:labels.json

Needs ``cvat-sdk`` and ``cvat-cli``, which are no part of segagent. One mask per sentence and picture, and none where
the expected IoU lies below the threshold (``--conf-threshold``, else ``found``). A sentence that the models cannot
answer about a picture is told in the log and takes nothing else with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segagent.annotation.batch import Models, make_models
from segagent.annotation.interop.cvat import mask_points
from segagent.annotation.interop.finding import FOUND, find, read_sentences
from segagent.annotation.interop.polygons import outline
from segagent.annotation.single import checked_text
from segagent.core import BoolMask, Image, InputError, MissingExtraError
from segagent.search import SearchConfig

_TOLERANCE = 1.0

_log = logging.getLogger(__name__)


def create(
    labels: str = "",
    texts: str = "",
    policy: str = "embedded",
    tool: str = "embedded",
    steps: int = 7,
    found: float = FOUND,
    texts_file: str = "",
) -> DetectionFunction:
    """What ``cvat-cli`` calls with its ``-p`` parameters; ``labels`` and ``texts`` are separated by semicolons.

    With ``texts_file`` the labels are those of the file, or those of them that ``labels`` names. Raises ``InputError``
    for parameters that do not fit one another, ``MissingExtraError`` without ``cvat-sdk``.
    """
    names = [name.strip() for name in labels.split(";") if name.strip()]
    if len(set(names)) < len(names):
        raise InputError(f"labels {labels!r:.200}: give each label once")
    if texts_file:
        if texts:
            raise InputError("texts and texts_file say the same thing twice; give one of them")
        sentences = read_sentences(Path(texts_file), names)
    else:
        given = [text.strip() for text in texts.split(";")] if texts else names
        if not names or len(given) != len(names):
            raise InputError(f"{len(names)} labels and {len(given)} texts: give a text for each label or none at all")
        sentences = {name: (checked_text(text),) for name, text in zip(names, given, strict=True)}
    return DetectionFunction(sentences, make_models(policy, tool), SearchConfig(max_steps=steps), found)


class DetectionFunction:
    """The interface of ``cvat_sdk.auto_annotation.DetectionFunction``; ``texts``: sentences by label."""

    def __init__(
        self, texts: Mapping[str, Sequence[str]], models: Models, search: SearchConfig, found: float = FOUND
    ) -> None:
        self._texts, self._models, self._search, self._found = texts, models, search, found
        self._sdk = auto_annotation()

    @property
    def spec(self) -> Any:
        """The labels, numbered in their order, all of them masks."""
        labels = [self._sdk.label_spec(name, number, type="mask") for number, name in enumerate(self._texts)]
        return self._sdk.DetectionFunctionSpec(labels=labels)

    def detect(self, context: Any, image: Any) -> list[Any]:
        """The shapes of one picture (a Pillow image); polygons where ``context`` wants those."""
        picture = Image.of(np.asarray(image.convert("RGB")))
        lowest = self._found if context.conf_threshold is None else context.conf_threshold
        numbers = {label: number for number, label in enumerate(self._texts)}

        def failed(label: str, text: str, error: Exception) -> None:
            _log.warning("%s, label %r, %r: left out: %s", context.frame_name, label, text, error)

        return [
            self._shape(numbers[one.label], one.mask, as_polygon=context.conv_mask_to_poly)
            for one in find(picture, self._texts, self._models, self._search, lowest, failed)
        ]

    def _shape(self, number: int, mask: BoolMask, *, as_polygon: bool) -> Any:
        if as_polygon:
            return self._sdk.polygon(number, outline(mask, _TOLERANCE).ravel().tolist())
        return self._sdk.mask(number, mask_points(mask))


def auto_annotation() -> Any:
    """CVAT's module. Raises ``MissingExtraError`` without it."""
    try:
        from cvat_sdk import auto_annotation
    except ImportError as error:
        raise MissingExtraError(
            "auto-annotation needs cvat-sdk, which is no part of segagent; install it with: pip install cvat-sdk"
        ) from error
    return auto_annotation
