"""Our figures of a prediction file against its published evaluation's rules, written down once more from the text.

The published script itself gave the same to 1e-7 (docs/parity-published.md); here its rules are applied literally to
the file's content: numbers after "Current IOU: ", sums pixel by pixel.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.core import Action, Click, Finish, Rle, Start, Step, Trajectory, decode_rle, encode_rle
from segagent.datasets.published import PublishedEpisode, read_published_predictions, write_published_predictions
from segagent.datasets.published_replies import read_predicted_iou, with_predicted_iou
from segagent.evaluation.measuring import MeasuredSample, Rules, measure
from segagent.evaluation.metrics import Sums

HEIGHT, WIDTH = 12, 15


def literal_figures(file: Path) -> tuple[float, float]:
    """cIoU and gIoU by the published rules; entries that a script of that kind would skip must not be in the file."""
    above = below = mean = 0.0
    content = json.loads(file.read_text())
    for one in content:
        assert (one["masks"], one["click_id"]) == (None, 0)  # The script reads both.
        mask, target = (decode_rle(rle) for rle in (literal_mask(one["pred_list"]), one["gt_mask"]))
        intersection, union = (mask & target).sum(), (mask | target).sum()
        above, below = above + intersection, below + union
        mean += intersection / union if union else 1.0
    return above / (below + 1e-5), mean / len(content)


def literal_mask(entries: list[dict[str, Any]]) -> Rle:
    numbers = [one["outputs"].split("Current IOU: ")[-1].split(",")[0] for one in entries]
    try:
        place = int(np.argmax([float(number) for number in numbers]))
    except ValueError:
        place = 0
    return entries[max(place - 1, 0)]["mask"]


@st.composite
def episodes(draw: st.DrawFn) -> PublishedEpisode:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    target, *masks = (rng.random((HEIGHT, WIDTH)) < rng.choice([0.0, 0.3, 0.8]) for _ in range(rng.integers(2, 6)))
    scores = [None if rng.random() < 0.05 else float(rng.choice([0.1, 0.5, rng.random()])) for _ in masks]
    actions: list[Action] = [Click(int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)), True) for _ in masks]
    if rng.random() < 0.3 and len(masks) > 1:
        actions[-1] = Finish()
    texts = ["" if rng.random() < 0.5 else f"Current IoU: {100 * (s or 0):.0f}. Positive point: (1, 2)" for s in scores]
    steps = [
        Step(action, text if score is not None else "", encode_rle(mask), n, predicted_iou=later)
        for n, (action, text, mask, score, later) in enumerate(
            zip(actions, texts, masks, scores, [*scores[1:], 0.99], strict=True)
        )
    ]
    start = Start("empty", encode_rle(np.zeros((HEIGHT, WIDTH), np.bool_)), scores[0])
    done = Trajectory("s", "a.jpg", HEIGHT, WIDTH, "it", "p", "t", 0, start, tuple(steps), len(steps), "max_steps")
    return PublishedEpisode(done, encode_rle(target))


@settings(max_examples=60, deadline=None)
@given(st.lists(episodes(), min_size=1, max_size=6))
def test_figures_are_the_published_ones(tmp_path_factory: pytest.TempPathFactory, made: list[PublishedEpisode]) -> None:
    file = tmp_path_factory.mktemp("p") / "p.json"
    write_published_predictions(file, made)
    wanted = literal_figures(file)
    read = list(read_published_predictions(file))
    for found, select in ((made, "published"), (read, "published"), (read, "returned")):
        rules = Rules("res", 7, select)  # type: ignore[arg-type]
        sums = Sums.total(measure(MeasuredSample(one.trajectory, one.target), rules).sums for one in found)
        c_iou = 0.0 if not sums.sum_of("cIoU")[1] else sums.value_of("cIoU")
        assert (c_iou, sums.value_of("gIoU")) == pytest.approx(wanted, abs=1e-5)  # 1e-5 in the script's own sums.


@pytest.mark.parametrize(
    ("text", "said", "written"),
    [
        ("", None, ""),
        ("Positive point: (1, 2)", None, "Positive point: (1, 2)"),
        ("Positive point: (1, 2)", 0.5, "Current IOU: 0.500000000000, Positive point: (1, 2)"),
        # One percent, which a reader of fractions would take for all of it.
        ("Current IoU: 1. Positive point: (1, 2)", 0.01, "Current IOU: 0.010000000000, Positive point: (1, 2)"),
        ("Current mIoU: 0.87 Negative point: (1, 2)", 0.87, "Current IOU: 0.870000000000, Negative point: (1, 2)"),
    ],
)
def test_replies_name_the_iou_as_the_published_script_reads_it(text: str, said: float | None, written: str) -> None:
    assert with_predicted_iou(text, said) == written
    assert read_predicted_iou(written, "here") == said
