"""Runs over data sets, with cheap models: what is recorded, what is skipped, retried and refused."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from segagent.annotation.batch import Budget, Models, RunConfig, open_run, run_job, summarise_run
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.core import Click, InputError
from segagent.datasets import open_dataset
from segagent.imaging import encode_png, save_png
from segagent.policies import CentrePolicy, ScriptedPolicy
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

SCENES = "scenes:4:size=64,sentences=2"


def centre() -> Models:
    return Models(CentrePolicy(), DiscTool())


def judge(text: str = "Current IoU: 50. Positive point: (5, 5)") -> Models:
    return Models(ScriptedPolicy([text] * 1000), DiscTool())


ANNOTATE = RunConfig("annotate", SearchConfig(2, use_prm=False))


def folder_of_pictures(folder: Path, num: int = 3) -> Path:
    (folder / "images").mkdir(parents=True)
    rows = ["image,text,id,category"]
    for number in range(num):
        save_png(folder / "images" / f"{number}.png", np.full((24, 32, 3), 10 * number, np.uint8))
        rows += [f"{number}.png,the dot,{number}a,dot", f'{number}.png,"the dot, again",{number}b,']
    (folder / "prompts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def prompts(folder: Path) -> str:
    return f"prompts:{folder / 'prompts.csv'}:images={folder / 'images'}"


def test_every_object_has_one_record_in_order(tmp_path: Path) -> None:
    dataset = open_dataset(SCENES)
    progress = run_job(dataset, centre, tmp_path / "run", ANNOTATE)
    run = open_run(tmp_path / "run")
    records = list(run.objects())
    assert [record.object_id for record in records] == [sample.sample_id for sample in dataset]
    assert progress.outcomes.total() == len(records) == 8
    assert {record.outcome for record in records} == {"made"}
    assert all(record.trajectory.clicks == [Click(32, 32, True)] * len(record.trajectory.clicks) for record in records)
    assert run.costs()["policy_calls"] == sum(record.trajectory.num_policy_calls for record in records)


def test_going_on_makes_the_same_file(tmp_path: Path) -> None:
    dataset = open_dataset(SCENES)
    run_job(dataset, centre, tmp_path / "whole", ANNOTATE)
    whole = (tmp_path / "whole" / JOURNAL_FILE).read_bytes()
    run_job(dataset, centre, tmp_path / "parts", ANNOTATE, budget=Budget(policy_calls=3))
    part = (tmp_path / "parts" / JOURNAL_FILE).read_bytes()
    assert len(part) < len(whole)
    (tmp_path / "parts" / JOURNAL_FILE).write_bytes(part[:-30])  # A torn last line.
    run_job(dataset, centre, tmp_path / "parts", ANNOTATE)
    assert (tmp_path / "parts" / JOURNAL_FILE).read_bytes() == whole


def test_a_run_budget_stops_and_says_so(tmp_path: Path) -> None:
    progress = run_job(open_dataset(SCENES), centre, tmp_path / "run", ANNOTATE, budget=Budget(policy_calls=3))
    assert "3 policy calls" in progress.stopped
    assert 0 < progress.num_samples < 8


def test_a_budget_that_is_just_enough_stops_nothing(tmp_path: Path) -> None:
    whole = run_job(open_dataset(SCENES), centre, tmp_path / "whole", ANNOTATE)
    enough = Budget(policy_calls=int(whole.cost["policy_calls"]))
    for _ in range(2):
        progress = run_job(open_dataset(SCENES), centre, tmp_path / "run", ANNOTATE, budget=enough)
        assert (progress.stopped, progress.num_samples) == ("", 8)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (RunConfig("annotate", SearchConfig(3, use_prm=False)), "search.max_steps 2, now 3 (--steps)"),
        (
            RunConfig("annotate", SearchConfig(2, use_prm=False, max_seconds=4.0)),
            "search.max_seconds null, now 4.0 (--max-seconds)",
        ),
        (RunConfig("annotate", ANNOTATE.search, found=0.5), "found 0.3, now 0.5 (--found)"),
        (RunConfig("annotate", ANNOTATE.search, seed=7), "seed 0, now 7 (--seed)"),
        (RunConfig("refine"), 'job "annotate", now "refine" (the command)'),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, other: RunConfig, told: str) -> None:
    dataset = open_dataset(SCENES)
    run_job(dataset, judge, tmp_path / "run", ANNOTATE)
    with pytest.raises(InputError, match=f"begun with other settings.*{re.escape(told)}"):
        run_job(dataset, judge, tmp_path / "run", other)


def test_another_data_set_is_named(tmp_path: Path) -> None:
    run_job(open_dataset(SCENES), judge, tmp_path / "run", ANNOTATE)
    with pytest.raises(InputError, match=r'dataset "scenes:4.*, now "scenes:5.*its content has changed'):
        run_job(open_dataset("scenes:5:size=64,sentences=2"), judge, tmp_path / "run", ANNOTATE)


def test_failures_are_recorded_and_retried(tmp_path: Path) -> None:
    data = folder_of_pictures(tmp_path / "data")
    good = (data / "images" / "1.png").read_bytes()
    (data / "images" / "1.png").write_bytes(b"not a picture")
    out = tmp_path / "run"
    first = run_job(open_dataset(prompts(data)), centre, out, ANNOTATE)
    assert [one.sample_id for one in first.failures] == ["1a", "1b"]
    assert "1.png" in first.failures[0].reason
    again = run_job(open_dataset(prompts(data)), centre, out, ANNOTATE)
    assert [one.sample_id for one in again.failures] == ["1a", "1b"]
    (data / "images" / "1.png").write_bytes(good)
    retried = run_job(open_dataset(prompts(data)), centre, out, ANNOTATE, retry_failed=True)
    assert (len(retried.failures), retried.num_samples) == (0, 6)
    run = open_run(out)
    assert not list(run.failures())
    assert sorted(record.object_id for record in run.objects()) == ["0a", "0b", "1a", "1b", "2a", "2b"]
    before = (out / JOURNAL_FILE).read_bytes()
    run_job(open_dataset(prompts(data)), centre, out, ANNOTATE, retry_failed=True)
    assert (out / JOURNAL_FILE).read_bytes() == before


def test_a_failure_that_stays_is_the_last_word(tmp_path: Path) -> None:
    data = folder_of_pictures(tmp_path / "data", 2)
    (data / "images" / "0.png").unlink()
    out = tmp_path / "run"
    for _ in range(3):
        progress = run_job(open_dataset(prompts(data)), centre, out, ANNOTATE, retry_failed=True)
    assert sorted(one.sample_id for one in progress.failures) == ["0a", "0b"]
    run = open_run(out)
    assert [failure.sample_id for failure in run.failures()] == ["0a", "0b"]
    assert summarise_run(run)["objects"] == 4


def test_annotating_never_reads_a_mask(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    save_png(data / "images" / "a.png", np.zeros((24, 32, 3), np.uint8))
    (data / "images" / "m.png").write_bytes(b"no mask")
    sample = {"image": "images/a.png", "mask": "images/m.png", "text": "the dot", "width": 32, "height": 24}
    (data / "manifest.json").write_text(json.dumps({"samples": [sample]}), encoding="utf-8")
    assert not run_job(open_dataset(str(data)), centre, tmp_path / "run", ANNOTATE).failures
    assert run_job(open_dataset(str(data)), judge, tmp_path / "audit", RunConfig("audit")).failures


def test_not_found_is_an_answer(tmp_path: Path) -> None:
    data = folder_of_pictures(tmp_path / "data", 1)
    unsure = partial(judge, "Current IoU: 10. Positive point: (5, 5)")
    run_job(open_dataset(prompts(data)), unsure, tmp_path / "run", RunConfig("annotate"))
    assert {record.outcome for record in open_run(tmp_path / "run").objects()} == {"not_found"}


@pytest.mark.parametrize(
    ("config", "purpose"),
    [
        (RunConfig("audit"), "which audit needs"),
        (RunConfig("refine"), "which refine needs"),
        (RunConfig("annotate", SearchConfig(num_candidates=2)), "a choice between candidates needs"),
    ],
)
def test_a_policy_without_predicted_iou_is_refused_before_it_begins(
    tmp_path: Path, config: RunConfig, purpose: str
) -> None:
    with pytest.raises(InputError, match=f"'centre' predicts no IoU, .*{purpose}"):
        run_job(open_dataset(SCENES), centre, tmp_path / "run", config)
    assert not (tmp_path / "run" / JOURNAL_FILE).exists()


def test_a_policy_whose_replies_predict_no_iou_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for spec in (SCENES, "scenes:1:size=64,sentences=1"):  # More and fewer than tell for sure.
        with pytest.raises(InputError, match="predicts no IoU of the given mask, which audit needs"):
            run_job(open_dataset(spec), partial(judge, "Positive point: (5, 5)"), tmp_path / "run", RunConfig("audit"))
        assert not (tmp_path / "run" / JOURNAL_FILE).exists()


def test_a_reply_without_iou_fails_its_object_alone(tmp_path: Path) -> None:
    def forgetful() -> Models:
        lines = ["Positive point: (5, 5)"] * 2 + ["Current IoU: 50. Positive point: (5, 5)"] * 100
        return Models(ScriptedPolicy(lines), DiscTool())

    progress = run_job(open_dataset(SCENES), forgetful, tmp_path / "run", RunConfig("audit"))
    assert len(progress.failures) == 2
    assert progress.outcomes["audited"] == 6


def test_refining_leaves_good_masks_untouched(tmp_path: Path) -> None:
    sure = partial(judge, "Current IoU: 99. Positive point: (5, 5)")
    run_job(open_dataset(SCENES), sure, tmp_path / "run", RunConfig("refine"))
    for record in open_run(tmp_path / "run").objects():
        assert (record.outcome, record.trajectory.stopped) == ("kept", "kept")
        assert not record.trajectory.steps


def test_a_changed_data_set_is_told(tmp_path: Path) -> None:
    data = folder_of_pictures(tmp_path / "data", 1)
    run_job(open_dataset(prompts(data)), centre, tmp_path / "run", ANNOTATE)
    (data / "prompts.csv").write_text("image,text\n0.png,other\n", encoding="utf-8")
    with pytest.raises(InputError, match="has changed"):
        open_run(tmp_path / "run").dataset()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("picture,text\na,b\n", "first line"),
        ("image,text\na.png\n", "line 2: has 1 fields"),
        ("image,text\na.png,\n", "text is empty"),
        ("image,text\n../a.png,x\n", "outside"),
        ("image,text,id\na.png,x,1\na.png,y,1\n", "earlier row"),
        ('image,text\na.png,"x\n', "CSV"),
        ("", "first line"),
    ],
)
def test_bad_prompt_tables_are_refused(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "prompts.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        open_dataset(f"prompts:{tmp_path / 'prompts.csv'}")


def test_masks_as_png_are_as_big_as_their_picture(tmp_path: Path) -> None:
    data = folder_of_pictures(tmp_path / "data", 1)
    run_job(open_dataset(prompts(data)), centre, tmp_path / "run", ANNOTATE)
    record = next(open_run(tmp_path / "run").objects())
    assert record.mask.shape == (24, 32)
    assert encode_png(record.mask)
