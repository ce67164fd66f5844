import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import segagent
import segagent.policies
from segagent.annotation.batch import Models
from segagent.cli.main import main
from segagent.core import Click, InputError, Observation, Proposal
from segagent.imaging import load_mask, save_png
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


def test_refine_returns_the_best_scored_mask() -> None:
    better = scripted("Current IoU: 40. Positive point: (20, 15)", "Current IoU: 41. Finish")
    repaired = segagent.refine(PIXELS, "x", square(), models=better)
    assert repaired.outcome == "repaired"
    assert repaired.mask[15, 20]
    worse = scripted("Current IoU: 90. Positive point: (20, 15)", "Current IoU: 89. Finish")
    kept = segagent.refine(PIXELS, "x", square(), models=worse)
    assert kept.outcome == "kept"
    np.testing.assert_array_equal(kept.mask, square())


class Drawing:
    """Clicks where its seed says and likes every mask better than the last."""

    name = "drawing"

    def __init__(self) -> None:
        self.score = 0.1

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        replies = []
        for seed in seeds or []:
            rng = np.random.default_rng(seed)
            self.score += 0.01
            clicks = [Click(int(rng.integers(40)), int(rng.integers(30)), True) for _ in range(num_proposals)]
            replies.append([Proposal(click, self.score, None, "") for click in clicks])
        return replies


@pytest.mark.parametrize("job", ["refine", "annotate"])
@pytest.mark.parametrize("seed", [0, 5])
def test_the_command_gives_the_same_mask(
    job: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_png(tmp_path / "a.png", PIXELS)
    save_png(tmp_path / "m.png", square())
    models, search = Models(Drawing(), DiscTool()), SearchConfig(max_steps=2, num_candidates=2)
    if job == "refine":
        record = segagent.refine(tmp_path / "a.png", "x", tmp_path / "m.png", models=models, search=search, seed=seed)
    else:
        record = segagent.annotate(tmp_path / "a.png", "x", models=models, search=search, seed=seed)
    monkeypatch.setattr(segagent.policies, "make_policy", lambda spec: Drawing())
    given = ["--mask", str(tmp_path / "m.png")] if job == "refine" else []
    command = [job, str(tmp_path / "a.png"), "x", *given, "-o", str(tmp_path / "out"), "--tool", "disc", "--json"]
    assert main([*command, "--steps", "2", "--candidates", "2", "--seed", str(seed)]) == 0
    assert json.loads(capsys.readouterr().out)["returned_step"] == record.trajectory.returned > 0
    np.testing.assert_array_equal(load_mask(tmp_path / "out" / "mask.png", 30, 40), record.mask)


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
    for name in ("below", "margin", "sure"):
        with pytest.raises(InputError, match="below, margin and sure are for data sets"):
            segagent.refine(PIXELS, "x", square(), models=models, **{name: 0.5})  # type: ignore[call-overload]
    with pytest.raises(InputError, match="workers and retry_failed are for data sets"):
        segagent.annotate(PIXELS, "x", models=models, workers=2)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="a data set holds its own masks"):
        segagent.refine("scenes:1", mask=square(), out=tmp_path / "run", models=models)  # type: ignore[call-overload]
    for job in (segagent.refine, segagent.audit):
        with pytest.raises(InputError, match="'centre' predicts no IoU"):
            job(PIXELS, "x", square(), models=Models(CentrePolicy(), DiscTool()))
    with pytest.raises(InputError, match="workers"):
        segagent.audit("scenes:1", out=tmp_path / "run", models=models, workers=2)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, segagent; assert not {'torch', 'numpy', 'cv2'} & set(sys.modules); assert callable(segagent.audit)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
