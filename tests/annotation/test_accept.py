import json
from dataclasses import replace

import numpy as np
import pytest
from accept_runs import made_run, steps_evidence, write_checks

from segagent.annotation.batch import decide
from segagent.annotation.batch.accept import ENOUGH_FINAL
from segagent.annotation.batch.models import Models
from segagent.annotation.batch.run import run_job
from segagent.cli.main import main
from segagent.core import InputError, encode_rle
from segagent.datasets import open_dataset
from segagent.evaluation.calibration import fit_calibration, load_with_evidence, read_calibration
from segagent.policies import CentrePolicy
from segagent.tools.fake import DiscTool

SAID = {"low": 0.5, "high": 0.9, "mute": None, "absent": -1.0, "higher": 0.95, "low2": 0.5}
GOOD_AT_HALF, GOOD_ABOVE = 50.5 / 101, 100.5 / 101


def test_the_line_lies_where_the_promise_is_just_kept(tmp_path) -> None:
    run = made_run(tmp_path / "run", SAID, steps_evidence())
    strict = decide(run, 0.9)
    assert (strict.threshold, strict.accepted) == (0.9, ("high", "higher"))
    # The mute one has no chance that could be told, so it comes first; what was not found comes last.
    assert strict.to_see == ("mute", "low", "low2", "absent")
    assert strict.num_to_see == 4
    assert strict.precision is not None
    assert strict.precision.value == pytest.approx(GOOD_ABOVE)
    assert strict.expected_bad == pytest.approx(2 * (1 - GOOD_ABOVE))
    assert strict.expected_good == pytest.approx((GOOD_AT_HALF + GOOD_ABOVE) / 2)
    assert strict.expected_iou == pytest.approx((0.9 + 0.95) / 2)
    assert strict.expected_iou_all == pytest.approx((0.5 + 0.9 + 0.95 + 0.5) / 4)
    loose = decide(run, 0.7)
    assert (loose.threshold, loose.accepted) == (0.5, ("low", "high", "higher", "low2"))
    assert loose.precision is not None
    assert loose.precision.value == pytest.approx((GOOD_AT_HALF + GOOD_ABOVE) / 2)
    assert decide(run, 0.9, iou_bar=0.3).accepted == ("low", "high", "higher", "low2")


def test_no_line_may_be_high_enough(tmp_path) -> None:
    none = decide(made_run(tmp_path / "run", SAID, steps_evidence()), 0.999)
    assert (none.threshold, none.accepted, none.precision, none.expected_bad) == (None, (), None, 0)
    assert none.num_to_see == len(SAID)
    assert any("0.999" in warning for warning in none.warnings)
    assert json.loads(json.dumps(none.to_dict()))["num_to_see"] == len(SAID)


def test_a_person_has_the_last_word_on_the_masks_that_were_checked(tmp_path) -> None:
    run = made_run(tmp_path / "run", SAID, steps_evidence())
    words = [
        {"object_id": "low", "verdict": "ok"},
        {"object_id": "higher", "verdict": "wrong"},
        {"object_id": "mute", "iou": 0.92},
        {"object_id": "gone", "iou": 0.92},
        {"object_id": "low2", "verdict": None},
    ]
    decision = decide(run, 0.9, checked=write_checks(tmp_path / "c.json", words))
    assert decision.accepted == ("low", "high", "mute")
    assert decision.to_see == ("higher", "low2", "absent")
    assert decision.num_checked == 3
    assert [word in " ".join(decision.warnings) for word in ("'gone'", "not filled in", "only 3")] == [True] * 3


def test_enough_checked_masks_stand_on_their_own(tmp_path) -> None:
    said = {f"c{number}": 0.9 for number in range(50)} | {"free": 0.9}
    run = made_run(tmp_path / "run", said, steps_evidence())
    words = [{"object_id": f"c{number}", "verdict": "ok" if number < 20 else "wrong"} for number in range(50)]

    def promise(number: int) -> float:
        decision = decide(run, 0.01, checked=write_checks(tmp_path / "c.json", words[:number]))
        assert decision.precision is not None
        return decision.precision.value

    assert promise(50) == pytest.approx(20.5 / 51)
    # Thirty checks and evidence worth twenty masks, half of it at 0.9, where all are good.
    assert promise(30) == pytest.approx((20 + 10 + 0.5) / (30 + 10 + 1))


def test_few_checks_give_a_wide_interval(tmp_path) -> None:
    said = {f"c{number}": 0.9 for number in range(80)} | {f"f{number}": 0.9 for number in range(2000)}
    run = made_run(tmp_path / "run", said)
    words = [{"object_id": f"c{number}", "verdict": "wrong" if number % 5 == 0 else "ok"} for number in range(80)]
    few = decide(run, 0.5, checked=write_checks(tmp_path / "few.json", words[:10]))
    many = decide(run, 0.5, checked=write_checks(tmp_path / "many.json", words))
    assert few.precision is not None
    assert many.precision is not None
    assert few.precision.high - few.precision.low > 1.8 * (many.precision.high - many.precision.low)
    assert any("only 10" in warning for warning in few.warnings)
    assert not many.warnings


def test_checked_iou_refits_the_expected_iou(tmp_path) -> None:
    said = {f"c{number}": 0.9 for number in range(60)} | {"free": 0.9}
    run = made_run(tmp_path / "run", said, steps_evidence())
    words = [{"object_id": f"c{number}", "iou": 0.7} for number in range(60)]
    decision = decide(run, 0.5, iou_bar=0.6, checked=write_checks(tmp_path / "c.json", words))
    assert decision.expected_iou == pytest.approx(0.7)


def test_other_evidence_counts_where_final_masks_are_few(tmp_path) -> None:
    few = replace(steps_evidence(), final=tuple(row % 2 == 0 for row in range(200)))
    # Of every other mask, the ones at 0.5 are all good: with 100 of them they do not count alone, with 200 they do.
    assert decide(made_run(tmp_path / "a", SAID, few), 0.9).threshold == 0.9
    large = steps_evidence(200)
    many = replace(large, final=tuple(row % 2 == 0 for row in range(400)))
    assert decide(made_run(tmp_path / "b", SAID, many), 0.9).threshold == 0.5


def test_what_cannot_be_decided_is_refused(tmp_path) -> None:
    run = made_run(tmp_path / "run", SAID)
    with pytest.raises(InputError, match="--calibrate"):
        decide(run, 0.9)
    for target, bar in ((0, 0.9), (1, 0.9), (float("nan"), 0.9), (0.9, 0), (0.9, 1.1)):
        with pytest.raises(InputError, match="must lie between 0 and 1"):
            decide(run, target, bar)
    audited = made_run(tmp_path / "audit", SAID, steps_evidence(), job="audit")
    assert any("given masks" in warning for warning in decide(audited, 0.9).warnings)


def test_a_run_keeps_the_evidence_beside_its_journal(tmp_path) -> None:
    evidence = steps_evidence()
    knots = fit_calibration(evidence.predicted, evidence.true)

    def models() -> Models:
        return Models(CentrePolicy(), DiscTool(), knots, evidence)

    from segagent.annotation.batch import RunConfig, open_run
    from segagent.search import SearchConfig

    run_job(
        open_dataset("scenes:1:size=96,sentences=1"),
        models,
        tmp_path,
        RunConfig("annotate", SearchConfig(2, use_prm=False)),
    )
    assert read_calibration(tmp_path / "calibration.json") == (knots, evidence)
    assert open_run(tmp_path).config["calibration"] == knots.to_dict()


def test_the_shipped_calibration_holds_final_masks_that_fit_it() -> None:
    calibration, evidence = load_with_evidence("embedded")
    assert calibration is not None
    assert evidence is not None
    final = evidence.only_final()
    assert len(final) >= ENOUGH_FINAL
    assert len(set(final.image)) >= 0.85 * len(final)  # Of a photograph people may have said several things.
    # Final masks are picked for their predicted IoU, so they are somewhat worse than states with the same prediction.
    expected = np.mean([calibration(value) for value in evidence.predicted])
    assert expected == pytest.approx(np.mean(evidence.true), abs=0.03)
    assert np.mean([calibration(value) for value in final.predicted]) == pytest.approx(np.mean(final.true), abs=0.05)


def test_on_the_command_line(tmp_path, capsys) -> None:
    run = str(made_run(tmp_path / "run", SAID, steps_evidence()).folder)
    assert main(["summary", run, "--accept", "0.9"]) == 0
    out = capsys.readouterr().out
    assert "at --accept 0.9 (IoU >= 0.90): 2 of 6 objects accepted, expected precision 1.00 [" in out
    assert "4 for a person to see" in out
    assert "cost per accepted mask: " in out
    right = np.zeros((10, 10), np.bool_)
    right[:4] = True
    coco = {"annotations": [{"id": "high", "segmentation": encode_rle(right)}]}
    checked = str(write_checks(tmp_path / "coco.json", coco))
    assert main(["summary", run, "--accept", "0.9", "--calibrate", checked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    told = found["accept"]
    assert "high" in told["to_see"]
    assert found["cost_per_accepted"] == {
        name: round(value / told["num_accepted"], 4) for name, value in found["cost"].items()
    }
    assert main(["summary", run, "--calibrate", checked]) == 2
    assert "--accept" in capsys.readouterr().err
    assert main(["summary", run, "--accept", "1"]) == 2
