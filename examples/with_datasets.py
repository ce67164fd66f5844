"""Hugging Face ``datasets``: images, masks and expressions in, better masks and what they are worth out.

``python with_datasets.py in.parquet out.parquet`` reads the columns image, mask (null where there is none) and text,
and writes them with new masks and the columns outcome and expected_iou.
"""

import sys

import numpy as np
from PIL import Image

import datasets
import segagent


def improved(rows: datasets.Dataset, models: segagent.Models) -> datasets.Dataset:
    """``rows`` with a mask each: made from the words, or the given one made better."""

    def one(row: dict) -> dict:
        pixels, text = np.asarray(row["image"].convert("RGB")), row["text"]
        if row["mask"] is None:
            record = segagent.annotate(pixels, text, models=models)
        else:
            given = np.asarray(row["mask"].convert("L")) > 127
            record = segagent.refine(pixels, text, given, models=models)
        worth = None if record.predicted_iou is None else models.calibrated(record.predicted_iou, record.doubts)
        return {"mask": Image.fromarray(record.mask), "outcome": record.outcome, "expected_iou": worth}

    features = datasets.Features(
        {**rows.features, "mask": datasets.Image(), "outcome": datasets.Value("string"),
         "expected_iou": datasets.Value("float64")}
    )  # fmt: skip
    return rows.map(one, features=features)


if __name__ == "__main__":
    read, written = sys.argv[1:]
    rows = datasets.load_dataset("parquet", data_files=read, split="train")
    improved(rows, segagent.load_models()).to_parquet(written)
