"""HRES: DIS5K and ThinObject5K in the layout of HQSeg-44K, with sentences made from the files' names.

Files (https://huggingface.co/sam-hq-team/sam-hq-training, ``data``)::

    ROOT/DIS5K/DIS-TR/{im,gt}   ROOT/DIS5K/DIS-VD/{im,gt}   (DIS-TE1 .. DIS-TE4 too, where they are)
    ROOT/thin_object_detection/ThinObject5K/{images_train,masks_train,images_test,masks_test}

Images are ``NAME.jpg``, masks ``NAME.png``. The sentence:

- DIS5K names are ``GROUP_NUMBER#GROUP#CATEGORY_NUMBER#CATEGORY#PHOTO``. The sentence is CATEGORY in small letters,
  words written together or joined by ``_`` or ``-`` taken apart (``1#Accessories#3#SunGlasses#12_o`` -> "sun glasses").
- ThinObject5K names are those of pngimg.com, words and ``_PNG`` with a number; the sentence is the words, written
  likewise (``street_lamp_PNG12`` -> "street lamp", ``ak47_PNG15442`` -> "ak47").
- Of any other name it is what comes before the first digit; one without words gives "the object".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from segagent.core import InputError
from segagent.datasets.listed import ListedDataset, ListedSample, listing_fingerprint
from segagent.datasets.mask_sources import MaskFile
from segagent.datasets.sample import path_inside
from segagent.datasets.spec_options import parse_spec, write_spec

_PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True, slots=True)
class _Part:
    folder: str
    splits: dict[str, tuple[str, str]]


_PARTS = {
    "dis5k": _Part(
        "DIS5K",
        {"train": ("DIS-TR/im", "DIS-TR/gt"), "val": ("DIS-VD/im", "DIS-VD/gt")}
        | {f"test{n}": (f"DIS-TE{n}/im", f"DIS-TE{n}/gt") for n in range(1, 5)},
    ),
    "thin": _Part(
        "thin_object_detection/ThinObject5K",
        {"train": ("images_train", "masks_train"), "val": ("images_test", "masks_test")},
    ),
}


def open_hqseg(spec: str) -> ListedDataset:
    """The data set of ``hqseg:ROOT[:part=dis5k|thin,split=train|val|test1..test4]``.

    Without a part both, without a split ``val`` (what ThinObject5K calls test). Raises ``InputError`` saying which
    folders are missing.
    """
    splits = tuple(dict.fromkeys(split for part in _PARTS.values() for split in part.splits))
    root, options = parse_spec(spec, {"part": tuple(_PARTS), "split": splits})
    split = options.get("split", "val")
    samples: list[ListedSample] = []
    targets: list[Path] = []
    for name in [options["part"]] if "part" in options else list(_PARTS):
        part = _PARTS[name]
        if split not in part.splits:
            raise InputError(f"{spec!r:.200}: {name} has the splits {', '.join(part.splits)}, got {split!r}")
        images, masks = (f"{part.folder}/{folder}" for folder in part.splits[split])
        wanted = (
            f"HQSeg-44K needs {images} and {masks} below {root}, from "
            "https://huggingface.co/sam-hq-team/sam-hq-training"
        )
        text = dis_text if name == "dis5k" else thin_text
        for image in paired_names(root, images, masks, wanted):
            mask = path_inside(root, f"{masks}/{Path(image).stem}.png", str(root / masks), "mask")
            targets.append(mask)
            words = text(Path(image).stem)
            samples.append(
                ListedSample(
                    f"{name}-{split}-{Path(image).stem}",
                    path_inside(root, image, str(root / images), "image"),
                    image,
                    words,
                    MaskFile(mask),
                    str(root / image),
                    category=words,
                    kind=name,
                )
            )
    again = write_spec("hqseg", root, {"part": options.get("part"), "split": split})
    return ListedDataset(again, listing_fingerprint(root, targets), samples, root)


def paired_names(root: Path, images: str, masks: str, wanted: str) -> list[str]:
    """The pictures of ``root``/``images`` as paths below ``root``, sorted; both folders must exist."""
    for folder in (images, masks):
        if not (root / folder).is_dir():
            raise InputError(f"{root / folder}: no such folder; {wanted}")
    names = sorted(file.name for file in (root / images).iterdir() if file.suffix.lower() in _PICTURES)
    if not names:
        raise InputError(f"{root / images}: holds no picture; {wanted}")
    return [f"{images}/{name}" for name in names]


def dis_text(stem: str) -> str:
    """The sentence of a DIS5K file name without its ending; see the module's docstring."""
    parts = stem.split("#")
    return words_of(parts[3]) if len(parts) >= 5 else thin_text(stem)


def thin_text(stem: str) -> str:
    """The sentence of a ThinObject5K file name without its ending; see the module's docstring."""
    return words_of(re.split(r"_PNG\d" if re.search(r"._PNG\d", stem) else r"\d", stem, maxsplit=1)[0])


def words_of(name: str) -> str:
    """A name as small words: taken apart at ``_``, ``-``, blanks and before capitals that follow a small letter."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[\W_]+", apart)).strip().lower() or "the object"
