"""A whole data set evaluated into a journal: ``trajectories.jsonl``, from which every metric can be made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from segagent.core import Image, InputError, Policy, SegmentationTool, Trajectory, encode_rle
from segagent.core.extensions import extension_versions
from segagent.datasets import Dataset, Sample, SampleGroup
from segagent.distributed import Asking
from segagent.environment import Episode, Target
from segagent.environment.seeds import episode_seed
from segagent.evaluation.protocols import EvaluationConfig, play
from segagent.evaluation.results import measure_run, open_runs, write_results
from segagent.evaluation.selection import Selection
from segagent.imaging.writing import made_folder
from segagent.policies import require_predicted_iou
from segagent.runs.fingerprint import known_answers
from segagent.runs.journal import last_unit
from segagent.runs.models import MakeModels, Models, unchanged
from segagent.runs.playing import Asked, ImageResult, ImageTask, Playing, Prepared, play_images
from segagent.runs.progress import Progress, Watch
from segagent.runs.run import Plan, carry_out
from segagent.runs.session import How, Session
from segagent.runs.stored import EMPTY_SCHEMA, SKIPPED_SCHEMA, TRAJECTORIES_FILE, retried_files
from segagent.runs.summary import SUMMARY_FILE

OPTIONS = {
    "protocol": "--protocol",
    "policy": "--policy",
    "tool": "--tool",
    "max_steps": "--steps",
    "num_candidates": "--candidates",
    "use_prm": "--no-prm",
    "stop_iou": "--all-steps",
    "patience": "--all-steps",
    "max_clicks": "--max-clicks",
    "enough": "--enough",
    "draws": "--draws",
    "seed": "--seed",
    "shard": "--shard",
}
"""How an evaluation's settings are given to the commands."""


def evaluate(
    dataset: Dataset,
    policy: Policy | None,
    tool: SegmentationTool,
    out: str | Path,
    config: EvaluationConfig = EvaluationConfig(),  # noqa: B008 - frozen
    *,
    select: Selection = "returned",
    watch: Watch | None = None,
    **how: Unpack[How],
) -> Progress:
    """:func:`evaluate_with` models that are at hand, so in this process. ``policy`` None: the simulated annotator."""
    models = Models(policy, tool)
    return evaluate_with(dataset, lambda: models, out, config, select=select, watch=watch, **how)


def evaluate_with(
    dataset: Dataset,
    make_models: MakeModels,
    out: str | Path,
    config: EvaluationConfig = EvaluationConfig(),  # noqa: B008 - frozen
    *,
    select: Selection = "returned",
    watch: Watch | None = None,
    **how: Unpack[How],
) -> Progress:
    """Play every sample of ``dataset`` (or of the shard) into ``out``/trajectories.jsonl, or go on where it stopped.

    The file is a :class:`segagent.runs.journal.Journal` with one unit per image, numbered by the image's place in the
    data set. Its records are trajectories with rewards, and beside each the ``target`` and ``ignore`` masks (COCO RLE)
    and the ``elapsed`` seconds per sample, loading included; a sample that cannot be used leaves a failure, one
    that the protocol has no use for a note that it was skipped. Then all of it is measured into ``out``/results.json;
    ``out``/summary.json tells what it cost and what failed.

    Args:
        dataset: what to evaluate on.
        make_models: see :data:`MakeModels`. Without a policy the simulated annotator clicks, which ``noc`` alone can
            use.
        out: the folder, made where it is missing.
        config: the protocol and its settings.
        select: which mask of a trajectory is measured.
        watch: called once at the beginning and after each batch of images.
        how: ``workers``, ``open_workers``, ``limit``, ``budget`` and ``retry_failed``: see
            :class:`segagent.runs.session.Session`.

    Raises:
        InputError: for a journal that cannot be resumed, and for a policy that does not suit the protocol.
        SegAgentError: where the policy's server fails for good. What was written stays.
    """
    session = Session(**how)
    with session.asking(make_models) as ask:
        progress = play_protocol(dataset, ask, out, config, session, watch)
    (run,) = open_runs([out])
    write_results(measure_run(run, select)[0], out)
    return progress


def play_protocol(
    dataset: Dataset,
    ask: Asking[Models],
    out: str | Path,
    config: EvaluationConfig,
    session: Session,
    watch: Watch | None = None,
    player: Callable[[Models], Models] = unchanged,
) -> Progress:
    """:func:`evaluate_with` workers that are there already: ``ask`` runs what needs the models, of which ``player``
    makes those that play. Nothing is measured.
    """
    file = Path(out) / TRAJECTORIES_FILE
    (about,) = ask(partial(_describe, config=config, player=player), [known_answers(file)])
    made_folder(out)
    _refuse_strays(file)
    names = about["names"]
    settings = {
        "what": "evaluation",
        "dataset": dataset.fingerprint,
        "protocol": config.protocol,
        **names,
        **config.to_dict(),
        "shard": str(config.shard),
    }
    versions = about["versions"] | extension_versions(dataset)
    notes = {"dataset": dataset.spec, "num_images": dataset.num_images, "versions": versions}
    plan = Plan(
        dataset,
        _Work(_Judged(config), player),
        file,
        settings,
        notes,
        OPTIONS,
        shard=config.shard,
        batch_images=config.batch_images,
        summary=file.with_name(SUMMARY_FILE),
    )
    return carry_out(plan, ask, session, watch)


def _describe(
    models: Models, known: str, *, config: EvaluationConfig, player: Callable[[Models], Models]
) -> dict[str, Any]:
    models = player(models)
    policy = models.policy
    if policy is None and config.protocol != "noc":
        raise InputError(f"the protocol {config.protocol!r} needs a policy; only 'noc' has the simulated annotator")
    if policy is not None and config.protocol == "filter":
        require_predicted_iou(policy, "the protocol 'filter'")
    if policy is not None and config.protocol != "filter" and config.search.num_candidates > 1:
        require_predicted_iou(policy, "a choice between candidates")
    return {"names": models.names(known), "versions": models.versions()}


def _refuse_strays(file: Path) -> None:
    """Retries of version 0.1.0 beside a journal that is only beginning are of another one."""
    strays = retried_files(file)
    if strays and (not file.exists() or last_unit(file) < 0):
        raise InputError(f"{strays[0]}: belongs to an earlier evaluation; remove it or choose another folder")


def image_records(
    models: Models, group: SampleGroup, config: EvaluationConfig, *, one_seed: bool = False
) -> list[dict[str, Any]]:
    """The records that an evaluation has of the samples of an image, kept nowhere.

    ``one_seed``: the seed of ``config`` is that of every episode, rather than one that each draws its own from.
    """
    (result,) = play_images(models, [ImageTask(0, group)], kind=_Judged(config, one_seed))
    return result.records


@dataclass(frozen=True)
class _Work(Playing[Models]):
    """The same, and an image without samples is noted, so that it is known to be done."""

    def __call__(
        self, models: Models, tasks: Sequence[ImageTask], prepared: Prepared | None = None
    ) -> list[ImageResult]:
        results = super().__call__(models, tasks, prepared)
        for task, result in zip(tasks, results, strict=True):
            if not result.records:
                result.records.append({"schema": EMPTY_SCHEMA, "image": task.group.image_name})
        return results


@dataclass(frozen=True, slots=True)
class _Judged:
    """A :class:`segagent.runs.playing.Kind`: the protocol's trajectories, and beside them what metrics need."""

    config: EvaluationConfig
    one_seed: bool = False

    @property
    def embeds(self) -> bool:
        return self.config.protocol != "outline"

    def asked(self, sample: Sample, image: Image, models: Models) -> list[Asked] | dict[str, Any]:
        del models
        mask, ignore = sample.load_target(image)
        if self.config.protocol not in ("res", "outline") and not mask.any():
            reason = "has no target; there is nothing to click"
            skipped = {"sample_id": sample.sample_id, "image": sample.image_name, "reason": reason}
            return {"schema": SKIPPED_SCHEMA, **skipped}
        seed = self.config.seed if self.one_seed else episode_seed(self.config.seed, sample.sample_id)
        episode = Episode(image, sample.text, sample.sample_id, sample.image_name, seed=seed)
        return [Asked(episode, Target(mask, ignore))]

    def play(self, asked: Sequence[Asked], models: Models) -> list[list[Trajectory]]:
        return play(asked, models.policy, models.tool, self.config)

    def kept(
        self, sample: Sample, asked: Asked, made: Sequence[Trajectory], models: Models, seconds: float
    ) -> list[dict[str, Any]]:
        del models
        assert asked.target is not None
        about = {name: getattr(sample, name) for name in ("category", "kind")}
        beside = {
            **{name: value for name, value in about.items() if value is not None},
            "target": encode_rle(asked.target.mask),
            "ignore": None if asked.target.ignore is None else encode_rle(asked.target.ignore),
            "elapsed": seconds / len(made),
        }
        return [{**one.to_dict(), **beside} for one in made]
