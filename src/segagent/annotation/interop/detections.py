"""A run's masks as ``supervision`` detections, for those who go on in Python with that library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from segagent.annotation.batch import Run
from segagent.annotation.interop.answers import Answers, ImageAnswers
from segagent.core import MissingExtraError
from segagent.environment.simulated import box_around


def detections_of(run: Run, accepted: frozenset[str] | None = None) -> Iterator[tuple[str, Any]]:
    """Image name and ``supervision.Detections`` for each image that has masks, one at a time.

    ``confidence`` is the IoU to be expected (nan where unknown), ``class_id`` numbers the labels as the exports do;
    ``data`` has ``class_name``, ``object_id``, ``text``, ``outcome`` and ``accepted``. With ``accepted`` only those.
    Raises ``MissingExtraError`` without supervision, ``InputError`` without the data set that the run was made of.
    """
    try:
        import supervision
    except ImportError as error:
        raise MissingExtraError(
            "detections need supervision, which is no part of segagent; install it with: pip install supervision"
        ) from error
    answers = Answers(run, run.dataset(), accepted, only_accepted=accepted is not None)
    answers.survey()
    for image in answers.by_image():
        if image.answers:
            yield image.image, supervision.Detections(**_arrays(image, answers.labels))


def _arrays(image: ImageAnswers, labels: dict[str, int]) -> dict[str, Any]:
    masks = [answer.mask for answer in image.answers]
    boxes = [box for mask in masks if (box := box_around(mask)) is not None]
    scores = [np.nan if answer.score is None else answer.score for answer in image.answers]
    return {
        "xyxy": np.array([[box.x0, box.y0, box.x1, box.y1] for box in boxes], np.float32),
        "mask": np.stack(masks),
        "confidence": np.array(scores, np.float32),
        "class_id": np.array([labels[answer.label] for answer in image.answers], np.int64),
        "data": {
            "class_name": np.array([answer.label for answer in image.answers]),
            "object_id": np.array([answer.object_id for answer in image.answers]),
            "text": np.array([answer.text for answer in image.answers]),
            "outcome": np.array([answer.outcome for answer in image.answers]),
            "accepted": np.array([bool(answer.accepted) for answer in image.answers]),
        },
    }
