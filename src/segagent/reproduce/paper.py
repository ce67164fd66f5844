"""The paper's own figures (arXiv 2503.08625), to be printed beside ours. mIoU and cIoU in percent."""

from __future__ import annotations

TABLE_2 = {"1": (71.53, 71.53), "3": (73.67, 72.98), "5": (73.88, 75.21), "7": (68.22, 75.43)}
"""mIoU by step, (without, with) PRM; RefCOCO val."""

FIGURE_4 = {
    ("SFT", "no PRM"): (71.45, 78.81),
    ("SFT", "PRM stop"): (75.54, 81.17),
    ("SFT", "search"): (86.13, 88.60),
    ("SFT + StaR+", "no PRM"): (86.57, None),
}
"""cIoU by model and way of playing: (ThinObject5K, DIS5K); None where the paper gives no figure."""

TABLE_3 = {
    "Qwen": {"mae": 6.88, "mse": 193.98, "pearson": 0.90, "spearman": 0.87},
    "LLaVA": {"mae": 5.58, "mse": 175.35, "pearson": 0.91, "spearman": 0.90},
}
"""Annotation filtering on RefCOCO val."""

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
