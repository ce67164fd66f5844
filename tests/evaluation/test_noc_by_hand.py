"""The number-of-clicks protocol worked out by hand on small masks, from picture files to results.

RITM's rules: click the deepest pixel of the larger error, the covered background where both are as deep, the first in
reading order; the image's edge counts as an edge; clicked pixels are never clicked again; grey 128 is no object and no
background. Ours alone: an IoU reached with the last click is no failure (the mean is the same).
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.core import Click, Image, Segmentation, SegmentRequest, Trajectory, frozen_mask
from segagent.datasets import open_dataset
from segagent.evaluation.measuring import click_metrics
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.results import measure_run, open_runs, read_samples
from segagent.evaluation.run import evaluate

HEIGHT, WIDTH = 6, 8


def block(x0: int, x1: int, y0: int, y1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


# Object A: 4 x 4 pixels, the column right of it undecided. B and C: two rows at the top, four columns.
SQUARE, UNDECIDED, TOP = block(1, 5, 1, 5), block(5, 6, 1, 5), block(0, 4, 0, 2)
ANSWERS = (
    # After the first click two columns are missing, and two are covered beyond the undecided one. Both are one pixel
    # deep, so the covered ones are clicked. (Were the undecided column an error, they would be two deep, in row 2.)
    (block(3, 8, 1, 5), SQUARE | UNDECIDED),
    # One column missing, then a row too many, then right with the last click.
    (block(0, 3, 0, 2), block(0, 4, 0, 3), TOP),
    # Nothing found at first, so the same error is clicked beside the first click; 7 of 8 in the end.
    (block(0, 0, 0, 0), block(0, 3, 0, 2), TOP & ~block(3, 4, 1, 2)),
)
CLICKS = (
    [Click(2, 2, True), Click(6, 1, False)],
    [Click(0, 0, True), Click(3, 0, True), Click(0, 2, False)],
    [Click(0, 0, True), Click(1, 0, True), Click(3, 0, True)],
)
IOUS = ([8 / 24, 1.0], [6 / 8, 8 / 12, 1.0], [0.0, 6 / 8, 7 / 8])


class ScriptedTool:
    """Answers the n-th click on a picture by the n-th mask; which picture it is its first pixel says."""

    name = "scripted"
    accepts_box = False

    def embed(self, images: Sequence[Image]) -> list[object]:
        return [(int(image.pixels[0, 0, 0]), image.height, image.width) for image in images]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        answers = []
        for request in requests:
            number, height, width = request.embedding  # type: ignore[misc]
            known = number < len(ANSWERS) and (height, width) == (HEIGHT, WIDTH)
            mask = ANSWERS[number][len(request.prompts) - 1] if known else np.zeros((height, width), np.bool_)
            answers.append(Segmentation(frozen_mask(mask), None))
        return answers


def write_folder(folder: Path) -> None:
    trimap = np.where(SQUARE, 255, np.where(UNDECIDED, 128, 0))
    samples = []
    for number, mask in enumerate((trimap, 255 * TOP, 255 * TOP)):
        PillowImage.fromarray(np.full((HEIGHT, WIDTH, 3), number, np.uint8)).save(folder / f"{number}.png")
        PillowImage.fromarray(mask.astype(np.uint8)).save(folder / f"{number}_mask.png")
        samples.append({"image": f"{number}.png", "mask": f"{number}_mask.png", "text": "it"})
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}))


def test_clicks_ious_and_numbers(tmp_path: Path) -> None:
    write_folder(tmp_path)
    config = EvaluationConfig(protocol="noc", max_clicks=3)
    evaluate(open_dataset(str(tmp_path)), None, ScriptedTool(), tmp_path / "out", config)
    (run,) = open_runs([tmp_path / "out"])
    played = [Trajectory.from_dict(record) for _, record in read_samples(run)]
    assert [[step.action for step in one.steps] for one in played] == list(CLICKS)
    assert [[step.reward for step in one.steps] for one in played] == [pytest.approx(ious) for ious in IOUS]
    found = measure_run(run)[0]["metrics"]
    assert [(found[f"NoC@{k}"]["value"], found[f"NoC@{k}"]["failures"]) for k in (80, 85, 90, 95)] == [
        (pytest.approx(8 / 3), 0),
        (pytest.approx(8 / 3), 0),
        (pytest.approx(8 / 3), 1),  # The third never; the second with its last click.
        (pytest.approx(8 / 3), 1),
    ]
    after = [np.mean([8 / 24, 6 / 8, 0]), np.mean([1, 8 / 12, 6 / 8]), np.mean([1, 1, 7 / 8])]
    assert [found[f"IoU@{k}"]["value"] for k in (1, 2, 3)] == pytest.approx(after)
    assert found["AUC"]["value"] == pytest.approx(np.mean(after))


def test_an_episode_that_ended_early_keeps_its_last_iou() -> None:
    found = click_metrics([0.0, 0.5, 0.96], 5)
    assert [found[f"IoU@{k}"] for k in range(1, 6)] == [(0.5, 1)] + [(0.96, 1)] * 4
    assert found["AUC"][0] == pytest.approx((0.5 + 4 * 0.96) / 5)
    assert (found["NoC@95"], found["failed@95"]) == ((2.0, 1), (0.0, 1))
    # A failure counts as all clicks, however early the episode ended; nothing to click leaves the start.
    found = click_metrics([0.0, 0.5, 0.7], 5)
    assert (found["NoC@80"], found["failed@80"]) == ((5.0, 1), (1.0, 1))
    assert click_metrics([0.25], 2)["IoU@2"] == (0.25, 1)
