"""What sentences find in one picture."""

from __future__ import annotations

import numpy as np
import pytest
from interop_runs import HEIGHT, WIDTH, AreaPolicy

from segagent.annotation.batch import Models
from segagent.annotation.interop.finding import find
from segagent.annotation.python_api import annotate
from segagent.core import Image
from segagent.evaluation.calibration import Calibration
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool


def test_each_sentence_has_its_mask_with_what_it_is_worth() -> None:
    models, search = Models(AreaPolicy(), DiscTool(5)), SearchConfig(max_steps=1)
    image = Image.of(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    sentences = {"disc": ("a disc", "the disc"), "ghost": ("a ghost",)}

    def failed(label: str, text: str, error: Exception) -> None:
        pytest.fail(f"{label} {text} {error}")

    found = list(find(image, sentences, models, search, 0.0, failed))
    assert [(one.label, one.text) for one in found] == [("disc", "a disc"), ("disc", "the disc")]
    record = annotate(image, "a disc", models=models, search=search)
    np.testing.assert_array_equal(found[0].mask, record.mask)
    assert record.predicted_iou is not None
    assert found[0].expected_iou == models.calibrated(record.predicted_iou)
    assert found[0].doubts == record.doubts
    worth = found[0].expected_iou
    assert len(list(find(image, sentences, models, search, worth, failed))) == 2
    assert list(find(image, sentences, models, search, worth + 1e-9, failed)) == []


class DoubtingPolicy(AreaPolicy):
    def doubts(self, image: Image, text: str) -> list[str]:
        return ["does not know 'zorblax'"] if "zorblax" in text else []


def test_what_the_policy_doubts_is_worth_less_where_that_is_known() -> None:
    doubted = Calibration((0.0, 1.0), (0.0, 0.5))
    models = Models(DoubtingPolicy(), DiscTool(5), Calibration((0.0, 1.0), (0.0, 1.0), doubted))
    image, sentences = Image.of(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), {"disc": ("a disc", "a zorblax disc")}
    sure, doubtful = find(
        image, sentences, models, SearchConfig(max_steps=1), 0.0, lambda *told: pytest.fail(str(told))
    )
    assert doubtful.doubts == ("does not know 'zorblax'",)
    assert sure.expected_iou is not None
    assert doubtful.expected_iou == pytest.approx(sure.expected_iou / 2)
