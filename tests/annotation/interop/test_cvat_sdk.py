"""CVAT's own client with our auto-annotation function: loaded as ``cvat-cli`` does, its shapes read by CVAT's SDK.

``make test-integrations NAMES=cvat`` installs both and runs this; by itself the file is skipped.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cvat_sdk", reason="needs CVAT's client: make test-integrations NAMES=cvat")
pytest.importorskip("cvat_cli")

from cvat_cli._internal.common import FunctionLoader
from cvat_sdk import auto_annotation, models
from cvat_sdk.auto_annotation.driver import _AnnotationMapper
from cvat_sdk.masks import decode_mask
from PIL import Image as PillowImage

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models
from segagent.annotation.interop import cvat_function
from segagent.annotation.python_api import annotate
from segagent.core import Image
from segagent.datasets.coco_masks import decode_segmentation
from segagent.tools.fake import DiscTool

HEIGHT, WIDTH = 40, 60
PIXELS = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


@dataclass
class Context(auto_annotation.DetectionFunctionContext):  # type: ignore[misc]
    frame_name: str = "a.png"
    conf_threshold: float | None = None
    conv_mask_to_poly: bool = False


def test_the_function_is_loaded_and_its_shapes_are_cvats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvat_function, "make_models", lambda *names: Models(CheapPolicy(), DiscTool()))
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({"cup": ["the red cup", "the blue cup"], "mug": "the striped mug"}))
    given = {"texts_file": str(file), "policy": "embedded"}
    function = FunctionLoader("segagent.annotation.interop.cvat_function", None, given).load()
    assert [(label.name, str(label.type)) for label in function.spec.labels] == [("cup", "mask"), ("mug", "mask")]

    picture = PillowImage.fromarray(PIXELS)
    expected = []
    for text in ("the red cup", "the blue cup", "the striped mug"):
        record = annotate(Image.of(PIXELS), text, models=Models(CheapPolicy(), DiscTool()), found=0.3)
        if record.outcome == "made":
            expected.append(record.mask)
    assert expected
    shapes = function.detect(Context(), picture)
    found = [decode_mask(one.points, image_width=WIDTH, image_height=HEIGHT) for one in shapes]
    assert len(found) == len(expected)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))

    task = [
        models.Label(id=number, name=name, type="mask", attributes=[], sublabels=[])
        for number, name in ((17, "cup"), (18, "mug"))
    ]
    mapper = _AnnotationMapper(
        logging.getLogger(), function.spec.labels, task, allow_unmatched_labels=False, conv_mask_to_poly=False
    )
    tags, mapped = mapper.validate_and_remap(shapes, 5)
    assert not tags
    assert all(one.label_id in (17, 18) and one.frame == 5 for one in mapped)

    outlines = function.detect(Context(conv_mask_to_poly=True), picture)
    for one, mask in zip(outlines, expected, strict=True):
        assert str(one.type) == "polygon"
        assert (decode_segmentation([one.points], HEIGHT, WIDTH) == mask).mean() > 0.97
    assert function.detect(Context(conf_threshold=1.0), picture) == []
