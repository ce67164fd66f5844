"""``published:FILE``: the objects of a trajectory file of the published SegAgent project, with their pictures."""

from __future__ import annotations

from pathlib import Path

from segagent.core.texts import read_file
from segagent.datasets.listed import ListedDataset, ListedSample
from segagent.datasets.mask_sources import CocoMasks
from segagent.datasets.published import PublishedEpisode, read_published_trajectories
from segagent.datasets.sample import content_fingerprint, path_inside
from segagent.datasets.spec_options import parse_spec, write_spec


def open_published(spec: str) -> ListedDataset:
    """``published:FILE[:images=FOLDER]``: a sample for every object and sentence; the folder is FILE's own by default.

    Raises ``InputError`` naming file and entry.
    """
    path, options = parse_spec(spec, {"images": None})
    return published_set(path, Path(options["images"]) if "images" in options else path.parent)[0]


def published_set(path: Path, images: Path) -> tuple[ListedDataset, dict[str, PublishedEpisode]]:
    """The data set of a trajectory file whose pictures lie below ``images``, and its episodes by ``sample_id``."""
    content = content_fingerprint(read_file(path, "expected a trajectory file of the published SegAgent project"))
    episodes = {one.trajectory.sample_id: one for one in read_published_trajectories(path)}
    samples = []
    for name, one in episodes.items():
        made, where = one.trajectory, f"{path}, data[{name.partition('-')[0]}]"
        picture = path_inside(images, made.image, where, "image_name")
        relative, size = picture.relative_to(images).as_posix(), (made.height, made.width)
        masks = CocoMasks((dict(one.target),))
        samples.append(ListedSample(name, picture, relative, made.text, masks, where, size=size))
    spec = write_spec("published", path, {"images": str(images.resolve())})
    return ListedDataset(spec, content, samples, images), episodes
