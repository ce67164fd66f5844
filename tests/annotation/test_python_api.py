import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import segagent
from segagent.annotation.batch import Models
from segagent.core import InputError
from segagent.imaging import save_png
from segagent.policies import CentrePolicy, ScriptedPolicy
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

PIXELS = np.full((30, 40, 3), 90, np.uint8)


def scripted(*lines: str) -> Models:
    return Models(ScriptedPolicy(lines), DiscTool())


def square() -> np.ndarray:
    mask = np.zeros((30, 40), np.bool_)
    mask[5:10, 5:10] = True
    return mask


def test_a_picture_in_memory() -> None:
    record = segagent.annotate(
        PIXELS, "the dot", models=scripted("Current IoU: 0. Positive point: (20, 15)", "Current IoU: 99. Finish")
    )
    assert (record.outcome, record.text) == ("made", "the dot")
    assert record.mask[15, 20]


def test_a_picture_on_disk_and_not_found(tmp_path: Path) -> None:
    save_png(tmp_path / "dot.png", PIXELS)
    record = segagent.annotate(
        tmp_path / "dot.png", "x", models=scripted(*["Current IoU: 1. Positive point: (2, 2)"] * 8)
    )
    assert (record.outcome, record.image) == ("not_found", "dot.png")


def test_refine_keeps_or_repairs() -> None:
    better = scripted("Current IoU: 40. Positive point: (20, 15)", "Current IoU: 98. Finish")
    assert segagent.refine(PIXELS, "x", square(), models=better).outcome == "repaired"
    worse = scripted("Current IoU: 40. Positive point: (20, 15)", "Current IoU: 41. Finish")
    kept = segagent.refine(PIXELS, "x", square(), models=worse)
    assert kept.outcome == "kept"
    np.testing.assert_array_equal(kept.mask, square())
    untouched = segagent.refine(PIXELS, "x", square(), models=scripted("Current IoU: 90. Positive point: (1, 1)"))
    assert (untouched.trajectory.stopped, len(untouched.trajectory.steps)) == ("kept", 0)


def test_audit_scores_the_given_mask() -> None:
    record = segagent.audit(PIXELS, "x", square(), models=scripted("Current IoU: 40. Positive point: (20, 15)"))
    assert (record.outcome, record.given_iou, record.predicted_iou) == ("audited", 0.4, 0.4)


def test_a_data_set(tmp_path: Path) -> None:
    models = Models(CentrePolicy(), DiscTool())
    run = segagent.annotate("scenes:2:size=64,sentences=2", out=tmp_path / "run", models=models, search=SearchConfig(1))
    assert len(list(run.objects())) == 4
    assert not list(run.failures())


def test_misuse_is_told(tmp_path: Path) -> None:
    models = scripted()
    with pytest.raises(InputError, match="picture with 'text', or a data set with 'out'"):
        segagent.annotate("x.png", models=models)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="bool"):
        segagent.audit(PIXELS, "x", np.zeros((30, 40), np.uint8), models=models)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="uint8"):
        segagent.annotate(PIXELS.astype(np.float32), "x", models=models)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="workers"):
        segagent.audit("scenes:1", out=tmp_path / "run", models=models, workers=2)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, segagent; assert not {'torch', 'numpy', 'cv2'} & set(sys.modules); assert callable(segagent.audit)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
