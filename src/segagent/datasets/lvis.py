"""LVIS annotations: COCO's format without ``file_name``, so the picture is found by its ``coco_url``.

Files (https://www.lvisdataset.org): ``lvis_v1_val.json`` and COCO's ``train2017`` / ``val2017`` folders, beside the
file, one folder up, or in ``images=FOLDER``. The sentence is the category with ``_`` as blanks; what LVIS puts in
parentheses to tell two meanings apart is left out ("bow_(weapon)" -> "bow").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.datasets.coco import CocoDataset
from segagent.datasets.listed import first_folder, objects_of, told
from segagent.datasets.spec_options import NOTHING, parse_spec, write_spec

TAKEN_AS = "objects"
"""What ``crowds=`` says: annotations that mark a crowd are objects like others."""


class LvisDataset(CocoDataset):
    """The objects of an LVIS file; see :class:`CocoDataset`."""

    def _prepare(self, data: dict[str, Any]) -> None:
        for number, entry in enumerate(objects_of(data["images"], f"{self.path}, images")):
            if "file_name" not in entry:
                url = entry.get("coco_url")
                if not isinstance(url, str) or url.count("/") < 2:
                    raise InputError(f"{self.path}, images[{number}]: 'coco_url' must be an address, got {told(url)}")
                entry["file_name"] = "/".join(url.split("/")[-2:])
        for entry in objects_of(data["categories"], f"{self.path}, categories"):
            if isinstance(entry.get("name"), str):
                entry["name"] = re.sub(r"_?\([^)]*\)", "", entry["name"]).replace("_", " ").strip() or entry["name"]


def open_coco(spec: str, beside: Mapping[str, str] = NOTHING) -> CocoDataset:
    """The data set of ``coco:FILE`` or ``lvis:FILE``, each ``[:text=the {category},images=FOLDER,crowds=objects]``."""
    scheme = spec.partition(":")[0]
    file, options = parse_spec(spec, {"text": None, "images": None, "crowds": (TAKEN_AS,)}, beside)
    images, template, crowds = options.get("images"), options.get("text"), "crowds" in options
    if scheme == "coco":
        return coco_file(file, None if images is None else Path(images), template, crowds=crowds)
    places = (file.parent, file.parent / "images", file.parent.parent, file.parent.parent / "coco")
    with_images = [place for place in places if (place / "val2017").is_dir() or (place / "train2017").is_dir()]
    folder = images or first_folder([*with_images, file.parent])
    dataset = LvisDataset(file, folder, template or "{category}", crowds=crowds)
    dataset.spec = _written(scheme, file, images, template, crowds=crowds)
    return dataset


def coco_file(file: Path, images: Path | None = None, text: str | None = None, *, crowds: bool = False) -> CocoDataset:
    """The data set of COCO annotations: ``images`` their folder, ``text`` and ``crowds`` as in :func:`open_coco`.

    Raises ``InputError``, and ``SpecError`` for paths that no specification can say.
    """
    dataset = CocoDataset(file, images, text or "{category}", crowds=crowds)
    if images is not None or text is not None or crowds:
        dataset.spec = _written("coco", file, images, text, crowds=crowds)
    return dataset


def _written(scheme: str, file: Path, images: str | Path | None, text: str | None, *, crowds: bool) -> str:
    where = str(Path(images).resolve()) if images is not None else None
    return write_spec(scheme, file, {"text": text, "images": where, "crowds": TAKEN_AS if crowds else None})
