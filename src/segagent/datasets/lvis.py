"""LVIS annotations: COCO's format without ``file_name``, so the picture is found by its ``coco_url``.

Files (https://www.lvisdataset.org): ``lvis_v1_val.json`` and COCO's ``train2017`` / ``val2017`` folders, beside the
file, one folder up, or in ``images=FOLDER``. The sentence is the category with ``_`` as blanks; what LVIS puts in
parentheses to tell two meanings apart is left out ("bow_(weapon)" -> "bow").
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.datasets.coco import CocoDataset
from segagent.datasets.listed import first_folder, objects_of, told
from segagent.datasets.spec_options import parse_spec, write_spec

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


def open_coco(spec: str) -> CocoDataset:
    """The data set of ``coco:FILE`` or ``lvis:FILE``, each ``[:text=the {category},images=FOLDER,crowds=objects]``."""
    scheme = spec.partition(":")[0]
    file, options = parse_spec(spec, {"text": None, "images": None, "crowds": (TAKEN_AS,)})
    template = options.get("text", "{category}")
    images, crowds = Path(options["images"]) if "images" in options else None, "crowds" in options
    if scheme == "coco":
        dataset = CocoDataset(file, images, template, crowds=crowds)
    else:
        places = (file.parent, file.parent / "images", file.parent.parent, file.parent.parent / "coco")
        with_images = [place for place in places if (place / "val2017").is_dir() or (place / "train2017").is_dir()]
        dataset = LvisDataset(file, images or first_folder([*with_images, file.parent]), template, crowds=crowds)
    if options or scheme == "lvis":
        where = str(images.resolve()) if images is not None else None
        again = {"text": options.get("text"), "images": where, "crowds": options.get("crowds")}
        dataset.spec = write_spec(scheme, file, again)
    return dataset
