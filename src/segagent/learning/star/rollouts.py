"""The policy's own episodes on training samples, with their true rewards, into a journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.core import Image, Observation, Policy, Proposal, Trajectory
from segagent.core.versions import package_versions
from segagent.datasets import Dataset, Sample
from segagent.distributed import Asking
from segagent.learning.star.config import StarConfig
from segagent.learning.trajectories.starts import asked_from
from segagent.policies.wrapping import WrappedPolicy
from segagent.runs.models import Models
from segagent.runs.playing import Asked, Playing
from segagent.runs.progress import Progress, Watch
from segagent.runs.run import Plan, carry_out
from segagent.runs.session import Session, Shard
from segagent.runs.summary import SUMMARY_ENDING
from segagent.search import SearchConfig, rollout, with_rewards

_PICTURES_TOGETHER = 8

OPTIONS = {
    name: f"--{name.replace('_', '-')}"
    for name in ("policy", "tool", "max_steps", "temperature", "starts", "seed", "shard")
}
"""How the settings are given to the command."""


class Sampling(WrappedPolicy[Policy]):
    """A policy whose first proposal is sampled too: with temperature 0 it is ``policy`` itself."""

    def __init__(self, policy: Policy, temperature: float) -> None:
        super().__init__(policy)
        self._temperature = temperature

    def asked_for(self, num_proposals: int, temperature: float) -> tuple[int, float]:
        """One proposal more: the greedy one, which is left out."""
        if not self._temperature:
            return num_proposals, temperature
        return num_proposals + 1, max(temperature, self._temperature)

    def changed(
        self, observations: Sequence[Observation], replies: list[list[Proposal]], num_proposals: int
    ) -> list[list[Proposal]]:
        """The last ones."""
        return [proposals[-num_proposals:] for proposals in replies]


def roll_out(
    ask: Asking[Models],
    dataset: Dataset,
    out: Path,
    config: StarConfig,
    settings: dict[str, Any],
    session: Session = Session(),  # noqa: B008 - frozen
    watch: Watch | None = None,
    *,
    shard: Shard = Shard(),
    batch_images: int | None = None,
) -> Progress:
    """Write one episode per sample of ``dataset`` and start to the journal ``out``, or go on where it stopped.

    Episodes have ``config.max_steps`` steps without any stop: rewards need no PRM. Units are images; a sample that
    cannot be used is recorded as failed. What came of it is told beside it (``.summary.json``). ``ask`` runs what needs
    the models; ``settings`` decide the records besides ``config``, and ``shard`` which images there are. Raises as
    :func:`segagent.runs.run.carry_out` does.
    """
    plan = Plan(
        dataset,
        Playing(_Rollouts(config)),
        out,
        {"what": "rollouts", **settings},
        {"dataset": dataset.spec, "versions": package_versions(dataset), "num_images": dataset.num_images},
        OPTIONS,
        shard=shard,
        batch_images=batch_images or _PICTURES_TOGETHER,
        summary=out.with_suffix(SUMMARY_ENDING),
    )
    return carry_out(plan, ask, session, watch)


@dataclass(frozen=True, slots=True)
class _Rollouts:
    """A :class:`segagent.runs.playing.Kind`: the policy's episode from each start, with its rewards."""

    config: StarConfig
    embeds = True

    def asked(self, sample: Sample, image: Image, models: Models) -> list[Asked]:
        return list(asked_from(self.config.starts or ("empty",), sample, image, models.tool, self.config.seed))

    def play(self, asked: Sequence[Asked], models: Models) -> list[list[Trajectory]]:
        assert models.policy is not None
        walker = Sampling(models.policy, self.config.temperature)
        search = SearchConfig(self.config.max_steps, use_prm=False)
        return [[made] for made in rollout([one.episode for one in asked], walker, models.tool, search)]

    def kept(
        self, sample: Sample, asked: Asked, made: Sequence[Trajectory], models: Models, seconds: float
    ) -> list[dict[str, Any]]:
        del sample, models, seconds
        assert asked.target is not None
        return [with_rewards(one, asked.target).to_dict() for one in made]
