"""GrabCut and Berkeley, the classic interactive-segmentation sets, in their usual layouts; DAVIS345's is alike.

=========  ======================  ==========================================  =======================================
scheme     images                  masks                                       where to get it
=========  ======================  ==========================================  =======================================
grabcut    ``data_GT/NAME.*``      ``boundary_GT/NAME.*`` (128: undecided)     the archives that RITM and SimpleClick
berkeley   ``images/NAME.*``       ``masks/NAME.*``, else ``masks/NAME#N.*``     link to
=========  ======================  ==========================================  =======================================

Nobody wrote sentences for these. The sentence is what ``text=`` says, or else the file name's words before its first
digit (``banana1`` -> "banana"); a name without words gives "the object".
"""

from __future__ import annotations

from pathlib import Path

from segagent.core import InputError
from segagent.datasets.hqseg import paired_names, thin_text
from segagent.datasets.listed import ListedDataset, ListedSample, listing_fingerprint
from segagent.datasets.mask_sources import LabelValue, MaskFile
from segagent.datasets.sample import path_inside
from segagent.datasets.spec_options import parse_spec, write_spec

_FOLDERS = {"grabcut": ("data_GT", "boundary_GT"), "berkeley": ("images", "masks"), "davis": ("img", "gt")}
_SOURCE = "the data sets that https://github.com/SamsungLabs/ritm_interactive_segmentation links to"


def open_interactive(spec: str) -> ListedDataset:
    """The data set of ``grabcut:ROOT[:text=..]`` or ``berkeley:ROOT[:text=..]``; also DAVIS345's ``img`` and ``gt``.

    Raises ``InputError`` saying which folder or mask is missing.
    """
    scheme = spec.partition(":")[0]
    root, options = parse_spec(spec, {"text": None})
    images, masks = _FOLDERS[scheme]
    wanted = f"{scheme} needs folders {images!r} and {masks!r} in {root}, from {_SOURCE}"
    exact: dict[str, list[str]] = {}
    numbered: dict[str, list[str]] = {}
    names = paired_names(root, images, masks, wanted)
    for file in sorted((root / masks).iterdir()):
        exact.setdefault(file.stem, []).append(file.name)
        numbered.setdefault(file.stem.partition("#")[0], []).append(file.name)
    samples: list[ListedSample] = []
    targets: list[Path] = []
    for image in names:
        stem = Path(image).stem
        found = exact.get(stem) or numbered.get(stem, [])
        if not found:
            raise InputError(f"{root / masks}: holds no mask for {image}; {wanted}")
        for mask in found:
            file = path_inside(root, f"{masks}/{mask}", str(root / masks), "mask")
            targets.append(file)
            target = LabelValue(file, None, void=None) if scheme == "davis" else MaskFile(file, scheme == "grabcut")
            samples.append(
                ListedSample(
                    Path(mask).stem if len(found) > 1 else stem,
                    path_inside(root, image, str(root / images), "image"),
                    image,
                    options.get("text", thin_text(stem)),
                    target,
                    str(root / image),
                )
            )
    fingerprint = listing_fingerprint(root, targets, options.get("text", ""))
    return ListedDataset(write_spec(scheme, root, {"text": options.get("text")}), fingerprint, samples, root)
