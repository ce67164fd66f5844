"""The examples with other libraries, where these are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from cheap_models import cheap_models
from segagent.annotation.python_api import annotate, refine
from segagent.datasets import open_dataset

EXAMPLES = Path(__file__).parents[2] / "examples"
PIXELS = np.random.default_rng(3).integers(0, 255, (48, 64, 3), np.uint8)
TEXTS = ["the cup", "the red cup", "the blue cup"]

pytestmark = pytest.mark.filterwarnings("ignore")


def imported(monkeypatch: pytest.MonkeyPatch, name: str, library: str) -> Any:
    pytest.importorskip(library, reason=f"needs the library {library}")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return pytest.importorskip(name)


def test_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    example = imported(monkeypatch, "with_supervision", "supervision")
    models = cheap_models()
    records = [annotate(PIXELS, text, models=models) for text in TEXTS]
    made = [record for record in records if record.outcome == "made" and record.mask.any()]
    found = example.found(PIXELS, TEXTS, models)
    assert found.data["class_name"].tolist() == [record.text for record in made] != []
    np.testing.assert_array_equal(found.mask, [record.mask for record in made])
    worth = [models.calibrated(record.predicted_iou) for record in made if record.predicted_iou is not None]
    assert found.confidence.tolist() == pytest.approx(worth)
    better = example.refined(PIXELS, found, models)
    expected = [refine(PIXELS, record.text, record.mask, models=models).mask for record in made]
    np.testing.assert_array_equal(better.mask, expected)
    assert len(example.found(PIXELS, [], models)) == 0


@pytest.mark.slow
def test_supervision_from_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    imported(monkeypatch, "with_supervision", "supervision")
    pixels = np.full((120, 160, 3), 200, np.uint8)
    pixels[40:80, 60:110] = (30, 30, 200)
    cv2.imwrite(str(tmp_path / "photo.png"), pixels)
    _run("with_supervision.py", tmp_path, "photo.png", "the red square")
    assert not np.array_equal(
        cv2.imread(str(tmp_path / "photo.png.segagent.png"))[45:75, 65:105], pixels[45:75, 65:105]
    )


def test_datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the library datasets")
    given = np.zeros((48, 64), np.bool_)
    given[10:30, 10:30] = True
    features = {"image": datasets.Image(), "mask": datasets.Image(), "text": datasets.Value("string")}
    images = [PillowImage.fromarray(PIXELS)] * 2
    rows = {"image": images, "mask": [None, PillowImage.fromarray(given)], "text": ["the cup", "the red cup"]}
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(tmp_path / "in.parquet")
    example = imported(monkeypatch, "with_datasets", "datasets")
    read = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "in.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    example.improved(read, cheap_models()).to_parquet(tmp_path / "out.parquet")
    told = datasets.Dataset.from_parquet(str(tmp_path / "out.parquet"), cache_dir=str(tmp_path / "cache"))
    models = cheap_models()
    expected = [annotate(PIXELS, "the cup", models=models), refine(PIXELS, "the red cup", given, models=models)]
    assert told["outcome"] == [record.outcome for record in expected]
    for row, record in zip(told, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(row["mask"].convert("L")) > 127, record.mask)
        assert record.predicted_iou is not None
        assert row["expected_iou"] == pytest.approx(models.calibrated(record.predicted_iou))
    # And what it wrote is a data set here.
    samples = list(open_dataset(f"parquet:{tmp_path / 'out.parquet'}"))
    assert [sample.text for sample in samples] == rows["text"]
    np.testing.assert_array_equal(samples[1].load_target()[0], expected[1].mask)


def _run(example: str, folder: Path, *given: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "src")}
    subprocess.run([sys.executable, str(EXAMPLES / example), *given], cwd=folder, env=environment, check=True)
