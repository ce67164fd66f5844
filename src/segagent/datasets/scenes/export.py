"""Generated scenes as a folder of images, masks and sentences, the form other data sets are read in too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core.errors import InputError
from segagent.core.masks import encode_rle
from segagent.datasets.scenes.generator import CATEGORIES, GENERATOR_VERSION, generate_scene, scene_rng
from segagent.datasets.scenes.model import Scene, SceneConfig, Split

_DATASET_NAME = "SegAgent generated scenes"
_DEFAULT_CONFIG = SceneConfig()


def write_scenes(
    out: Path,
    *,
    num: int,
    seed: int,
    split: Split = "train",
    config: SceneConfig = _DEFAULT_CONFIG,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write scenes 0 to ``num - 1`` of a split into the new or empty folder ``out``; returns the manifest's path.

    ``images/*.png`` and ``masks/*.png`` (255 object, 0 rest, one per object a sentence is about), ``instances.json``
    (COCO: every object of every image, with the first sentence about it as ``text`` where there is one) and last, so
    that its presence means the folder is complete, ``manifest.json`` with one sample per sentence. ``progress`` is
    called with the number of scenes done. The same arguments write the same bytes. Raises ``InputError`` where ``out``
    holds something already.
    """
    if num < 1:
        raise InputError(f"cannot write {num} scenes: the number must be at least 1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: choose another one or empty it")
    try:
        for folder in ("images", "masks"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        samples: list[dict[str, Any]] = []
        # All categories, so that files of different scenes number them alike.
        categories = [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, 1)]
        coco: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": categories}
        for index in range(num):
            scene = generate_scene(scene_rng(split, seed, index), config)
            name = f"{split}_{seed}_{index:06d}"
            samples += _write_scene(out, name, index, scene)
            _add_to_coco(coco, name, scene)
            if progress is not None:
                progress(index + 1)
        _write_json(out / "instances.json", {"info": {"description": _DATASET_NAME}, "licenses": [], **coco})
        manifest = {
            "dataset": _DATASET_NAME,
            "generator": GENERATOR_VERSION,
            "seed": seed,
            "split": split,
            "complexity": config.complexity,
            "n_scenes": num,
            "n_samples": len(samples),
            "mask_format": "8-bit PNG, 255 object, 0 rest; only visible pixels belong to an object",
            "samples": samples,
        }
        _write_json(out / "manifest.json", manifest)
    except OSError as error:
        raise InputError(f"cannot write scenes to {out}: {error}") from error
    return out / "manifest.json"


def _write_scene(out: Path, name: str, index: int, scene: Scene) -> list[dict[str, Any]]:
    """Write one scene's image and masks; returns its samples, one per sentence."""
    height, width = scene.image.shape[:2]
    image = f"images/{name}.png"
    _write_png(out / image, cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR))
    samples: list[dict[str, Any]] = []
    for target in sorted({expression.target for expression in scene.expressions}):
        _write_png(out / _mask_path(name, target), scene.objects[target].mask.astype(np.uint8) * 255)
    for expression in scene.expressions:
        described = scene.objects[expression.target]
        samples.append(
            {
                "image": image,
                "mask": _mask_path(name, expression.target),
                "text": expression.text,
                "category": described.category,
                "kind": expression.kind,
                "width": width,
                "height": height,
                "bbox_xyxy": list(described.bbox),
                "area_fraction": round(float(described.mask.mean()), 5),
                "scene": index,
                "object": expression.target,
            }
        )
    return samples


def _mask_path(name: str, target: int) -> str:
    return f"masks/{name}_{target:02d}.png"


def _add_to_coco(coco: dict[str, list[dict[str, Any]]], name: str, scene: Scene) -> None:
    """Add one scene and all its objects, with what they look like beside COCO's own keys."""
    height, width = scene.image.shape[:2]
    image_id = len(coco["images"]) + 1
    coco["images"].append({"id": image_id, "file_name": f"{name}.png", "height": height, "width": width})
    categories = {one["name"]: one["id"] for one in coco["categories"]}
    texts: dict[int, str] = {}
    for expression in scene.expressions:
        texts.setdefault(expression.target, expression.text)
    for item in scene.objects:
        x0, y0, x1, y1 = item.bbox
        coco["annotations"].append(
            {
                "id": len(coco["annotations"]) + 1,
                "image_id": image_id,
                "category_id": categories[item.category],
                "iscrowd": 0,
                "area": int(np.count_nonzero(item.mask)),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": encode_rle(item.mask),
                **({"text": texts[item.index]} if item.index in texts else {}),
                "color": item.color,
                "pattern": item.pattern,
                "size": item.size,
            }
        )


def _write_png(path: Path, pixels: npt.NDArray[Any]) -> None:
    _, encoded = cv2.imencode(".png", pixels)
    path.write_bytes(encoded.tobytes())


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
