"""Where samples come from. ``open_dataset`` opens any data set from its specification."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from segagent.core import InputError
from segagent.core.extensions import DATA, SCHEME, make_extension
from segagent.datasets.broken import BrokenSample
from segagent.datasets.coco import CocoDataset
from segagent.datasets.davis import open_davis
from segagent.datasets.folder import FolderDataset
from segagent.datasets.generated import ScenesDataset
from segagent.datasets.hqseg import open_hqseg
from segagent.datasets.interactive import open_interactive
from segagent.datasets.joined import SCHEME as JOINED
from segagent.datasets.joined import JoinedDataset
from segagent.datasets.listed import ListedDataset
from segagent.datasets.lvis import TAKEN_AS, LvisDataset, coco_file, open_coco
from segagent.datasets.manifest_stream import LARGE_MANIFEST_BYTES, StreamedFolder
from segagent.datasets.parquet import ParquetDataset
from segagent.datasets.prompts import open_prompts
from segagent.datasets.published_set import open_published
from segagent.datasets.reasonseg import open_reasonseg
from segagent.datasets.refer import KINDS, open_refer
from segagent.datasets.sample import Dataset, Sample, SampleGroup
from segagent.datasets.spec_options import refuse_untaken
from segagent.datasets.voc import open_sbd, open_voc
from segagent.datasets.yolo import open_yolo

__all__ = [
    "BrokenSample",
    "CocoDataset",
    "Dataset",
    "FolderDataset",
    "JoinedDataset",
    "ListedDataset",
    "LvisDataset",
    "ParquetDataset",
    "Sample",
    "SampleGroup",
    "ScenesDataset",
    "StreamedFolder",
    "open_dataset",
]

_SCHEMES: dict[str, Callable[..., Dataset]] = {
    "scenes": ScenesDataset.from_spec,
    **dict.fromkeys(KINDS, open_refer),
    "reasonseg": open_reasonseg,
    "hqseg": open_hqseg,
    "coco": open_coco,
    "lvis": open_coco,
    "voc": open_voc,
    "sbd": open_sbd,
    "grabcut": open_interactive,
    "berkeley": open_interactive,
    "davis": open_davis,
    "yolo": open_yolo,
    "parquet": ParquetDataset,
    "prompts": open_prompts,
    "published": open_published,
}
"""What comes before the first colon of a specification, and what opens it (and what was given beside it)."""


def _manifest_in(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("manifest.json", "manifest.jsonl"))


def _open_manifest(file: Path) -> Dataset:
    if file.stat().st_size > LARGE_MANIFEST_BYTES:
        return StreamedFolder(file)
    return FolderDataset(file.parent)


_IN_A_FOLDER: dict[str, Callable[[Path], Dataset]] = {
    "manifest.json": _open_manifest,
    "manifest.jsonl": StreamedFolder,
    "instances.json": CocoDataset,
}
"""What a folder holds, the first one found deciding, and how it is opened; where none of them is, see ``_is_yolo``."""


def _is_yolo(path: Path) -> bool:
    if path.name == "data.yaml":
        return path.is_file()
    return (path / "data.yaml").is_file() and not any((path / name).is_file() for name in _IN_A_FOLDER)


_OTHERS = "docs/datasets.md lists what is read, and how other programs' files (CVAT, Label Studio, LabelMe ...) come in"


def open_dataset(
    spec: str, text_template: str | None = None, *, crowds: bool = False, pictures: bool = True
) -> Dataset:
    """The data set that ``spec`` names.

    - ``scenes:NUM[:seed=..,split=..]``: generated scenes, drawn on the fly; also complexity, size, width, height and
      sentences (at most so many per scene)
    - a folder with ``manifest.json``: :class:`FolderDataset`, one sample per sentence
    - a folder with ``manifest.jsonl``, or a ``.jsonl`` file: :class:`StreamedFolder`, the same, read as a stream
    - a folder with ``instances.json``, or a ``.json`` file: :class:`CocoDataset`, one sample per object, its category
      as the text
    - ``refcoco:ROOT``, ``refcoco+:``, ``refcocog:``, ``refclef:``, ``grefcoco:``: :func:`open_refer`, with
      ``by=unc|umd|google|berkeley``, ``split=``, ``images=``
    - ``reasonseg:ROOT``: :func:`open_reasonseg`, with ``split=train|val|test``
    - ``hqseg:ROOT``: :func:`open_hqseg`, with ``part=dis5k|thin``, ``split=train|val``
    - ``coco:FILE``, ``lvis:FILE``: :func:`open_coco`, with ``text=the {category}``, ``images=``, ``crowds=objects``
    - ``voc:ROOT``, ``sbd:ROOT``: :func:`open_voc`, :func:`open_sbd`, with ``split=train|val``, ``text=``
    - ``grabcut:ROOT``, ``berkeley:ROOT``: :func:`open_interactive`, with ``text=``
    - ``davis:ROOT``: :func:`open_davis`, with ``by=2016|2017``, ``split=``, ``text=``
    - ``yolo:PATH``, a ``data.yaml`` or a folder with one: :func:`open_yolo`, with ``split=train|val|test``, ``text=``
    - ``parquet:FILE_OR_FOLDER``: :class:`ParquetDataset`; ``image=``, ``mask=``, ``text=`` name the columns
    - ``prompts:FILE``: :func:`open_prompts`, a CSV of images and sentences without masks, with ``images=``
    - ``published:FILE``: :func:`open_published`, a trajectory file of the published project, with ``images=``
    - ``joined:[...]``: :class:`JoinedDataset`, as ``segagent merge`` writes it into a run
    - ``python:MODULE:FACTORY``, or the name of an installed one: a data set of your own, with ``name=value,...`` as it
      takes them, see docs/extend.md; a file or folder of such a name goes before it

    Options follow the path, ``refcoco:data:by=unc,split=val``. docs/datasets.md tells which files each one wants. A
    manifest goes before instances. ``text_template`` is the option ``text=``, ``crowds`` the option ``crowds=objects``,
    for those that have it; if ``spec`` has it too they must be the same. What a data set leaves out is in the ``notes``
    of a :class:`ListedDataset`. Without ``pictures`` the folder of the images need not be there. Raises ``InputError``
    for anything else, and for a data set that is malformed.
    """
    if spec.startswith(f"{JOINED}:["):
        return JoinedDataset.from_spec(spec, partial(open_dataset, pictures=pictures))
    opened = _opened(spec, text_template, crowds=crowds)
    folder = getattr(opened, "images_dir", None)
    if pictures and folder is not None and opened.num_images and not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder; the images of {spec} are looked for there")
    return opened


def _opened(spec: str, text_template: str | None, *, crowds: bool) -> Dataset:
    values = {"text": text_template, "crowds": TAKEN_AS if crowds else None}
    beside = {name: value for name, value in values.items() if value is not None}
    scheme, _, rest = spec.partition(":")
    if scheme in (*_SCHEMES, SCHEME) and (rest or scheme == "scenes"):
        refuse_untaken(spec, scheme, beside)
        if scheme != SCHEME:
            return _SCHEMES[scheme](spec, beside) if beside else _SCHEMES[scheme](spec)
    if "\0" in spec or not spec:
        raise InputError(f"{spec!r:.80}: not a data set")
    path = Path(spec)
    if _is_yolo(path):
        return _opened(f"yolo:{path}", text_template, crowds=crowds)
    if beside:
        file = path / "instances.json" if path.is_dir() and not _manifest_in(path) else path
        if file.suffix.lower() != ".json" or file.name == "manifest.json" or not file.is_file():
            refuse_untaken(spec, "a manifest", beside)
        return coco_file(file, text=text_template, crowds=crowds)
    made: Dataset | None = None if path.exists() else make_extension(DATA, spec)
    if made is not None:
        return made
    if path.is_file():
        by_name: Callable[[Path], Dataset] | None = (
            StreamedFolder if path.suffix == ".jsonl" else _IN_A_FOLDER.get(path.name)
        )
        if path.suffix.lower() == ".zip":
            raise InputError(f"{path}: a zip archive; unpack it, and give the file or folder that is in it")
        if by_name is None and path.suffix.lower() != ".json":
            raise InputError(
                f"{path}: expected a folder, a .json file with COCO annotations, or scheme:PATH; {_OTHERS}"
            )
        return by_name(path) if by_name is not None else CocoDataset(path)
    for name, open_file in _IN_A_FOLDER.items():
        if (path / name).is_file():
            return open_file(path / name)
    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder; a data set is a folder, a .json file, scenes:NUM, or "
            f"scheme:PATH with a scheme out of {', '.join((*_SCHEMES, *DATA.installed()))}, or "
            "python:MODULE:FACTORY"
        )
    raise InputError(f"{path}: holds none of {', '.join(_IN_A_FOLDER)}, data.yaml; {_OTHERS}")
