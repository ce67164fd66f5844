"""Measures of audit and repair, by hand and against sklearn's definition of AUROC."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair_metrics import NAMED, Mended, repair_metrics
from segagent.datasets.corruption import KINDS
from segagent.evaluation.filtering import auroc


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=20))
def test_auroc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[int, bool]]) -> None:
    scores, positive = [float(score) for score, _ in rows], [flag for _, flag in rows]
    pairs = [
        float(a > b) + 0.5 * float(a == b)
        for a, one in zip(scores, positive, strict=True)
        for b, other in zip(scores, positive, strict=True)
        if one and not other
    ]
    found = auroc(scores, positive)
    assert found == pytest.approx(np.mean(pairs)) if pairs else math.isnan(found)


def test_metrics_by_hand() -> None:
    found = repair_metrics(
        [
            Mended("a", "clean", 0.9, 0.9, "ok", 1.0, 1.0, False),
            Mended("a", "dilate", 0.5, 0.4, "spill", 0.6, 0.9, True),
            Mended("b", "clean", 0.4, 0.4, "rough edge", 1.0, 0.8, True),
            Mended("b", "swap", 0.1, 0.1, "wrong object", 0.0, 0.0, False),
        ]
    )
    assert found.count == {"spoiled": 2, "clean": 2, "dilate": 1, "swap": 1}
    assert found.auroc.value == pytest.approx(0.75)
    assert found.auroc_score.value == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert found.aurocs["dilate"].value == pytest.approx(0.75)
    assert found.accuracy.value == pytest.approx(0.75)
    assert found.before["spoiled"].value == pytest.approx(0.3)
    assert found.after["spoiled"].value == pytest.approx(0.45)
    assert found.gain["clean"].value == pytest.approx(-0.1)
    assert found.repaired == {"spoiled": 1, "clean": 1, "dilate": 1, "swap": 0}
    assert found.worsened == {"spoiled": 0, "clean": 1, "dilate": 0, "swap": 0}
    assert found.confusion["clean"] == {"ok": 1, "rough edge": 1}
    assert found.to_dict()["gain"]["dilate"]["value"] == pytest.approx(0.3)


def test_every_kind_of_corruption_has_a_name_for_its_error() -> None:
    assert set(KINDS) == set(NAMED)
    with pytest.raises(ValueError, match="no masks"):
        repair_metrics([])
