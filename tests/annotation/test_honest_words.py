"""What must be known before all figures is said first: doubts, missing images, nothing found, nothing made."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from made_runs import annotation, coco, record, run_folder, square

from segagent.annotation.batch import Models, RunConfig, decide, open_run, run_job, summarise_run
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.annotation.diff import write_diff
from segagent.annotation.interop.provenance import provenance_of
from segagent.annotation.review.entries import entries_of
from segagent.cli.main import main
from segagent.core import Image, InputError
from segagent.core.failures import Failure
from segagent.datasets import open_dataset
from segagent.evaluation.calibration import Calibration, calibration_content
from segagent.evaluation.evidence import Evidence
from segagent.imaging import save_png
from segagent.policies import ScriptedPolicy
from segagent.tools.fake import DiscTool

Captured = pytest.CaptureFixture[str]
WORDS = "the policy doubts 3 of 4 objects: its scores mean little here"


def doubted_run(folder: Path, num_doubted: int, job: str = "refine") -> Path:
    """Four objects, so many of them doubted, and one that failed."""
    dataset = coco(folder / "data" / "coco.json", [annotation(1, square(10, 10, 8))])
    outcome = {"audit": "audited", "refine": "kept", "annotate": "made"}[job]
    objects = [
        record(f"o{n}", outcome, 0.5, 0.4, doubts=("sees nothing",) if n < num_doubted else ())  # type: ignore[arg-type]
        for n in range(4)
    ]
    return run_folder(folder / "run", dataset, [*objects, Failure("bad", "b.png", "no such file")], job)


@pytest.mark.parametrize("job", ["audit", "refine", "annotate"])
def test_doubts_about_most_objects_come_first(tmp_path: Path, job: str, capsys: Captured) -> None:
    run = str(doubted_run(tmp_path, 3, job))
    assert main(["summary", run]) == 0
    assert capsys.readouterr().out.splitlines()[0] == WORDS
    assert main(["review", run]) == 0
    assert capsys.readouterr().out.splitlines()[0] == WORDS
    page = (tmp_path / "run" / "review" / "index.html").read_text(encoding="utf-8")
    body = page[page.index("</h1>") :]
    assert body.index(f"T{WORDS[1:]}.") < body.index("<table>")
    for command in (["summary", run, "--json"], ["review", run, "--json"]):
        assert main(command) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["doubted"], told["warnings"][0]) == (3, WORDS)
    assert main(["export", run, "--to", "masks", "-o", str(tmp_path / "m")]) == 1  # One failed.
    assert capsys.readouterr().err.startswith(f"warning: {WORDS}\n")


def test_fewer_doubts_are_counted(tmp_path: Path, capsys: Captured) -> None:
    run = doubted_run(tmp_path, 2, "audit")
    assert summarise_run(open_run(run))["warnings"] == []
    assert main(["summary", str(run)]) == 0
    assert capsys.readouterr().out.startswith("audit: 5 objects: 4 audited, 1 failed; the policy doubts 2\n")


class Doubting(ScriptedPolicy):
    def doubts(self, image: Image, text: str) -> list[str]:
        return ["sees nothing"]


@pytest.mark.parametrize("job", ["audit", "refine", "annotate"])
def test_the_commands_end_with_it(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    policy = Doubting(["Current IoU: 50. Positive point: (5, 5)"] * 100)
    monkeypatch.setattr("segagent.annotation.batch.models.make_policy", lambda spec: policy)
    data = ["scenes:2:size=64,sentences=1", "-o", str(tmp_path / "run"), "--tool", "disc", "--workers", "1"]
    assert main([job, *data]) == 0
    words = "the policy doubts 2 of 2 objects: its scores mean little here"
    assert capsys.readouterr().out.splitlines()[0] == words
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["warnings"][0] == words


def test_accepted_masks_that_the_policy_doubts_are_named(tmp_path: Path) -> None:
    folder = doubted_run(tmp_path, 3, "annotate")
    run = open_run(folder)
    knots = Calibration((0.0, 1.0), (0.0, 1.0))
    evidence = Evidence.of([0.4] * 400, [1.0] * 400, list(map(str, range(400))), [True] * 400)
    (folder / "calibration.json").write_text(calibration_content(knots, evidence, {}))
    decided = decide(run, 0.9)
    assert len(decided.accepted) == 4
    assert decided.warnings[0].startswith("the policy doubts 3 of the 4 accepted objects")


def test_scores_of_doubted_objects_are_corrected_by_their_own_curve(tmp_path: Path) -> None:
    knots = Calibration((0.0, 1.0), (0.0, 1.0), Calibration((0.0, 1.0), (0.0, 0.5)))
    for policy, expected in ((ScriptedPolicy, 0.5), (Doubting, 0.25)):
        made = partial(policy, ["Current IoU: 50. Positive point: (5, 5)"] * 100)
        out = tmp_path / policy.__name__
        run_job(
            open_dataset("scenes:1:size=64,sentences=1"),
            lambda made=made: Models(made(), DiscTool(), knots),  # type: ignore[misc]
            out,
            RunConfig("audit"),
        )
        run = open_run(out)
        assert run.calibration == knots
        assert summarise_run(run)["expected_iou_given"] == expected
        (entry,) = entries_of(run)
        assert (entry.expected_iou_given, entry.expected_iou) == (expected, expected)
        (record,) = run.objects()
        assert provenance_of(run, record, None)["calibrated_iou"] == expected


def unfinished_run(folder: Path) -> Path:
    """An audit of three of four pictures."""
    annotations = [annotation(n, square(5 * n, 5, 8), image=n) for n in (1, 2, 3, 4)]
    data = coco(folder / "coco.json", annotations, images=("a.png", "b.png", "c.png", "d.png"))
    policy = ScriptedPolicy(["Current IoU: 95. Finish"] * 100)
    run_job(open_dataset(str(data)), lambda: Models(policy, DiscTool()), folder / "run", RunConfig("audit"))
    journal = folder / "run" / JOURNAL_FILE
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    return folder / "run"


def test_missing_images_are_told_everywhere(tmp_path: Path, capsys: Captured) -> None:
    run = str(unfinished_run(tmp_path))
    words = "unfinished: the run has not come to 1 of its images, 4 in all"
    for command, code in (
        (["summary", run], 0),
        (["review", run], 0),
        (["check", run, "-o", str(tmp_path / "check")], 0),
        (["export", run, "--to", "coco", "-o", str(tmp_path / "o.json")], 1),
    ):
        assert main(command) == code
        said = capsys.readouterr()
        assert words in said.out + said.err
    assert words[1:] in (tmp_path / "run" / "review" / "index.html").read_text(encoding="utf-8")
    assert main(["summary", run, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["images_left"]) == (4, 1)


def test_what_an_unfinished_run_has_not_come_to_is_not_removed(tmp_path: Path) -> None:
    run = unfinished_run(tmp_path)
    result = write_diff(tmp_path / "coco.json", run, tmp_path / "diff").result
    assert (result["unchanged"], result["removed"], result["not_compared"]) == (3, 0, 1)
    assert "unfinished" in result["problems"][0]


def test_images_without_objects_are_not_missing(tmp_path: Path) -> None:
    """Rows of a table that have no text are images without objects; the last of them leaves no record."""

    class Group:
        image_name = "empty"

        def samples(self) -> list[object]:
            return []

    class WithEmpty:
        def __init__(self) -> None:
            self._whole = open_dataset("scenes:2:size=64,sentences=1")
            self.spec, self.fingerprint, self.num_images = "scenes:2:size=64,sentences=1", "x", 3

        def groups(self) -> object:
            yield from self._whole.groups()
            yield Group()

    policy = ScriptedPolicy(["Current IoU: 95. Finish"] * 100)
    run_job(WithEmpty(), lambda: Models(policy, DiscTool()), tmp_path / "run", RunConfig("audit"))  # type: ignore[arg-type]
    assert open_run(tmp_path / "run").num_images_left() == 0


def test_nothing_found_nothing_made_nothing_there(tmp_path: Path) -> None:
    dataset = coco(tmp_path / "data" / "coco.json", [annotation(1, square(10, 10, 8))])
    for number, (records, words) in enumerate(
        [
            ([record("a", "not_found", None, 0.1)], "nothing was found"),
            ([record("a", "kept", 0.5, 0.4)], "no mask was replaced"),
            ([Failure("a", "a.png", "gone")], "every object failed (1)"),
            ([], "the data set holds no object: nothing was done"),
        ]
    ):
        run = open_run(run_folder(tmp_path / str(number), dataset, records))
        assert summarise_run(run)["warnings"] == [words]


def test_masks_without_a_score_are_told(tmp_path: Path, capsys: Captured) -> None:
    data = ["scenes:2:size=64,sentences=1", "-o", str(tmp_path / "run"), "--tool", "disc", "--workers", "1"]
    assert main(["annotate", *data, "--policy", "centre"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("the policy predicts no IoU: nothing is known of how good the masks are\n")


def test_a_folder_of_images_that_is_not_there_is_refused_at_once(tmp_path: Path, capsys: Captured) -> None:
    data = coco(tmp_path / "coco.json", [annotation(1, square(10, 10, 8))])
    gone, out = tmp_path / "gone", str(tmp_path / "out")
    assert main(["audit", str(data), "--images", str(gone), "-o", out]) == 2
    assert f"{gone}: no such folder" in capsys.readouterr().err
    for command in ("audit", "evaluate", "trajectories", "corrupt"):
        assert main([command, f"coco:{data}:images={gone}", "-o", out]) == 2
        assert f"{gone}: no such folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    table = tmp_path / "prompts.csv"
    table.write_text("image,text\na.png,x\n")
    with pytest.raises(InputError, match="no such folder"):
        open_dataset(f"prompts:{table}:images={gone}")


def test_an_empty_mask_of_one_picture_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    save_png(tmp_path / "a.png", np.full((30, 40, 3), 90, np.uint8))
    monkeypatch.setattr("segagent.policies.make_policy", lambda spec: ScriptedPolicy(["Current IoU: 0. Finish"]))
    command = ["annotate", str(tmp_path / "a.png"), "x", "-o", str(tmp_path / "out"), "--tool", "disc", "--json"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["warnings"] == ["nothing was found: the mask is empty"]
    assert "nothing was found: the mask is empty" in said.err


@pytest.mark.parametrize(
    ("lines", "words", "others"),
    [
        (["Finish"], "the policy says that there is no such object in the picture", "it is finished"),
        (["Positive point: (20, 15)", "Finish"], "the policy said it is finished", "no such object"),
    ],
)
def test_a_policy_that_finishes_at_once_says_there_is_no_such_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, lines: list[str], words: str, others: str
) -> None:
    save_png(tmp_path / "a.png", np.full((30, 40, 3), 90, np.uint8))
    monkeypatch.setattr("segagent.policies.make_policy", lambda spec: ScriptedPolicy(lines))
    assert main(["annotate", str(tmp_path / "a.png"), "x", "-o", str(tmp_path / "out"), "--tool", "disc"]) == 0
    said = capsys.readouterr().out
    assert f"stopped because {words};" in said
    assert others not in said
    assert ("nothing was found, the mask is empty" in said) == (lines == ["Finish"])
