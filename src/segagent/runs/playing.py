"""The samples of some images: loaded, played in step with one another, and kept. Every kind of run does it here.

Each picture is read and embedded once, where :class:`Playing` can, while the images before are still played. What
cannot be loaded or played becomes a failure and takes nothing else with it: where models cannot deal with what they are
asked together, each episode is played by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from segagent.core import Image, InputError, RefusedError, ToolError, Trajectory, Usage, total_usage
from segagent.core.failures import Failure
from segagent.datasets import Sample, SampleGroup
from segagent.datasets.loading import OncePicture
from segagent.environment import Episode, Target
from segagent.runs.models import Models, in_turns, num_requests, unchanged, with_embeddings

_M_contra = TypeVar("_M_contra", bound=Models, contravariant=True)
_M = TypeVar("_M", bound=Models)

Record: TypeAlias = dict[str, Any]

CANNOT_BE_PLAYED = (ToolError, RefusedError, ValueError)
"""What models say about one episode that they cannot deal with. All else, a server that is gone or a programming error,
is nothing that the next episode would be spared: it ends the run."""


_MOST_EMBEDDED = 16
"""So many pictures at most are embedded before it is their turn."""


@dataclass(frozen=True, slots=True)
class ImageTask:
    """The samples of an image, all or ``only`` some of them; ``unit`` numbers their records in the journal."""

    unit: int
    group: SampleGroup
    only: frozenset[str] | None = None

    def samples(self) -> list[Sample]:
        """Those that are wanted, in the data set's order."""
        return [one for one in self.group.samples() if self.only is None or one.sample_id in self.only]


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The records of an image's samples, in the data set's order, and what they cost."""

    unit: int
    records: list[Record]
    cost: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Asked:
    """An episode to be played of a sample; ``target`` where rewards are wanted.

    Of an image's episodes with the same ``key`` the first is played, and counts for all of them.
    """

    episode: Episode
    target: Target | None = None
    key: Hashable = None


class Kind(Protocol[_M_contra]):
    """What is played and what is kept: all that kinds of runs differ in. It is sent to workers, so it is picklable."""

    @property
    def embeds(self) -> bool:
        """Whether the tool looks at the pictures."""
        ...

    def asked(self, sample: Sample, image: Image, models: _M_contra) -> Sequence[Asked] | Record:
        """The episodes of a sample, or the one record that there is instead.

        Raises ``InputError`` for a sample that cannot be used.
        """
        ...

    def play(self, asked: Sequence[Asked], models: _M_contra) -> Sequence[Sequence[Trajectory]]:
        """The trajectories of each, in step with one another. Raises :data:`CANNOT_BE_PLAYED`."""
        ...

    def kept(
        self, sample: Sample, asked: Asked, made: Sequence[Trajectory], models: _M_contra, seconds: float
    ) -> Sequence[Record]:
        """The records of what was played of a sample; ``seconds``: its share of the time that all of it took."""
        ...


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A sample and its episodes, or the record that there is instead."""

    sample: Sample
    found: Sequence[Asked] | Record


@dataclass(frozen=True, eq=False)
class Prepared:
    """Some images before it is their turn: their samples, embeddings by ``Image.key``, and how long it took."""

    images: Sequence[Sequence[_Loaded]]
    embeddings: Mapping[str, object]
    seconds: float


@dataclass(frozen=True)
class Playing(Generic[_M]):
    """What a run's workers do with images: :func:`play_images`. Picklable.

    ``player`` makes, of the models that are there, those that play.
    """

    kind: Kind[_M]
    player: Callable[[_M], _M] = unchanged

    def __call__(self, models: _M, tasks: Sequence[ImageTask], prepared: Prepared | None = None) -> list[ImageResult]:
        """The results of ``tasks``, in order."""
        return play_images(self.player(models), tasks, kind=self.kind, prepared=prepared)

    def prepare(self, models: _M, tasks: Sequence[ImageTask]) -> Prepared:
        """Load ``tasks`` and have the tool look at their pictures; see :class:`segagent.distributed.Asking`.

        Only a tool that says that it bears several threads (``thread_safe``) is asked beside the playing. Others may
        sit on the GPU that the policy sits on, with room for one of them at a time.
        """
        began = time.perf_counter()
        models = self.player(models)
        images = [_load(task, models, self.kind) for task in tasks]
        embeddings: dict[str, object] = {}
        if self.kind.embeds and getattr(models.tool, "thread_safe", False):
            pictures = {one.episode.image.key: one.episode.image for one in _all_episodes(images)}
            for image in islice(pictures.values(), _MOST_EMBEDDED):
                try:
                    (embeddings[image.key],) = models.tool.embed([image])
                except CANNOT_BE_PLAYED:
                    continue  # It is met again, and told, where the image is played.
        return Prepared(images, embeddings, time.perf_counter() - began)


def play_images(
    models: _M, tasks: Sequence[ImageTask], *, kind: Kind[_M], prepared: Prepared | None = None
) -> list[ImageResult]:
    """The results of ``tasks``, in order; ``prepared``: what has been done for them already."""
    lanes = models.lanes
    began = lanes.clock() - (0.0 if prepared is None else prepared.seconds)
    player = in_turns(models)
    if kind.embeds:
        player = with_embeddings(player, {} if prepared is None else prepared.embeddings)

    def load() -> Sequence[Sequence[_Loaded]]:
        return [_load(task, models, kind) for task in tasks] if prepared is None else prepared.images

    with lanes.holding(load, _pixels) as images:
        # The first of equal episodes is played, for all of them.
        played: dict[Hashable, Asked] = {}
        for place, image in enumerate(images):
            for one in _episodes(image):
                played.setdefault(_key(place, one), one)
        made = dict(zip(played, _play(list(played.values()), player, kind), strict=True))
        share = (lanes.clock() - began) / max(sum(bool(_episodes([one])) for image in images for one in image), 1)
        return [
            ImageResult(task.unit, *_results(place, image, made, player, kind, share))
            for place, (task, image) in enumerate(zip(tasks, images, strict=True))
        ]


def failed(sample: Sample, reason: str) -> Record:
    """The record of a sample that cannot be loaded or played."""
    return Failure(sample.sample_id, sample.image_name, reason).to_dict()


def fail_all(tasks: Sequence[ImageTask], reason: str) -> list[ImageResult]:
    """What is recorded where the samples of ``tasks`` could not even be tried."""
    return [ImageResult(task.unit, [failed(one, reason) for one in task.samples()], _cost([], 0.0)) for task in tasks]


def _load(task: ImageTask, models: _M, kind: Kind[_M]) -> list[_Loaded]:
    picture = OncePicture()
    loaded = []
    for sample in task.samples():
        try:
            found = kind.asked(sample, picture.of(sample), models)
        except InputError as error:
            found = failed(sample, str(error))
        loaded.append(_Loaded(sample, found))
    return loaded


def _episodes(image: Sequence[_Loaded]) -> list[Asked]:
    return [asked for one in image if not isinstance(one.found, dict) for asked in one.found]


def _all_episodes(images: Sequence[Sequence[_Loaded]]) -> list[Asked]:
    return [asked for image in images for asked in _episodes(image)]


def _pixels(images: Sequence[Sequence[_Loaded]]) -> int:
    """How many pixels of pictures are loaded."""
    shown = [next((asked.episode.image for asked in _episodes(image)), None) for image in images]
    return sum(image.height * image.width for image in shown if image is not None)


def _key(place: int, asked: Asked) -> Hashable:
    return (place, id(asked) if asked.key is None else asked.key)


def _play(asked: Sequence[Asked], models: _M, kind: Kind[_M]) -> list[Sequence[Trajectory] | str]:
    """The trajectories of each, or why there are none."""
    if not asked:
        return []
    try:
        return list(kind.play(asked, models))
    except CANNOT_BE_PLAYED as error:
        if len(asked) > 1:
            return [made for one in asked for made in _play([one], models, kind)]
        return [str(error) or type(error).__name__]


def _results(
    place: int,
    image: Sequence[_Loaded],
    made: dict[Hashable, Sequence[Trajectory] | str],
    models: _M,
    kind: Kind[_M],
    share: float,
) -> tuple[list[Record], dict[str, Any]]:
    """The records of an image, and what they cost."""
    records: list[Record] = []
    before = num_requests(models)
    for one in image:
        if isinstance(one.found, dict):
            records.append(one.found)
            continue
        results = [made[_key(place, asked)] for asked in one.found]
        reason = next((result for result in results if isinstance(result, str)), None)
        if reason is not None:
            records.append(failed(one.sample, reason))
            continue
        for asked, result in zip(one.found, results, strict=True):
            assert not isinstance(result, str)
            records += kind.kept(one.sample, asked, result, models, share / len(one.found))
    distinct = {_key(place, asked): None for asked in _episodes(image)}
    played = [one for key in distinct for one in made[key] if not isinstance(one, str)]
    cost = _cost(played, share * sum(bool(_episodes([one])) for one in image))
    # What keeping asked of the tool is in no trajectory.
    cost["tool_calls"] += num_requests(models) - before
    return records, cost


def _cost(played: Sequence[Trajectory], seconds: float) -> dict[str, Any]:
    used = total_usage([one.usage for one in played]) or Usage()
    told = {name: getattr(used, name) for name in ("cached_tokens", "money", "not_greedy", "not_structured")}
    return {
        "objects": len(played),
        "seconds": round(seconds, 4),
        "policy_calls": sum(one.num_policy_calls for one in played),
        "tool_calls": sum(one.num_tool_calls for one in played),
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        **{name: value for name, value in told.items() if value},
    }
