"""GrabCut and Berkeley, the classic interactive-segmentation sets, in their usual layouts; DAVIS345's is alike.

=========  ======================  ==========================================  =======================================
scheme     images                  masks                                       where to get it
=========  ======================  ==========================================  =======================================
grabcut    ``data_GT/NAME.*``      ``boundary_GT/NAME.*`` (128: undecided)     the archives that RITM and SimpleClick
berkeley   ``images/NAME.*``       ``masks/NAME.*``                             link to
=========  ======================  ==========================================  =======================================

Where a picture has several objects, each mask whose name has no picture of its own belongs to the picture named like it
but for a last letter or ``#N`` (``189011.jpg``: ``189011.png``, ``189011a.png``, ``189011b.png``).

Nobody wrote sentences for these. The category is the file name's words before its first digit (``banana1`` ->
"banana"); a name without words gives "the object". The sentence is that, or what ``text=the {category}`` says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from segagent.core import InputError
from segagent.datasets.hqseg import paired_names, thin_text
from segagent.datasets.listed import ListedDataset, ListedSample, listing_fingerprint
from segagent.datasets.mask_sources import LabelValue, MaskFile
from segagent.datasets.sample import path_inside
from segagent.datasets.spec_options import NOTHING, parse_spec, write_spec

_FOLDERS = {"grabcut": ("data_GT", "boundary_GT"), "berkeley": ("images", "masks"), "davis": ("img", "gt")}
_SOURCE = "the data sets that https://github.com/SamsungLabs/ritm_interactive_segmentation links to"


def open_interactive(spec: str, beside: Mapping[str, str] = NOTHING) -> ListedDataset:
    """The data set of ``grabcut:ROOT[:text=..]`` or ``berkeley:ROOT[:text=..]``; also DAVIS345's ``img`` and ``gt``.

    Raises ``InputError`` saying which folder or mask is missing.
    """
    scheme = spec.partition(":")[0]
    root, options = parse_spec(spec, {"text": None}, beside)
    images, masks = _FOLDERS[scheme]
    wanted = f"{scheme} needs folders {images!r} and {masks!r} in {root}, from {_SOURCE}"
    names = paired_names(root, images, masks, wanted)
    by_image = _masks_by_image({Path(name).stem for name in names}, root / masks)
    samples: list[ListedSample] = []
    targets: list[Path] = []
    for image in names:
        stem = Path(image).stem
        found = by_image.get(stem, [])
        if not found:
            raise InputError(f"{root / masks}: holds no mask for {image}; {wanted}")
        for mask in found:
            file = path_inside(root, f"{masks}/{mask}", str(root / masks), "mask")
            targets.append(file)
            target = LabelValue(file, None, void=None) if scheme == "davis" else MaskFile(file, scheme == "grabcut")
            samples.append(
                ListedSample(
                    Path(mask).stem,
                    path_inside(root, image, str(root / images), "image"),
                    image,
                    options.get("text", "{category}").replace("{category}", thin_text(stem)),
                    target,
                    str(root / image),
                )
            )
    fingerprint = listing_fingerprint(root, targets, options.get("text", ""))
    return ListedDataset(write_spec(scheme, root, {"text": options.get("text")}), fingerprint, samples, root)


def _masks_by_image(stems: set[str], folder: Path) -> dict[str, list[str]]:
    """Mask files by the image they belong to; masks whose image is absent belong to none."""
    found: dict[str, list[str]] = {}
    for file in sorted(folder.iterdir()):
        for stem in (file.stem, file.stem.partition("#")[0], re.sub(r"(?<=\d)[a-z]$", "", file.stem)):
            if stem in stems:
                found.setdefault(stem, []).append(file.name)
                break
    return found
