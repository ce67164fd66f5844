"""``segagent benchmark`` end to end, on generated scenes and without a model but for one slow test."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

import segagent.policies
from cheap_models import Saying
from segagent.cli.main import main
from segagent.core import BoolMask, Click, Image, Observation, Proposal
from segagent.datasets import open_dataset
from segagent.evaluation.card.figures import FIGURES, TIMED
from segagent.evaluation.card.measuring import measure_section
from segagent.evaluation.card.protocol import SCENES, Benchmark, data_sets, without_folders
from segagent.evaluation.card.reading import read_card
from segagent.evaluation.card.run import play_benchmark
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.results import measure_run, open_runs
from segagent.evaluation.run import evaluate
from segagent.runs.models import make_models
from segagent.search import SearchConfig
from segagent.tools import make_tool

SMALL = "scenes:4:seed=3,split=val,size=64,sentences=2"


class Guesser(Saying):
    """Clicks and predicts by the seed of the question: both differ from state to state."""

    name = "guesser"

    def says(self, look: Observation, seed: int) -> Proposal:
        rng = np.random.default_rng(seed)
        height, width = look.mask.shape
        click = Click(int(rng.integers(width)), int(rng.integers(height)), bool(rng.random() < 0.8))
        return Proposal(click, float(rng.random()), None, "")


class Outlining(Guesser):
    """Guesses, and takes the left half of any picture to be meant."""

    def outline(self, image: Image, text: str) -> BoolMask:
        return np.tile(np.arange(image.width) < image.width // 2, (image.height, 1))


def test_what_clicking_has_to_beat_stands_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segagent.policies, "make_policy", lambda spec: Outlining())
    assert benchmark(tmp_path, "--steps", "2") == 0
    ious = []
    for sample in open_dataset(SMALL):
        mask, _ = sample.load_target()
        half = np.tile(np.arange(mask.shape[1]) < mask.shape[1] // 2, (mask.shape[0], 1))
        ious.append((half & mask).sum() / (half | mask).sum())
    (one,) = read_card(tmp_path).data
    assert one.baselines["outline"]["masks/gIoU"].value == pytest.approx(np.mean(ious))
    assert "own outline, no click" in (tmp_path / "card.md").read_text()
    # A card whose journals were played before there was this baseline is made again without it.
    shutil.rmtree(next(tmp_path.glob("data-*")) / "outline")
    sets = data_sets(0, [SMALL])
    assert "outline" not in measure_section(sets[0], tmp_path, Benchmark(2)).content["baselines"]


@pytest.fixture
def guessing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segagent.policies, "make_policy", lambda spec: Guesser())


def benchmark(out: Path, *options: str, policy: str = "centre") -> int:
    models = [policy, "--tool", "disc", "--workers", "1"]
    arguments = ["benchmark", *models, "--scenes", "0", "--data", SMALL, "-o", str(out)]
    return main([*arguments, "--gallery", "1", *options])


def untimed(out: Path) -> dict:
    card = json.loads((out / "card.json").read_text())
    for one in card["data"]:
        for key in TIMED:
            del one["figures"][key]
    return card


@pytest.mark.usefixtures("guessing")
def test_a_card_has_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark(tmp_path, "--steps", "8", "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    card = json.loads(captured.out)
    assert card == json.loads((tmp_path / "card.json").read_text())
    (one,) = card["data"]
    assert list(one["figures"]) == [figure.key for figure in FIGURES]
    missing = {key for key, figure in one["figures"].items() if figure["value"] is None}
    # It tells no tokens, and no mask of its own reaches an IoU of 0.8.
    assert missing == {"cost/tokens", "cost/seconds per accepted mask", "self-assessment/AUROC@80"}
    for figure in FIGURES:
        value = one["figures"][figure.key]
        if value["low"] is not None:
            assert value["low"] <= value["value"] + 1e-9 <= value["high"] + 2e-9, figure.key
    counts = one["counts"]
    assert (counts["images"], counts["sentences"], counts["refined"]) == (4, 8, 8)
    # Played to the end, though most would have stopped earlier.
    assert counts["states"] == counts["states with a predicted IoU"] == 8 * 8
    assert one["figures"]["self-assessment/MAE"]["count"] == 64
    assert one["figures"]["stopping/steps used"]["value"] < 7
    assert one["stopped"]["converged"] > 0
    assert one["figures"]["given masks/MAE"]["count"] == one["figures"]["masks/cIoU"]["count"] == 8
    assert sum(one["stopped"].values()) == 8
    assert one["baselines"]["annotator"]["masks/gIoU"]["value"] > one["baselines"]["centre"]["masks/gIoU"]["value"]
    lost, stop, choice = (
        one["figures"][f"stopping/{name}"]["value"] for name in ("IoU lost", "lost by stopping", "lost by choosing")
    )
    assert lost == pytest.approx(stop + choice)


@pytest.mark.usefixtures("guessing")
def test_figures_agree_with_an_evaluation_that_stops(tmp_path: Path) -> None:
    assert benchmark(tmp_path / "card", "--steps", "6", "--json") == 0
    figures = json.loads((tmp_path / "card" / "card.json").read_text())["data"][0]["figures"]
    config = EvaluationConfig("res", SearchConfig(6))
    evaluate(open_dataset(SMALL), Guesser(), make_tool("disc"), tmp_path / "res", config)
    results, _ = measure_run(open_runs([tmp_path / "res"])[0])
    for ours, theirs in (
        ("masks/gIoU", "gIoU"),
        ("masks/cIoU", "cIoU"),
        ("masks/Pr@0.8", "Pr@0.8"),
        ("localisation/first-click hit rate", "first-click hit rate"),
        ("cost/calls", "calls"),
        ("cost/invalid replies", "invalid replies"),
    ):
        assert figures[ours]["value"] == pytest.approx(results["metrics"][theirs]["value"]), ours


def test_a_policy_that_predicts_nothing_has_no_self_assessment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark(tmp_path) == 0
    said = capsys.readouterr().out
    (one,) = json.loads((tmp_path / "card.json").read_text())["data"]
    for ability in ("self-assessment", "given masks"):
        for name in ("Pearson", "Spearman", "MAE", "AUROC@80", "ECE"):
            assert one["figures"][f"{ability}/{name}"] == {"value": None, "low": None, "high": None, "count": 0}
            assert re.search(rf"{ability}: {name} +-\n", said)
            assert f"| {ability}: {name} | - | 0 |" in (tmp_path / "card.md").read_text()
    for key in ("masks/gIoU", "masks/cIoU", "localisation/first-click hit rate"):
        assert one["figures"][key]["value"] == one["baselines"]["centre"][key]["value"]
    assert one["reliability"] == []


@pytest.mark.usefixtures("guessing")
def test_going_on_after_a_stop_gives_the_same_card(tmp_path: Path) -> None:
    assert benchmark(tmp_path / "whole", "--json") == 0
    journals = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.jsonl"))
    assert [path.parts[1] for path in journals] == ["annotator", "centre", "full", "refine"]
    for number, kept in enumerate((2, 5)):
        out = tmp_path / f"part{number}"
        for path in journals[: 4 - number]:
            lines = (tmp_path / "whole" / path).read_bytes().splitlines(keepends=True)
            (out / path).parent.mkdir(parents=True)
            (out / path).write_bytes(b"".join(lines[:kept]) + lines[kept][:40])
        assert benchmark(out, "--json") == 0
        assert untimed(out) == untimed(tmp_path / "whole")


@pytest.mark.usefixtures("guessing")
def test_interrupted_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert benchmark(tmp_path / "whole", "--json") == 0
    calls = iter(range(1000))
    plain = Guesser.propose

    def interrupted(self, *arguments, **more):  # type: ignore[no-untyped-def]
        if next(calls) == 60:
            raise KeyboardInterrupt
        return plain(self, *arguments, **more)

    monkeypatch.setattr(Guesser, "propose", interrupted)
    assert benchmark(tmp_path / "out", "--json") == 130
    assert not (tmp_path / "out" / "card.json").exists()
    assert benchmark(tmp_path / "out", "--json") == 0
    assert untimed(tmp_path / "out") == untimed(tmp_path / "whole")


@pytest.mark.usefixtures("guessing")
def test_batches_and_measuring_again_change_nothing(tmp_path: Path) -> None:
    assert benchmark(tmp_path / "one", "--json") == 0
    assert benchmark(tmp_path / "three", "--json", "--batch-images", "3") == 0
    assert untimed(tmp_path / "one") == untimed(tmp_path / "three")
    before = (tmp_path / "one" / "card.json").read_bytes()
    page = (tmp_path / "one" / "card.html").read_bytes()
    assert benchmark(tmp_path / "one", "--json") == 0
    assert (tmp_path / "one" / "card.json").read_bytes() == before
    assert (tmp_path / "one" / "card.html").read_bytes() == page


def test_another_benchmark_in_the_same_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark(tmp_path) == 0
    capsys.readouterr()
    assert benchmark(tmp_path, "--seed", "1") == 2
    assert "was begun with other settings (seed 0, now 1 (--seed))" in capsys.readouterr().err
    assert benchmark(tmp_path, "--tool", "grabcut") == 2


def test_the_scenes_are_fixed_whatever_the_seed() -> None:
    assert data_sets(3, [])[0].dataset.spec == open_dataset(SCENES.format(num=3)).spec
    assert "split=test" in SCENES
    assert Benchmark(seed=1).to_dict() != Benchmark().to_dict()


def write_folder(folder: Path, damaged: bool = False) -> Path:
    folder.mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:30] = 255
    PillowImage.fromarray(mask).save(folder / "m.png")
    for name in ("a.png", "b.png"):
        PillowImage.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(folder / name)
    if damaged:
        (folder / "a.png").write_bytes(b"no picture")
    samples = [{"image": name, "mask": "m.png", "text": "<b>the</b> bar"} for name in ("a.png", "b.png")]
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}))
    return folder


def test_several_data_sets_and_no_folders_in_the_card(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "mine")
    assert benchmark(tmp_path / "out", "--scenes", "2", "--data", str(data), "--name", "<i>me</i>") == 0
    card = read_card(tmp_path / "out")
    assert [one.label for one in card.data] == ["generated scenes (2)", SMALL, "mine"]
    assert card.data[2].figure("localisation/first-click hit rate").value == 1
    for name in ("card.json", "card.md", "card.html"):
        assert str(tmp_path) not in (tmp_path / "out" / name).read_text()
    page = (tmp_path / "out" / "card.html").read_text()
    assert "<i>" not in page
    assert "<b>" not in page
    assert page.count("<figure") == 2 + 3 + 2
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "default-src 'none'" in page


def test_failed_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_folder(tmp_path / "mine", damaged=True)
    assert benchmark(tmp_path / "out", "--data", str(data)) == 1
    assert capsys.readouterr().err.count("failed: image") == 1
    assert read_card(tmp_path / "out").data[1].counts["failed"] == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--scenes", "0"], "nothing to play"),
        (["--scenes", "0", "--data", SMALL, "--data", SMALL], "given twice"),
        (["--scenes", "0", "--data", "nowhere"], "no such file"),
        (["--scenes", "-1"], "--scenes"),
        (["--steps", "0"], "--steps"),
        (["--tool", "hammer"], "hammer"),
        (["--name", ""], "1 to 200 characters"),
        (["--name", "x" * 201], "1 to 200 characters"),
    ],
)
def test_bad_options(tmp_path: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "centre", "--tool", "disc", "-o", str(tmp_path / "out"), "--workers", "1", *options]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ("/home/me/data/", "data"),
        ("refcoco:/data/refcoco:by=unc,split=val,images=/data/coco", "refcoco:refcoco:by=unc,split=val,images=coco"),
        ("hf:C:\\models\\qwen?format=qwen3", "hf:C:qwen?format=qwen3"),
        ("openai:org/model@http://10.0.0.1:8000/v1?key=x", "openai:org/model"),
        ("embedded", "embedded"),
        ("/", "data"),
    ],
)
def test_labels_tell_no_folders(spec: str, label: str) -> None:
    assert without_folders(spec) == label


def test_progress_names_each_play(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    def watch(what: str, done: int, total: int, note: str) -> None:
        seen.append((what, done, total))

    make = partial(make_models, "centre", "disc")
    play_benchmark(data_sets(0, [SMALL]), make, tmp_path, Benchmark(2), watch=watch)
    plays = [f"{SMALL}, {play}" for play in ("full", "refine", "centre", "annotator")]
    assert list(dict.fromkeys(what for what, _, _ in seen)) == plays
    assert [one[1:] for one in seen if one[0] == plays[0]] == [(done, 4) for done in range(5)]


def test_a_budget_is_that_of_all_plays_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    command = ["benchmark", "centre", "--tool", "disc", "--scenes", "0", "--data", SMALL, "--steps", "2", "--json"]
    assert main([*command, "-o", str(whole), "--workers", "1"]) == 0
    played = {file.parent.name: json.loads(file.read_text()) for file in sorted(whole.glob("*/*/summary.json"))}
    assert set(played) == {"full", "refine", "centre", "annotator"}
    calls = {name: one["cost"]["policy_calls"] for name, one in played.items()}
    capsys.readouterr()
    # Enough for the first play and one image of the second; what the baselines are asked is not counted.
    budget = ["--workers", "1", "--budget-calls", str(round(calls["full"]) + 1)]
    assert main([*command, "-o", str(out), *budget]) == 1
    assert "refine: the run's budget of" in capsys.readouterr().err
    assert not (out / "card.json").exists()
    assert sorted(file.parent.name for file in out.glob("*/*/summary.json")) == ["full", "refine"]
    enough = ["--workers", "1", "--budget-calls", str(round(calls["full"] + calls["refine"]))]
    assert main([*command, "-o", str(out), *enough]) == 0
    assert untimed(out) == untimed(whole)


@pytest.mark.slow
def test_the_embedded_policy(tmp_path: Path) -> None:
    assert main(["benchmark", "embedded", "--scenes", "4", "-o", str(tmp_path), "--workers", "1", "--json"]) == 0
    (one,) = read_card(tmp_path).data
    gained = one.figure("refinement/gain, episode").value
    assert one.score is not None
    assert gained is not None
    assert one.baselines["outline"]["masks/gIoU"].value is not None
    centre, annotator = (one.baselines[name]["masks/gIoU"].value for name in ("centre", "annotator"))
    assert centre is not None
    assert annotator is not None
    assert centre + 0.2 < one.score < annotator
    assert gained > 0
    assert one.figure("self-assessment/MAE").count == 4 * 7
