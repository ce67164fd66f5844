"""The paper's own figures (arXiv 2503.08625), to be printed beside ours; as printed there, IoUs in percent or 0..1."""

from __future__ import annotations

import re

COLUMNS = (
    "RefCOCO val",
    "RefCOCO testA",
    "RefCOCO testB",
    "RefCOCO+ val",
    "RefCOCO+ testA",
    "RefCOCO+ testB",
    "RefCOCOg val",
    "RefCOCOg test",
)

TABLE_1: dict[str, tuple[float, ...]] = {
    "Qwen box + SAM": (71.79, 75.20, 67.29, 65.39, 71.62, 59.12, 66.93, 68.94),
    "SegAgent-LLaVA + SAM": (79.20, 81.44, 75.72, 71.53, 76.68, 65.44, 74.80, 74.90),
    "SegAgent-Qwen + SAM": (78.01, 80.34, 74.98, 70.86, 75.52, 65.75, 74.49, 74.62),
    "SegAgent-LLaVA + SimpleClick": (77.81, 80.03, 74.12, 66.73, 71.16, 59.89, 70.45, 71.25),
    "SegAgent-Qwen + SimpleClick": (79.69, 81.35, 76.57, 72.49, 75.80, 66.89, 75.11, 75.20),
}
"""cIoU by method, in the order of :data:`COLUMNS`."""

TABLE_2: dict[str, dict[int, float]] = {
    "without PRM": {1: 71.53, 3: 73.67, 5: 73.88, 7: 68.22},
    "with PRM": {1: 71.53, 3: 72.98, 5: 75.21, 7: 75.43},
}
"""Mean IoU by number of steps; RefCOCO val."""

TABLE_3: dict[str, dict[str, float]] = {
    "Qwen": {"MAE": 6.88, "MSE": 193.98, "Pearson": 0.90, "Spearman": 0.87},
    "LLaVA": {"MAE": 5.58, "MSE": 175.35, "Pearson": 0.91, "Spearman": 0.90},
}
"""Annotation filtering; RefCOCO val, MAE and MSE of IoUs in percent."""

FIGURE_4 = {
    ("SFT", "no PRM"): (71.45, 78.81),
    ("SFT", "PRM stop"): (75.54, 81.17),
    ("SFT", "search"): (86.13, 88.60),
    ("SFT + StaR+", "no PRM"): (86.57, None),
}
"""cIoU by model and way of playing: (ThinObject5K, DIS5K); None where the paper gives no figure."""

TABLE_4 = {"green": 0.749, "blue": 0.750, "red": 0.749}
"""By mask colour."""

TABLE_5 = {
    "RefCOCO val": {"none": 77.81, "box of another model": 78.01, "own box": 77.85},
    "RefCOCO+ val": {"none": 70.88, "box of another model": 70.86, "own box": 70.50},
    "RefCOCOg test": {"none": 73.13, "box of another model": 74.62, "own box": 74.33},
}
"""By first action, cIoU."""

TABLE_6 = {"[0, 1)": 0.749, "[0, 1000)": 0.747}
"""By coordinate format."""


def paper_column(dataset: str) -> str | None:
    """Which column of Table 1 a data set's specification names, None for other data.

    It has to name one of RefCOCO, RefCOCO+ and RefCOCOg, and one split, as words of their own;
    RefCOCOg's Google split is another one than the paper's.
    """
    names = re.findall(r"(?<![a-z0-9])refcoco(?:\+|g|plus)?(?![a-z0-9+_])", dataset.lower())
    splits = re.findall(r"(?<![a-z0-9])(val|testa|testb|test)(?![a-z0-9])", dataset.lower())
    if not names or len(set(splits)) != 1 or "google" in dataset.lower():
        return None
    wanted = f"{names[-1].replace('plus', '+')} {splits[0]}"
    return next((column for column in COLUMNS if column.lower() == wanted), None)
