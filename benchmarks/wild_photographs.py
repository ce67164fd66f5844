"""40 sentences about the photographs that installed packages carry: what the default makes of them, each one shown.

    python benchmarks/wild_photographs.py -o runs/wild
    python benchmarks/wild_photographs.py -o runs/wild --picture docs/images/wild.jpg

The sentences were written before any answer was seen; nothing was taken out or reworded after. Photographs of packages
that are not installed are left out, and said so. There are no true masks: a person looks. ``--picture`` draws one sheet
of the answers of the packages whose pictures may be shown freely (scikit-image, scikit-learn, matplotlib). ``OUT/run``
is a run of ``segagent annotate`` like any other, so ``segagent review OUT/run`` makes its page.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from repair_picture import panel
from segagent.annotation.batch import ObjectRecord, open_run

SENTENCES: dict[str, tuple[str, ...]] = {
    "skimage/data/astronaut.png": ("the astronaut", "woman in orange", "the flag", "the helmet"),
    "skimage/data/camera.png": ("the man in the black coat", "the camera"),
    "skimage/data/chelsea.png": ("the cat", "the bicycle"),
    "skimage/data/coffee.png": ("the cup", "the spoon", "the saucer"),
    "skimage/data/coins.png": ("the coin at the top right", "the largest coin"),
    "skimage/data/horse.png": ("the horse",),
    "skimage/data/moon.png": ("the crater at the top left",),
    "skimage/data/motorcycle_left.png": ("the motorcycle", "the bench on the left"),
    "skimage/data/rocket.jpg": ("the rocket", "the dog"),
    "sklearn/datasets/images/china.jpg": ("the temple", "tree on the right"),
    "sklearn/datasets/images/flower.jpg": ("the flower", "bottom flower"),
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg": ("the woman", "the hat"),
    "imgaug/quokka.jpg": ("the animal",),
    "mahotas/demos/data/luispedro.jpg": ("the man",),
    "gradio/media_assets/images/cheetah.jpg": ("the cheetah",),
    "gradio/test_data/cheetah2.jpg": ("the animal",),
    "gradio/media_assets/images/tower.jpg": ("the tower",),
    "insightface/data/images/t1.jpg": ("woman on the far left", "man in the middle", "lady on the right"),
    "holoviews/examples/assets/macaw.png": ("the parrot",),
    "holoviews/examples/assets/penguins.png": ("penguin on the left", "the baby penguin"),
    "ultralytics/assets/bus.jpg": ("the bus", "man on the left in a white coat"),
    "ultralytics/assets/zidane.jpg": ("bald man", "man on the right"),
}
"""Two of the 40 name what is not there: the bicycle beside the cat, the dog beside the rocket."""
_FREE = ("skimage", "sklearn", "matplotlib")
"""Packages whose photographs may be shown freely."""
_COLUMNS, _SIDE = 6, 230


def photograph(name: str) -> Path | None:
    """Where the photograph lies, None where its package is not installed."""
    package, inside = name.split("/", 1)
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / inside
    return path if path.exists() else None


def write_dataset(folder: Path) -> int:
    """Copy the photographs that are here into ``folder`` beside a manifest of the sentences; returns their number."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, texts in SENTENCES.items():
        found = photograph(name)
        if found is None:
            print(f"left out: {name} ({len(texts)} sentences), its package is not installed")
            continue
        copy = name.replace("/", "__")
        shutil.copyfile(found, folder / copy)
        lines += [json.dumps({"image": copy, "text": text, "id": f"{copy}: {text}"}) for text in texts]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return len(lines)


def cell(pixels: np.ndarray, record: ObjectRecord) -> Pillow.Image:
    """One answer: the mask in green, the sentence, the predicted IoU and whether it was taken as not there."""
    predicted = "no predicted IoU" if record.predicted_iou is None else f"predicted IoU {record.predicted_iou:.2f}"
    found = "not found" if record.outcome == "not_found" else f"{len(record.trajectory.steps)} actions"
    return panel(pixels, record.mask, [record.text, f"{found}, {predicted}"], _SIDE, keeps_shape=True)


def draw_sheet(run: Path, packages: tuple[str, ...]) -> Pillow.Image:
    """The answers about the photographs of ``packages``, all of them, in the order of the sentences."""
    opened = open_run(run)
    dataset = opened.dataset()
    cells = [
        cell(dataset.load_image(record.image).pixels, record)
        for record in opened.objects()
        if record.image.split("__")[0] in packages
    ]
    width, height = cells[0].size
    picture = Pillow.new("RGB", (_COLUMNS * width, -(-len(cells) // _COLUMNS) * height), "white")
    for number, drawn in enumerate(cells):
        picture.paste(drawn, (number % _COLUMNS * width, number // _COLUMNS * height))
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path, help="where to write the sheet of freely shown photographs")
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--tool", default="embedded")
    options = parser.parse_args()
    num = write_dataset(options.out / "photographs")
    print(f"{num} of {sum(map(len, SENTENCES.values()))} sentences")
    command = [sys.executable, "-m", "segagent", "annotate", str(options.out / "photographs" / "manifest.jsonl")]
    command += ["-o", str(options.out / "run"), "--policy", options.policy, "--tool", options.tool]
    subprocess.run(command, check=True)
    every = tuple(sorted({name.split("/")[0] for name in SENTENCES}))
    draw_sheet(options.out / "run", every).save(options.out / "sheet.jpg", quality=88)
    if options.picture:
        draw_sheet(options.out / "run", _FREE).save(options.picture, quality=85)


if __name__ == "__main__":
    main()
