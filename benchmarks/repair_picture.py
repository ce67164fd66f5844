"""Given and repaired masks side by side, the first mended object of each kind of corruption and a clean one.

python benchmarks/repair_picture.py spoiled measured/refine -o repair.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from repair_metrics import NAMED
from segagent.annotation.batch import ObjectRecord, open_run
from segagent.core import BoolMask, iou
from segagent.datasets.corrupted import Truth, read_truth
from segagent.imaging import draw_overlay
from segagent.imaging.lettering import font_for, shortened

SIDE, LINE = 172, 15


def panel(
    pixels: np.ndarray, mask: BoolMask, words: list[str], side: int = SIDE, *, keeps_shape: bool = False
) -> Pillow.Image:
    """A picture with its mask as a green layer, made square unless it ``keeps_shape``, and lines below it."""
    picture = Pillow.new("RGB", (side, side + LINE * len(words) + 6), "white")
    drawn = Pillow.fromarray(draw_overlay(pixels, mask))
    if keeps_shape:
        drawn.thumbnail((side, side))
    else:
        drawn = drawn.resize((side, side))
    picture.paste(drawn)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(words):
        font = font_for(line, 12)
        draw.text((2, side + 1 + LINE * number), shortened(line, font, side - 4), fill="black", font=font)
    return picture


def column(pixels: np.ndarray, record: ObjectRecord, truth: Truth) -> list[Pillow.Image]:
    """Above what was given, below what the refine made of it."""
    after = iou(record.mask, truth.mask, truth.ignore)
    return [
        panel(pixels, record.trajectory.mask_at(0), [record.text, f"{truth.kind}: IoU {truth.iou:.2f}"]),
        panel(pixels, record.mask, [f"{record.outcome}: IoU {after:.2f}"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spoiled", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    run, truths = open_run(options.run), read_truth(options.spoiled)
    dataset = run.dataset()
    chosen: dict[str, ObjectRecord] = {}
    for record in run.objects():
        kind = truths[record.object_id].kind
        if (record.outcome == "repaired") == (kind != "clean"):
            chosen.setdefault(kind, record)
    columns = [
        column(dataset.load_image(chosen[kind].image).pixels, chosen[kind], truths[chosen[kind].object_id])
        for kind in NAMED
        if kind in chosen
    ]
    heights = [one.height for one in columns[0]]
    sheet = Pillow.new("RGB", ((SIDE + 6) * len(columns) - 6, sum(heights)), "white")
    for number, panels in enumerate(columns):
        for place, one in enumerate(panels):
            sheet.paste(one, ((SIDE + 6) * number, sum(heights[:place])))
    sheet.quantize(256).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
