"""A data set whose masks are spoiled in known ways, as a folder, with the truth beside it.

``manifest.json``, ``images/`` and ``masks/`` are what any reader takes (see ``folder``); ``truth.jsonl`` has a line for
each sample: ``sample_id``, ``image``, ``kind`` of corruption, true ``iou`` of the given mask and the true ``mask`` as
RLE (``ignore``: pixels left out of IoUs, where there are any). Nothing but a measurement reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from segagent.core import BoolMask, InputError, decode_rle, encode_rle
from segagent.core.failures import Failure
from segagent.datasets.corruption import Corrupted, corrupt
from segagent.datasets.loading import Loaded, load_samples
from segagent.datasets.sample import Dataset, Sample
from segagent.environment.seeds import episode_seed
from segagent.imaging import encode_png, write_bytes

TRUTH_FILE = "truth.jsonl"


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of one sample: how its mask was spoiled, and what it should be."""

    sample_id: str
    image: str
    kind: str
    iou: float
    mask: BoolMask
    ignore: BoolMask | None = None


@dataclass(frozen=True, slots=True)
class Spoiling:
    """``share`` of the masks is spoiled; ``per_image``: at most so many objects of an image, drawn; ``max_images``."""

    share: float = 0.5
    per_image: int | None = None
    max_images: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"the share of spoiled masks must lie in 0..1, got {self.share}")


def write_corrupted(
    out: Path, dataset: Dataset, spoiling: Spoiling, progress: Callable[[int], None] | None = None
) -> tuple[dict[str, int], list[Failure]]:
    """Write ``dataset`` spoiled into the folder ``out``, which is there.

    Gives how many masks are of which kind, and the samples that could not be read, which are left out.

    One sample for each object (the first drawn of samples with equal masks), with its text; samples without an object
    are left out. A sample's corruption depends on the seed, its id and its picture's masks alone. ``progress`` is
    called with the number of images done. Raises ``InputError`` for what cannot be written.
    """
    for name in ("images", "masks"):
        (out / name).mkdir()
    entries: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    failures: list[Failure] = []
    with (out / TRUTH_FILE).open("w", encoding="ascii") as truths:
        for number, group in enumerate(islice(dataset.groups(), spoiling.max_images)):
            image_name = f"images/{number:06d}.png"
            for one, spoiled in _spoiled(group.samples(), spoiling, failures):
                sample, mask, ignore = one.sample, one.mask, one.ignore
                if not (out / image_name).exists():
                    write_bytes(out / image_name, encode_png(one.image.pixels))
                mask_name = f"masks/{len(entries):06d}.png"
                write_bytes(out / mask_name, encode_png(spoiled.mask))
                entries.append(_entry(sample, image_name, mask_name))
                counts[spoiled.kind] = counts.get(spoiled.kind, 0) + 1
                truth = {
                    "sample_id": sample.sample_id,
                    "image": image_name,
                    "kind": spoiled.kind,
                    "iou": spoiled.iou,
                    "mask": encode_rle(mask),
                    **({} if ignore is None else {"ignore": encode_rle(ignore)}),
                }
                truths.write(json.dumps(truth) + "\n")
            if progress is not None:
                progress(number + 1)
    manifest = {"dataset": dataset.spec, "fingerprint": dataset.fingerprint, "seed": spoiling.seed, "samples": entries}
    write_bytes(out / "manifest.json", json.dumps(manifest, indent=1).encode("ascii"))
    return counts, failures


def read_truth(folder: str | Path) -> dict[str, Truth]:
    """The truth of a spoiled data set by sample id. Raises ``InputError`` naming the line that is none."""
    path = Path(folder) / TRUTH_FILE
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read; expected a folder made by segagent corrupt") from error
    found = {}
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
            ignore = None if data.get("ignore") is None else decode_rle(data["ignore"])
            truth = Truth(
                str(data["sample_id"]), str(data["image"]), str(data["kind"]), float(data["iou"]),
                decode_rle(data["mask"]), ignore,
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}, line {number}: no truth of a sample ({error})") from error
        found[truth.sample_id] = truth
    return found


def _spoiled(
    samples: Sequence[Sample], spoiling: Spoiling, failures: list[Failure]
) -> Iterator[tuple[Loaded, Corrupted]]:
    """The chosen samples of one image in its order, and what becomes of each; ``failures`` gets what cannot be read."""
    loaded = load_samples(samples)
    failures += [one for one in loaded if isinstance(one, Failure)]
    distinct: dict[bytes, int] = {}
    drawn = np.random.default_rng(episode_seed(spoiling.seed, samples[0].image_name)).permutation(len(samples))
    usable = {place: one for place, one in enumerate(loaded) if isinstance(one, Loaded) and one.mask.any()}
    for place in drawn.tolist():
        if place in usable:
            distinct.setdefault(np.packbits(usable[place].mask).tobytes(), place)
    for place in sorted(list(distinct.values())[: spoiling.per_image]):
        one = usable[place]
        others = [usable[other].mask for other in sorted(distinct.values()) if other != place]
        rng = np.random.default_rng(episode_seed(spoiling.seed, one.sample.sample_id))
        yield one, corrupt(one.mask, others, rng, share=spoiling.share, ignore=one.ignore)


def _entry(sample: Sample, image: str, mask: str) -> dict[str, Any]:
    optional = {name: getattr(sample, name) for name in ("category", "kind") if getattr(sample, name) is not None}
    return {"id": sample.sample_id, "image": image, "mask": mask, "text": sample.text, **optional}
