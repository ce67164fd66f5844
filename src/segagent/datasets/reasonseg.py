"""ReasonSeg: pictures with a LabelMe-like JSON file each, whose questions have to be reasoned about.

Files (https://github.com/dvlab-research/LISA): ``ROOT/train``, ``ROOT/val``, ``ROOT/test``, each with ``NAME.jpg`` and
``NAME.json``; a folder ``ReasonSeg`` below ROOT is found too. A JSON file has ``text`` (a list of sentences, each one
sample), ``is_sentence`` and ``shapes`` (``label``, ``shape_type``, ``points`` as [x, y] in pixels). Its mask as LISA
defines it: shapes are filled, outline included, from the largest to the smallest; one whose label holds "ignore" marks
pixels to ignore, one labelled "flag" counts for nothing. What each type is: :mod:`segagent.datasets.labelme`. A file
whose shapes are no mask makes its samples fail where a mask is needed.
"""

from __future__ import annotations

from pathlib import Path

from segagent.core import InputError
from segagent.core.texts import parse_json, read_file
from segagent.datasets.labelme import read_shapes
from segagent.datasets.listed import ListedDataset, ListedSample, MaskSource, fingerprint_of, size_of, told
from segagent.datasets.mask_sources import NoMask
from segagent.datasets.sample import path_inside
from segagent.datasets.spec_options import parse_spec, write_spec

_SPLITS = ("train", "val", "test")


def open_reasonseg(spec: str) -> ListedDataset:
    """The data set of ``reasonseg:ROOT[:split=train|val|test]``; without a split all that are there.

    Raises ``InputError`` naming file and entry, or what is missing.
    """
    given, options = parse_spec(spec, {"split": _SPLITS})
    root = given / "ReasonSeg" if (given / "ReasonSeg").is_dir() else given
    splits = [options["split"]] if "split" in options else [split for split in _SPLITS if (root / split).is_dir()]
    wanted = (
        f"ReasonSeg needs folders {', '.join(_SPLITS)} with NAME.jpg and NAME.json, "
        "from https://github.com/dvlab-research/LISA"
    )
    samples: list[ListedSample] = []
    contents: list[bytes | str] = []
    for split in splits:
        files = sorted((root / split).glob("*.json"))
        if not files:
            raise InputError(f"{root / split}: holds no .json file; {wanted}")
        for file in files:
            content = read_file(file, wanted)
            contents += [f"{split}/{file.name}", content]
            samples += _samples(root, split, file, content)
    if not splits:
        raise InputError(f"{root}: holds none of the folders {', '.join(_SPLITS)}; {wanted}")
    return ListedDataset(
        write_spec("reasonseg", given, {"split": options.get("split")}), fingerprint_of(*contents), samples, root
    )


def _samples(root: Path, split: str, file: Path, content: bytes) -> list[ListedSample]:
    data = parse_json(content, file, fallback="cp1252")  # Some files of the published set are.
    if not isinstance(data, dict):
        raise InputError(f"{file}: expected an object with 'text' and 'shapes', got {type(data).__name__}")
    texts = data.get("text")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(f"{file}: 'text' must be sentences, got {told(texts)}")
    size: tuple[int, int] | None = None
    target: MaskSource
    try:
        size = size_of({"height": data.get("imageHeight"), "width": data.get("imageWidth")}, "image size")
        target = read_shapes(data.get("shapes"), "shapes")
    except InputError as error:
        target = NoMask(str(error))
    image = path_inside(root, f"{split}/{file.stem}.jpg", str(file), "image")
    kind = "sentence" if data.get("is_sentence") else "phrase"
    return [
        ListedSample(
            f"{split}-{file.stem}-{number}",
            image,
            f"{split}/{file.stem}.jpg",
            text.strip(),
            target,
            str(file),
            kind=kind,
            size=size,
        )
        for number, text in enumerate(texts)
    ]
