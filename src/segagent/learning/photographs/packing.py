"""Folders of photographs made small enough to travel: shrunken pictures and masks, in the same format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segagent.core import InputError
from segagent.core.masks import encode_rle
from segagent.core.texts import read_json
from segagent.datasets.coco_masks import decode_segmentation

_KEPT = ("id", "image_id", "category_id", "iscrowd", "kind")


def pack_photographs(
    out: Path,
    folders: Sequence[Path],
    *,
    side: int,
    quality: int,
    progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Write each COCO-format folder again as ``out/NAME``, its pictures as WebP of at most ``side`` pixels.

    ``quality`` is WebP's, 1..100. Ids, categories, crowds and kinds stay, so the same pictures are held out. Returns
    the bytes of each folder. Raises ``InputError`` where two folders have one name or a picture cannot be read.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise InputError(f"two of the folders have the same name, of {', '.join(sorted(names))}; rename one")
    done, sizes = 0, {}
    for name, folder in zip(names, folders, strict=True):
        data = read_json(folder / "instances.json", "expected COCO annotations beside an 'images' folder")
        (out / name / "images").mkdir(parents=True)
        by_image: dict[int, list[dict[str, Any]]] = {}
        for annotation in data["annotations"]:
            by_image.setdefault(int(annotation["image_id"]), []).append(annotation)
        images, annotations = [], []
        for image in data["images"]:
            packed, shrunken = _packed(folder, out / name, image, by_image.get(int(image["id"]), ()), side, quality)
            images.append(packed)
            annotations += shrunken
            done += 1
            if progress is not None:
                progress(done)
        content = {"images": images, "annotations": annotations, "categories": data["categories"]}
        (out / name / "instances.json").write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
        sizes[name] = sum(file.stat().st_size for file in (out / name).rglob("*") if file.is_file())
    return sizes


def _packed(
    folder: Path, out: Path, image: dict[str, Any], annotations: Sequence[dict[str, Any]], side: int, quality: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write one picture; returns its entry and those of its annotations, at the new size."""
    path = folder / "images" / str(image["file_name"])
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError(f"{path}: not a readable image")
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    name = f"{int(image['id'])}.webp"
    small = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(out / "images" / name), small, [cv2.IMWRITE_WEBP_QUALITY, quality])
    packed = []
    for annotation in annotations:
        try:
            mask = decode_segmentation(annotation.get("segmentation"), height, width)
        except ValueError as error:
            raise InputError(f"{folder / 'instances.json'}: annotation {annotation.get('id')}: {error}") from error
        part = cv2.resize(mask.astype(np.float32), (new_width, new_height), interpolation=cv2.INTER_AREA) >= 0.5
        kept = {key: annotation[key] for key in _KEPT if key in annotation}
        packed.append({**kept, "area": int(part.sum()), "segmentation": encode_rle(part)})
    return {"id": image["id"], "file_name": name, "width": new_width, "height": new_height}, packed
