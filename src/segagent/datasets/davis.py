"""DAVIS: every annotated frame of its sequences is one picture, all objects together one mask (as DAVIS 2016 has it).

Files (https://davischallenge.org)::

    ROOT/JPEGImages/480p/SEQUENCE/00000.jpg    ROOT/Annotations/480p/SEQUENCE/00000.png
    ROOT/ImageSets/2016/val.txt  ROOT/ImageSets/2017/val.txt (sequence names), or DAVIS 2016's ImageSets/480p/val.txt

The sentence is the sequence's name as words ("dance-twirl" -> "dance twirl") or what ``text=the {category}`` says.
DAVIS345, the 345 frames used by interactive segmentation (``ROOT/img``, ``ROOT/gt``), is found too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from segagent.core import InputError
from segagent.core.texts import decode_text, read_file
from segagent.datasets.hqseg import words_of
from segagent.datasets.interactive import open_interactive
from segagent.datasets.listed import ListedDataset, ListedSample, listing_fingerprint
from segagent.datasets.mask_sources import LabelValue
from segagent.datasets.sample import path_inside
from segagent.datasets.spec_options import NOTHING, parse_spec, write_spec


def open_davis(spec: str, beside: Mapping[str, str] = NOTHING) -> ListedDataset:
    """The data set of ``davis:ROOT[:by=2016|2017,split=train|val,resolution=480p,text=..]``.

    Raises ``InputError`` saying which file is missing, or naming the line of the list that is no sequence.
    """
    root, options = parse_spec(
        spec,
        {
            "by": ("2016", "2017"),
            "split": ("train", "val", "trainval"),
            "resolution": ("480p", "1080p", "Full-Resolution"),
            "text": None,
        },
        beside,
    )
    if (root / "img").is_dir() and (root / "gt").is_dir():
        if options.keys() - {"text"}:
            raise InputError(f"{spec!r:.200}: {root} holds DAVIS345 (img and gt), which has no splits")
        return open_interactive(spec, beside)
    split, resolution = options.get("split", "val"), options.get("resolution", "480p")
    wanted = (
        f"DAVIS needs JPEGImages/{resolution}, Annotations/{resolution} and ImageSets in {root}, "
        "from https://davischallenge.org"
    )
    years = [options["by"]] if "by" in options else ["2017", "2016"]
    lists = [root / "ImageSets" / year / f"{split}.txt" for year in years]
    if "2016" in years:
        lists.append(root / "ImageSets" / "480p" / f"{split}.txt")
    file = next((one for one in lists if one.is_file()), lists[0])
    content = read_file(file, wanted)
    samples: list[ListedSample] = []
    targets: list[Path] = []
    for sequence in _sequences(content, file):
        frames = path_inside(root, f"Annotations/{resolution}/{sequence}", str(file), "sequence")
        numbers = sorted(frame.stem for frame in frames.glob("*.png"))
        if not numbers:
            raise InputError(f"{frames}: holds no .png file, yet {file} lists the sequence; {wanted}")
        for number in numbers:
            image = f"JPEGImages/{resolution}/{sequence}/{number}.jpg"
            target = path_inside(root, f"Annotations/{resolution}/{sequence}/{number}.png", str(file), "mask")
            targets.append(target)
            samples.append(
                ListedSample(
                    f"{sequence}-{number}",
                    path_inside(root, image, str(file), "image"),
                    image,
                    options.get("text", "{category}").replace("{category}", words_of(sequence)),
                    LabelValue(target, None, may_be_empty=True, void=None),
                    str(target),
                )
            )
    again = write_spec("davis", root, dict(options))
    return ListedDataset(again, listing_fingerprint(root, targets, options.get("text", "")), samples, root)


def _sequences(content: bytes, file: Path) -> list[str]:
    """Sequence names, each once: a line is one, or a frame's two paths (DAVIS 2016)."""
    found: dict[str, None] = {}
    for number, line in enumerate(decode_text(content, file).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        parts = words[0].split("/")
        name = parts[-2] if len(parts) > 1 else parts[0]
        if name in {"", ".", ".."} or "\\" in name or "\0" in name:
            raise InputError(f"{file}, line {number}: {line!r:.80} is no sequence")
        found[name] = None
    return list(found)
