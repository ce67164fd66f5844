"""The simulated annotator's trajectories of a whole data set, in one journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import numpy as np

from segagent.core import Image, SegmentationTool, Trajectory
from segagent.core.extensions import extension_versions
from segagent.datasets import Dataset, Sample
from segagent.environment import generate_trajectories
from segagent.environment.seeds import episode_seed
from segagent.learning.auxiliary import auxiliary_examples
from segagent.learning.examples import examples_record
from segagent.learning.trajectories.config import TrajectoryConfig
from segagent.learning.trajectories.starts import asked_from
from segagent.runs.models import Models, with_tool_alone
from segagent.runs.playing import Asked, Playing
from segagent.runs.progress import Progress, Watch
from segagent.runs.run import Plan, carry_out
from segagent.runs.session import How, Session
from segagent.runs.summary import SUMMARY_ENDING

MakeTool: TypeAlias = Callable[[], SegmentationTool]
"""Makes the tool; it is sent to other processes, so it must be picklable (``partial(make_tool, "embedded")``)."""

OPTIONS = {
    name: f"--{name.replace('_', '-')}"
    for name in ("tool", "max_steps", "tau_stop", "tau_diff", "starts", "seed", "shard", "auxiliary")
}
"""How the settings are given to the command."""


def generate_dataset(
    dataset: Dataset,
    make_tool: MakeTool,
    out: str | Path,
    config: TrajectoryConfig = TrajectoryConfig(),  # noqa: B008 - frozen
    *,
    watch: Watch | None = None,
    **how: Unpack[How],
) -> Progress:
    """Write the simulated annotator's trajectories for ``dataset`` to ``out``, or go on where an earlier run stopped.

    The file is a :class:`segagent.runs.journal.Journal` with one unit per image; its records are, for each sample in
    the order of ``dataset.groups()``, one trajectory per start or one failure. It does not depend on workers, on
    ``config.batch_images`` or on where earlier runs were stopped. What it cost is kept beside it (``out`` with the
    ending ``.costs.jsonl``), and what came of it (``.summary.json``).

    Args:
        dataset: what to annotate.
        make_tool: see :data:`MakeTool`.
        out: the file. One that was made from other annotations, with other settings or by another tool is refused.
        config: which trajectories to make.
        watch: called at the beginning and after each batch of images, with what the file holds.
        how: ``workers``, ``open_workers``, ``limit``, ``budget`` and ``retry_failed``: see
            :class:`segagent.runs.session.Session`.

    Raises:
        InputError: see :class:`segagent.runs.journal.Journal`.
        SegAgentError: if the tool cannot be made or workers keep dying. What was written stays.
    """
    session, file = Session(**how), Path(out)
    with session.asking(with_tool_alone(make_tool)) as ask:
        (about,) = ask(_describe, [None])
        versions = about["versions"] | extension_versions(dataset)
        plan = Plan(
            dataset,
            Playing(_Annotated(config)),
            file,
            {"what": "trajectories", "dataset": dataset.fingerprint, **about["tool"], **config.to_dict()},
            {"dataset": dataset.spec, "versions": versions, "num_images": dataset.num_images},
            OPTIONS,
            shard=config.shard,
            batch_images=config.batch_images,
            costs=file.with_suffix(".costs.jsonl"),
            summary=file.with_suffix(SUMMARY_ENDING),
        )
        return carry_out(plan, ask, session, watch)


def _describe(models: Models, _: None) -> dict[str, Any]:
    names = models.names()
    return {"tool": {name: names[name] for name in ("tool", "tool_answers")}, "versions": models.versions()}


@dataclass(frozen=True, slots=True)
class _Annotated:
    """A :class:`segagent.runs.playing.Kind`: the simulated annotator's trajectories from each start.

    He never reads the sentence, so sentences about one and the same mask share his trajectories: they are made once and
    recorded for each.
    """

    config: TrajectoryConfig
    embeds = True

    def asked(self, sample: Sample, image: Image, models: Models) -> list[Asked]:
        found = []
        for one in asked_from(self.config.starts, sample, image, models.tool, self.config.seed):
            assert one.target is not None
            masks = [mask for mask in (one.target.mask, one.target.ignore) if mask is not None]
            key = (*(np.packbits(mask).tobytes() for mask in masks), one.episode.start.kind)
            found.append(replace(one, key=key))
        return found

    def play(self, asked: Sequence[Asked], models: Models) -> list[list[Trajectory]]:
        targets = [one.target for one in asked if one.target is not None]
        episodes = [one.episode for one in asked]
        return [[made] for made in generate_trajectories(episodes, targets, models.tool, self.config.generation)]

    def kept(
        self, sample: Sample, asked: Asked, made: Sequence[Trajectory], models: Models, seconds: float
    ) -> list[dict[str, Any]]:
        del models, seconds
        records = [replace(one, sample_id=sample.sample_id, text=sample.text).to_dict() for one in made]
        if self.config.auxiliary and asked.target is not None and asked.episode.start.kind == "empty":
            own = episode_seed(self.config.seed, sample.sample_id)
            rules = self.config.generation
            found = auxiliary_examples(sample, asked.target, self.config.auxiliary, rules.tau_stop, own)
            records += [examples_record(found)] if found else []
        return records
