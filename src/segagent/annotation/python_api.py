"""``segagent.annotate``, ``refine`` and ``audit``: one picture in memory or on disk, or a whole data set."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from segagent.annotation.batch import Models, ObjectRecord, Run, RunConfig, make_models, open_run, run_job
from segagent.annotation.batch.records import Outcome
from segagent.annotation.batch.work import made_or_not_found, objects_played
from segagent.annotation.single import annotate_image, refine_image
from segagent.core import BoolMask, Image, InputError, Trajectory
from segagent.core.failures import Failure
from segagent.datasets import Dataset, ListedDataset, open_dataset
from segagent.datasets.sample import ListedGroup
from segagent.imaging import load_image, load_mask
from segagent.policies import require_predicted_iou
from segagent.policies.doubts import speaks_against
from segagent.runs.playing import ImageTask
from segagent.search import SearchConfig

Picture: TypeAlias = "str | Path | npt.NDArray[np.uint8] | Image"
"""A file, or RGB pixels, uint8 (height, width, 3)."""

MaskLike: TypeAlias = "str | Path | npt.NDArray[np.bool_]"
"""A file (bright is object), or bool (height, width)."""


@overload
def annotate(
    source: Picture, text: str, *, models: Models | None = ..., search: SearchConfig = ..., found: float = ...,
    seed: int = ...,
) -> ObjectRecord: ...  # fmt: skip
@overload
def annotate(
    source: str | Path | Dataset, *, out: str | Path, models: Models | None = ...,
    search: SearchConfig = ..., found: float = ..., seed: int = ..., workers: int | None = ...,
    retry_failed: bool = ...,
) -> Run: ...  # fmt: skip
def annotate(
    source: Picture | Dataset,
    text: str | None = None,
    *,
    out: str | Path | None = None,
    models: Models | None = None,
    search: SearchConfig = SearchConfig(),
    found: float = 0.3,
    seed: int = 0,
    workers: int | None = None,
    retry_failed: bool = False,
) -> ObjectRecord | Run:
    """Segment what ``text`` says in one picture, or what each sentence of a data set says in its image.

    Args:
        source: a picture, with ``text``; or a data set (see :func:`segagent.datasets.open_dataset`), with ``out``.
        text: what to segment.
        out: the run folder; one that is there is gone on with.
        models: who works, see :func:`load_models`; default: the embedded ones. They stay in this process; without
            them a data set can be worked on by several ``workers``.
        search: how is clicked.
        found: a calibrated predicted IoU below this means "not found"; the mask is the same.
        seed: drives all sampling.
        workers: processes, each working on one image at a time; None is this process, which works on many at once
            where the policy is behind a server.
        retry_failed: try again the objects that failed in earlier sessions.

    Returns:
        For a picture the record of its object: ``outcome`` is "made" or "not_found", ``mask`` is bool (height, width).
        For a data set the run; objects that failed are in ``run.failures()``.

    Raises:
        InputError: for an input that cannot be used.
    """
    config = RunConfig("annotate", search, found=found, seed=seed)
    return _do(source, text, None, out, models, config, workers, retry_failed=retry_failed)


@overload
def refine(
    source: Picture, text: str, mask: MaskLike, *, models: Models | None = ..., search: SearchConfig = ...,
    seed: int = ...,
) -> ObjectRecord: ...  # fmt: skip
@overload
def refine(
    source: str | Path | Dataset, *, out: str | Path, models: Models | None = ...,
    search: SearchConfig = ..., below: float | None = ..., margin: float | None = ..., sure: float | None = ...,
    seed: int = ..., workers: int | None = ..., retry_failed: bool = ...,
) -> Run: ...  # fmt: skip
def refine(
    source: Picture | Dataset,
    text: str | None = None,
    mask: MaskLike | None = None,
    *,
    out: str | Path | None = None,
    models: Models | None = None,
    search: SearchConfig = SearchConfig(),
    below: float | None = None,
    margin: float | None = None,
    sure: float | None = None,
    seed: int = 0,
    workers: int | None = None,
    retry_failed: bool = False,
) -> ObjectRecord | Run:
    """Improve one mask, or those of a data set; ``outcome`` is "kept" or "repaired".

    One mask comes back as the best-scored one that was seen, the given one included, as from ``segagent refine``. Of a
    data set, whose masks nobody looks at one by one, a mask whose calibrated predicted IoU is at least ``below`` is
    left alone, another replaced only where the predicted IoU rises by more than ``margin`` and, calibrated, to at
    least ``sure``, and where the policy has no doubts; these three are refused with one picture. Else as
    :func:`annotate`.
    """
    if text is not None and (below, margin, sure) != (None, None, None):
        raise InputError("below, margin and sure are for data sets; of one picture the best-scored mask is returned")
    config = RunConfig("refine", search, seed=seed).with_given(below=below, margin=margin, sure=sure)
    return _do(source, text, mask, out, models, config, workers, retry_failed=retry_failed)


@overload
def audit(
    source: Picture, text: str, mask: MaskLike, *, models: Models | None = ..., seed: int = ...
) -> ObjectRecord: ...
@overload
def audit(
    source: str | Path | Dataset, *, out: str | Path, models: Models | None = ..., seed: int = ...,
    workers: int | None = ..., retry_failed: bool = ..., tool_opinion: bool = ...,
) -> Run: ...  # fmt: skip
def audit(
    source: Picture | Dataset,
    text: str | None = None,
    mask: MaskLike | None = None,
    *,
    out: str | Path | None = None,
    models: Models | None = None,
    seed: int = 0,
    workers: int | None = None,
    retry_failed: bool = False,
    tool_opinion: bool = False,
) -> ObjectRecord | Run:
    """Score one mask, or those of a data set, against their texts: ``record.predicted_iou``, ``run.calibrated(...)``.

    ``tool_opinion``: where the policy cannot judge outlines, the tool draws each mask anew from its box, and what the
    two disagree in moves it up the order. Else as :func:`annotate`.
    """
    config = RunConfig("audit", seed=seed, tool_opinion=tool_opinion)
    return _do(source, text, mask, out, models, config, workers, retry_failed=retry_failed)


def load_models(policy: str = "embedded", tool: str = "embedded", first_box: str | None = None) -> Models:
    """Models to be used for many calls: see :func:`segagent.annotation.batch.make_models`."""
    return make_models(policy, tool, first_box)


@lru_cache(maxsize=1)
def _embedded() -> Models:
    return make_models("embedded", "embedded")


@dataclass(frozen=True, eq=False)
class _OneSample:
    """A picture, a sentence and a mask at hand. See :class:`segagent.datasets.Sample`."""

    image: Image
    text: str
    mask: BoolMask
    sample_id: str
    category: None = None
    kind: None = None

    @property
    def image_name(self) -> str:
        return self.sample_id

    def load_image(self) -> Image:
        return self.image

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        del image
        return self.mask, None


def _do(
    source: Picture | Dataset,
    text: str | None,
    mask: MaskLike | None,
    out: str | Path | None,
    models: Models | None,
    config: RunConfig,
    workers: int | None,
    *,
    retry_failed: bool,
) -> ObjectRecord | Run:
    if (text is None) == (out is None):
        raise InputError("give a picture with 'text', or a data set with 'out', the folder of its run")
    if text is not None:
        if workers is not None or retry_failed:
            raise InputError("workers and retry_failed are for data sets; leave them out with one picture")
        return _one(_picture(source), text, mask, models or _embedded(), config, _name(source))
    if mask is not None:
        raise InputError("a mask goes with one picture and its text; a data set holds its own masks")
    if (workers or 1) > 1 and models is not None:
        raise InputError("models that are loaded stay in this process; leave them out to use several workers")
    assert out is not None
    run_job(
        _opened(source),
        partial(make_models, "embedded", "embedded") if models is None else lambda: models,
        Path(out),
        config,
        workers=workers,
        retry_failed=retry_failed,
    )
    return open_run(out)


def _one(image: Image, text: str, mask: MaskLike | None, models: Models, config: RunConfig, name: str) -> ObjectRecord:
    """What the commands do to one picture: those for data sets spare and guard masks that nobody looks at."""
    if config.job == "annotate":
        trajectory = annotate_image(
            image, text, models.policy, models.tool, config.search, seed=config.seed, image_name=name
        )
        return _record(trajectory, image, models, made_or_not_found(trajectory, models, config.found))
    given = _mask(mask, image, config.job)
    if config.job == "refine":
        trajectory = refine_image(
            image, text, models.policy, models.tool, config.search, mask=given, seed=config.seed, image_name=name
        )
        return _record(trajectory, image, models, "repaired" if trajectory.returned else "kept")
    require_predicted_iou(models.policy, "an audit")
    sample = _OneSample(image, text, given, name)
    (result,) = objects_played(config)(models, [ImageTask(0, ListedGroup(name, (sample,)))])
    (data,) = result.records
    failure = Failure.from_dict(data)
    if failure is not None:
        raise InputError(failure.reason)
    return ObjectRecord.from_dict(data)


def _record(trajectory: Trajectory, image: Image, models: Models, outcome: Outcome) -> ObjectRecord:
    against = speaks_against(models.policy, image, trajectory.text)
    return ObjectRecord(trajectory.sample_id, outcome, trajectory, doubts=against)


def _mask(mask: MaskLike | None, image: Image, job: str) -> BoolMask:
    if mask is None:
        raise InputError(f"{job} needs the mask to look at")
    if not isinstance(mask, np.ndarray):
        return load_mask(mask, image.height, image.width)
    if mask.dtype != np.bool_ or mask.shape != image.pixels.shape[:2]:
        raise InputError(
            f"the mask is {mask.dtype} of shape {mask.shape}; expected bool {image.pixels.shape[:2]}, "
            "(height, width) of the picture"
        )
    return mask


def _picture(source: Any) -> Image:
    if isinstance(source, Image):
        return source
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise InputError(
                f"the picture is {source.dtype} of shape {source.shape}; expected uint8 (height, width, 3)"
            )
        return Image.of(source)
    if isinstance(source, str | Path):
        return load_image(source)
    raise InputError(
        f"{type(source).__name__} is no picture; expected a file name or RGB pixels, uint8 (height, width, 3)"
    )


def _opened(source: Any) -> Dataset:
    opened = open_dataset(str(source)) if isinstance(source, str | Path) else source
    for note in opened.notes if isinstance(opened, ListedDataset) else ():
        warnings.warn(note, stacklevel=4)
    return opened


def _name(source: Any) -> str:
    return Path(source).name if isinstance(source, str | Path) else "picture"
