"""SegAgent as a model of FiftyOne: sentences to masks with a confidence, by ``dataset.apply_model``::

    model = SentenceModel({"mug": ["the striped mug", "the blue mug"], "book": "the open book"})
    dataset.apply_model(model, label_field="segagent")
    dataset.apply_model(SentenceModel(), label_field="segagent", sentences="caption")  # A field of the samples.

Needs ``fiftyone``, which is no part of segagent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from segagent.annotation.batch import Models, make_models
from segagent.annotation.interop.finding import FOUND, Found, find, read_sentences
from segagent.annotation.single import checked_text
from segagent.core import Image, InputError, MissingExtraError
from segagent.environment.simulated import box_around
from segagent.search import SearchConfig

try:
    import fiftyone as fo
    from fiftyone.core.models import Model, SamplesMixin
except ImportError as error:
    raise MissingExtraError(
        "the model for FiftyOne needs fiftyone, which is no part of segagent; install it with: pip install fiftyone"
    ) from error

_SENTENCES = "sentences"

_log = logging.getLogger(__name__)


class SentenceModel(SamplesMixin, Model):
    """A ``fiftyone.core.models.Model`` for images: a ``Detections`` with a mask for each sentence that is found.

    A detection's ``label`` is the sentence's label, ``confidence`` the IoU to be expected of its mask (None where the
    policy scores nothing), ``text`` the sentence, ``doubts`` what speaks against relying on it. A sentence that models
    have no answer to is told in the log and takes no other with it; where none had one, the sample fails.

    Args:
        texts: sentences, which are their own labels; or sentences by label; or a JSON file of these. In their place,
            ``apply_model(sentences=...)`` names a field of the samples that holds a sentence, or a list of them.
        models: who works; default: the embedded ones.
        search: how is clicked.
        found: below this expected IoU nothing counts as found; ``apply_model(confidence_thresh=...)`` goes before it.

    Raises ``InputError``.
    """

    def __init__(
        self,
        texts: Sequence[str] | Mapping[str, str | Sequence[str]] | str | Path | None = None,
        *,
        models: Models | None = None,
        search: SearchConfig = SearchConfig(),
        found: float = FOUND,
    ) -> None:
        super().__init__()
        self._sentences = None if texts is None else _by_label(texts)
        self._models = models or make_models("embedded", "embedded")
        self._search = search
        self.config = SimpleNamespace(confidence_thresh=found)  # Where FiftyOne puts the threshold that it is given.

    media_type = "image"
    ragged_batches = True
    """Pictures of a batch may not differ in size, FiftyOne takes this to say; so it gives them one by one."""
    transforms = None
    preprocess = False

    def predict(self, arg: npt.NDArray[np.uint8], sample: Any = None) -> Any:
        """The detections in a picture, uint8 (height, width) or (height, width, 1, 3 or 4)."""
        image = Image.of(np.asarray(PillowImage.fromarray(np.squeeze(arg)).convert("RGB")))
        failures: list[Exception] = []

        def failed(label: str, text: str, error: Exception) -> None:
            name = getattr(sample, "filepath", "picture")
            _log.warning("%s, label %r, %r: left out: %s", name, label, text, error)
            failures.append(error)

        lowest = self.config.confidence_thresh
        sentences = self._asked(sample)
        found = [_detection(one) for one in find(image, sentences, self._models, self._search, lowest, failed)]
        if failures and not found:
            raise failures[0]
        return fo.Detections(detections=found)

    def predict_all(self, args: Sequence[npt.NDArray[np.uint8]], samples: Sequence[Any] | None = None) -> list[Any]:
        """As :meth:`predict`, of several pictures."""
        return [self.predict(arg, sample) for arg, sample in zip(args, samples or [None] * len(args), strict=True)]

    def _asked(self, sample: Any) -> Mapping[str, Sequence[str]]:
        field = self.needs_fields.get(_SENTENCES)
        if field is None:
            if self._sentences is None:
                raise InputError("no sentences: give the model some, or apply_model(sentences=FIELD of the samples)")
            return self._sentences
        if sample is None:
            raise InputError(f"the sentences are in the field {field!r} of samples, and there is no sample")
        told = sample[field]
        return {} if not told else _by_label([told] if isinstance(told, str) else told)


def _by_label(texts: Sequence[str] | Mapping[str, str | Sequence[str]] | str | Path) -> dict[str, tuple[str, ...]]:
    if isinstance(texts, str | Path):
        return read_sentences(Path(texts))
    if isinstance(texts, Mapping):
        listed = {label: (told,) if isinstance(told, str) else told for label, told in texts.items()}
    else:
        listed = {text: (text,) for text in texts}
    return {label: tuple(checked_text(text) for text in told) for label, told in listed.items()}


def _detection(found: Found) -> Any:
    height, width = found.mask.shape
    box = box_around(found.mask)
    assert box is not None, "a found mask has a pixel"
    return fo.Detection(
        label=found.label,
        bounding_box=[box.x0 / width, box.y0 / height, (box.x1 - box.x0) / width, (box.y1 - box.y0) / height],
        mask=found.mask[box.y0 : box.y1, box.x0 : box.x1].copy(),
        confidence=found.expected_iou,
        text=found.text,
        doubts=list(found.doubts),
    )
