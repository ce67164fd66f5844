"""SegAgent as an auto-annotation function of CVAT: ``cvat-cli task auto-annotate``.

Each label of the task is looked for in each picture, by its name or by what ``texts`` says::

    cvat-cli --server-host HOST task auto-annotate TASK \\
        --function-module segagent.annotation.interop.cvat_function \\
        -p "labels=str:dog;cup" -p "texts=str:the dog;the cup on the left" -p policy=str:embedded

Needs ``cvat-sdk`` and ``cvat-cli``, which are no part of segagent. One mask per label and picture, and none where the
expected IoU lies below the threshold (``--conf-threshold``, else ``found``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segagent.annotation.batch import Models, make_models
from segagent.annotation.interop.cvat import mask_runs
from segagent.annotation.interop.polygons import outline
from segagent.annotation.single import annotate_image, checked_text
from segagent.core import Image, InputError, MissingExtraError
from segagent.search import SearchConfig

_TOLERANCE = 1.0


def create(
    labels: str,
    texts: str = "",
    policy: str = "embedded",
    tool: str = "embedded",
    steps: int = 7,
    found: float = 0.3,
) -> DetectionFunction:
    """What ``cvat-cli`` calls with its ``-p`` parameters; ``labels`` and ``texts`` are separated by semicolons.

    Raises ``InputError`` for parameters that do not fit one another, ``MissingExtraError`` without ``cvat-sdk``.
    """
    names = [name.strip() for name in labels.split(";") if name.strip()]
    sentences = [text.strip() for text in texts.split(";")] if texts else names
    if not names or len(sentences) != len(names) or len(set(names)) < len(names):
        raise InputError(
            f"{len(names)} labels and {len(sentences)} texts: give each label once, and a text for each or none at all"
        )
    pairs = {name: checked_text(text) for name, text in zip(names, sentences, strict=True)}
    return DetectionFunction(pairs, make_models(policy, tool), SearchConfig(max_steps=steps), found)


class DetectionFunction:
    """The interface of ``cvat_sdk.auto_annotation.DetectionFunction``."""

    def __init__(self, texts: dict[str, str], models: Models, search: SearchConfig, found: float = 0.3) -> None:
        self._texts, self._models, self._search, self._found = texts, models, search, found
        self._sdk = _auto_annotation()

    @property
    def spec(self) -> Any:
        """The labels, numbered in their order, all of them masks."""
        labels = [self._sdk.label_spec(name, number, type="mask") for number, name in enumerate(self._texts)]
        return self._sdk.DetectionFunctionSpec(labels=labels)

    def detect(self, context: Any, image: Any) -> list[Any]:
        """The shapes of one picture (a Pillow image); polygons where ``context`` wants those."""
        picture = Image.of(np.asarray(image.convert("RGB")))
        lowest = self._found if context.conf_threshold is None else context.conf_threshold
        shapes = []
        for number, text in enumerate(self._texts.values()):
            trajectory = annotate_image(picture, text, self._models.policy, self._models.tool, self._search)
            mask = trajectory.mask_at(trajectory.returned)
            predicted = trajectory.predicted_iou_at(trajectory.returned)
            if not mask.any() or (predicted is not None and self._models.calibrated(predicted) < lowest):
                continue
            if context.conv_mask_to_poly:
                shapes.append(self._sdk.polygon(number, outline(mask, _TOLERANCE).ravel().tolist()))
            else:
                runs, left, top, width, height = mask_runs(mask)
                shapes.append(self._sdk.mask(number, [*runs, left, top, left + width - 1, top + height - 1]))
        return shapes


def _auto_annotation() -> Any:
    try:
        from cvat_sdk import auto_annotation
    except ImportError as error:
        raise MissingExtraError(
            "auto-annotation needs cvat-sdk, which is no part of segagent; install it with: pip install cvat-sdk"
        ) from error
    return auto_annotation
