"""FiftyOne itself applies the model to a data set of its own. Its MongoDB is one in memory where there is no other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models
from segagent.annotation.python_api import annotate
from segagent.core import InputError, Observation, Proposal, RefusedError
from segagent.tools.fake import DiscTool

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def fo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module ``fiftyone``, at a database of its own unless FIFTYONE_DATABASE_URI names one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("FIFTYONE_DO_NOT_TRACK", "1")
        if "FIFTYONE_DATABASE_URI" not in os.environ:
            _in_memory(patch)
        yield pytest.importorskip("fiftyone", reason="needs FiftyOne: pip install fiftyone mongomock")


def _in_memory(patch: pytest.MonkeyPatch) -> None:
    mongomock = pytest.importorskip("mongomock", reason="needs a MongoDB, or: pip install mongomock")
    mongoengine = pytest.importorskip("mongoengine")
    store = mongomock.store.ServerStore()

    class Client(mongomock.MongoClient):  # type: ignore[misc, name-defined]
        _closed = False

        def __init__(self, *args: Any, **more: Any) -> None:
            del args, more
            super().__init__(_store=store)

        def server_info(self) -> Any:
            return {**super().server_info(), "version": "7.0.0"}

    connect = mongoengine.connect
    for name, value in {"URI": "mongodb://127.0.0.1", "VALIDATION": "false", "ADMIN": "false"}.items():
        patch.setenv(f"FIFTYONE_DATABASE_{name}", value)
    patch.setenv("FIFTYONE_DISABLE_SERVICES", "1")
    patch.setattr("pymongo.MongoClient", Client)
    patch.setattr(
        mongoengine,
        "connect",
        lambda name, **_: connect(
            name, host="mongodb://127.0.0.1", mongo_client_class=Client, uuidRepresentation="standard"
        ),
    )


class Stubborn(CheapPolicy):
    """Has no answer to sentences that begin with "no"."""

    def propose(self, observations: Sequence[Observation], *args: Any, **more: Any) -> list[list[Proposal]]:
        if observations[0].text.startswith("no"):
            raise RefusedError("not that")
        return super().propose(observations, *args, **more)


MODELS = Models(Stubborn(), DiscTool())


@pytest.fixture
def dataset(fo: Any, tmp_path: Path) -> Any:
    rng = np.random.default_rng(3)
    samples = []
    for name, mode, captions in (("a", "RGB", ["the cup"]), ("b", "L", ["the red cup", "nothing"]), ("c", "RGBA", [])):
        pixels = rng.integers(0, 255, (48, 64, len(mode)), np.uint8).squeeze()
        PillowImage.fromarray(pixels, mode).save(tmp_path / f"{name}.png")
        samples.append(fo.Sample(filepath=str(tmp_path / f"{name}.png"), captions=captions))
    made = fo.Dataset()
    made.add_samples(samples)
    return made


def whole(detection: Any) -> Any:
    """The mask of a detection in a picture of 48 x 64 pixels, as FiftyOne draws it."""
    return detection.to_segmentation(frame_size=(64, 48)).mask > 0


def test_sentences_become_masks_with_confidence(fo: Any, dataset: Any) -> None:
    from segagent.annotation.interop.fiftyone_model import SentenceModel

    model = SentenceModel({"cup": ["the cup", "the red cup"], "other": "the blue cup"}, models=MODELS)
    dataset.apply_model(model, label_field="found", confidence_thresh=0.0, skip_failures=False)
    for sample in dataset:
        expected = {
            text: annotate(sample.filepath, text, models=MODELS, found=0)
            for text in ("the cup", "the red cup", "the blue cup")
        }
        made = {text: record for text, record in expected.items() if record.mask.any()}
        told = {one.text: one for one in sample.found.detections}
        assert set(told) == set(made) != set()
        for text, record in made.items():
            np.testing.assert_array_equal(whole(told[text]), record.mask)
            assert told[text].label == ("other" if text == "the blue cup" else "cup")
            assert record.predicted_iou is not None
            assert told[text].confidence == pytest.approx(MODELS.calibrated(record.predicted_iou))
    high = max(one.confidence for sample in dataset for one in sample.found.detections) - 1e-6
    dataset.apply_model(model, label_field="sure", confidence_thresh=high)
    assert {one.confidence >= high for sample in dataset for one in sample.sure.detections} == {True}
    assert 0 < dataset.count("sure.detections") < dataset.count("found.detections")


def test_sentences_of_the_samples_and_what_has_no_answer(fo: Any, dataset: Any) -> None:
    from segagent.annotation.interop.fiftyone_model import SentenceModel

    dataset.apply_model(
        SentenceModel(models=MODELS), label_field="said", sentences="captions", confidence_thresh=0.0, batch_size=2
    )
    assert [[one.label for one in sample.said.detections] for sample in dataset] == [["the cup"], ["the red cup"], []]
    dataset.apply_model(SentenceModel(["nothing"], models=MODELS), label_field="failed")
    assert not dataset.has_sample_field("failed")
    with pytest.raises(InputError, match="no sentences"):
        dataset.apply_model(SentenceModel(models=MODELS), label_field="none", skip_failures=False)
