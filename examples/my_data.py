"""A data set of one's own: a folder of NAME.jpg, NAME.mask.png (bright is object) and NAME.txt (a sentence)."""

from pathlib import Path

from segagent.core import InputError
from segagent.datasets import ListedDataset
from segagent.datasets.listed import ListedSample
from segagent.datasets.mask_sources import MaskFile
from segagent.datasets.sample import content_fingerprint


def open_pairs(folder: str) -> ListedDataset:
    """The data set of ``python:my_data:open_pairs:folder=FOLDER``."""
    root = Path(folder).resolve()
    pictures = sorted(root.glob("*.jpg"))
    if not pictures:
        raise InputError(f"{root}: holds no .jpg file")  # One line for a person: it is shown as it is.
    samples, content = [], b""
    for picture in pictures:
        words, mask = picture.with_suffix(".txt"), picture.with_suffix(".mask.png")
        for file in (words, mask):
            if not file.is_file():
                raise InputError(f"{file}: no such file; it belongs to {picture.name}")
        text, source = words.read_text(encoding="utf-8").strip(), MaskFile(mask)
        samples.append(ListedSample(picture.stem, picture, picture.name, text, source, str(mask)))
        content += text.encode() + mask.read_bytes()
    # A run that is gone on with must be of the same annotations: the fingerprint changes when they do.
    return ListedDataset(f"python:my_data:open_pairs:folder={root}", content_fingerprint(content), samples, root)
