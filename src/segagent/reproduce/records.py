"""Records of scenes, one per scene, made in parallel and kept in a journal: each is made once, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from segagent.core import SegmentationTool
from segagent.core.versions import package_versions
from segagent.datasets import ScenesDataset
from segagent.reproduce.work import Ask, Watch
from segagent.runs.journal import read_journal
from segagent.runs.playing import ImageResult, ImageTask
from segagent.runs.progress import Progress
from segagent.runs.run import Plan, carry_out
from segagent.runs.session import Session

_SCENES_AT_ONCE = 2

Record: TypeAlias = dict[str, Any]
Make: TypeAlias = Callable[[SegmentationTool, Sequence[int]], list[Record]]
"""One record for each of some scenes' numbers, in order; picklable."""


def make_records(
    name: str,
    path: Path,
    settings: Mapping[str, Any],
    dataset: str,
    make: Make,
    ask: Ask,
    watch: Watch,
    limit: int | None = None,
) -> list[Record]:
    """The records of the scenes of ``dataset``, the first ``limit``: those that the journal at ``path`` holds, and the
    others, made now.

    Raises ``InputError`` where the journal was begun with other ``settings``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scenes = ScenesDataset.from_spec(dataset)
    total = min(scenes.num_images, limit or scenes.num_images)
    plan = Plan(
        scenes,
        partial(_work, make=make),
        path,
        settings,
        {"versions": package_versions()},
        batch_images=_SCENES_AT_ONCE,
        died=None,
    )
    with ExitStack() as stack:
        bars: list[Callable[[float, str], None]] = []

        def told(progress: Progress) -> None:
            if not bars and progress.num_images < total:
                bars.append(stack.enter_context(watch(name, total, "scenes")))
            for update in bars:
                update(progress.num_images, "")

        carry_out(plan, ask, Session(limit=total), told)
    return list(read_journal(path)[1])


def _work(tool: SegmentationTool, tasks: Sequence[ImageTask], *, make: Make) -> list[ImageResult]:
    records = make(tool, [task.unit for task in tasks])
    return [ImageResult(task.unit, [record], {}) for task, record in zip(tasks, records, strict=True)]
