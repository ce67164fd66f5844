"""Episodes of one player on one data set, made once, kept in a journal and read by every table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segagent.core import Click, Outliner, Policy, SegmentationTool, Trajectory, intersection_and_union
from segagent.environment import Episode, SimulatedAnnotator, StartSpec, observe, reset
from segagent.learning.trajectories.config import episode_seed
from segagent.reproduce.players import Boxing, Player, TrulyJudged, load_player
from segagent.reproduce.records import make_records
from segagent.reproduce.samples import MiniSample, sample_of
from segagent.reproduce.work import Ask, Watch
from segagent.search import SearchConfig, run_search, with_rewards


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One journal: ``player`` on every scene of ``dataset`` (``scenes:...``, the first ``limit`` where given).

    ``seed`` drives the sampled actions. ``name`` is that of the journal.
    """

    name: str
    player: Player
    search: SearchConfig
    dataset: str
    tool: str
    seed: int
    limit: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What decides the episodes, the model's weights among it."""
        settings = asdict(self) | {"player": self.player.to_dict(), "search": asdict(self.search)}
        return {"what": "miniature episodes", **settings, "weights": weights_digest(self.player.spec)}


@dataclass(frozen=True, slots=True)
class Played:
    """An episode with rewards, and pixels of (intersection, union) with the target for each state, the start first."""

    trajectory: Trajectory
    overlaps: tuple[tuple[int, int], ...]
    first_hit: bool

    @property
    def calls(self) -> list[int]:
        """Model calls made until each state was scored, the start first."""
        calls = [1]
        for index, step in enumerate(self.trajectory.steps):
            taken_now = step.parent == index
            calls.append(calls[-1] + len(step.candidates) + taken_now)
        return calls


def weights_digest(spec: str) -> str:
    """A short name of the weights in a model folder ("embedded:DIR"); "" for other specifications."""
    kind, _, place = spec.partition(":")
    if kind != "embedded" or not Path(place).is_dir():
        return ""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(place).glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def play(plan: RunPlan, path: Path, ask: Ask, watch: Watch) -> list[Played]:
    """The episodes of ``plan``: those that the journal at ``path`` holds, and the others, made now.

    Scenes without a sentence are left out. Raises ``InputError`` where the journal was begun with other settings.
    """
    make = partial(_play_scenes, plan=plan)
    records = make_records(plan.name, path, plan.to_dict(), plan.dataset, make, ask, watch, plan.limit)
    return [_from_record(record) for record in records if "schema" in record]


def _from_record(record: dict[str, Any]) -> Played:
    return Played(
        Trajectory.from_dict(record),
        tuple((int(a), int(b)) for a, b in record["overlaps"]),
        bool(record["first_hit"]),
    )


def _play_scenes(tool: SegmentationTool, indices: Sequence[int], *, plan: RunPlan) -> list[dict[str, Any]]:
    """One record per scene, in order."""
    found = [(index, sample_of(plan.dataset, index)) for index in indices]
    samples = [(index, sample) for index, sample in found if sample is not None]
    records: dict[int, dict[str, Any]] = {}
    if samples:
        targets = {SimulatedAnnotator.key(s.image, s.text): s.target for _, s in samples}
        simulated = plan.player.spec == "simulated"
        policy: Policy = SimulatedAnnotator(targets) if simulated else load_player(plan.player)
        if plan.player.judge == "truth":
            policy = TrulyJudged(policy, targets)
        embeddings = tool.embed([sample.image for _, sample in samples])
        episodes = [_episode(sample, plan, policy, tool, e) for (_, sample), e in zip(samples, embeddings, strict=True)]
        made = run_search(episodes, policy, tool, plan.search, embeddings)
        for (index, sample), trajectory in zip(samples, made, strict=True):
            records[index] = _record(with_rewards(trajectory, sample.target), sample)
    return [records.get(index, {"nothing to say": True}) for index in indices]


def _episode(sample: MiniSample, plan: RunPlan, policy: Policy, tool: SegmentationTool, embedding: object) -> Episode:
    seed = episode_seed(plan.seed, sample.sample_id)
    episode = Episode(sample.image, sample.text, sample.sample_id, sample.image_name, seed=seed)
    if plan.player.box == "outline":
        assert isinstance(policy, Outliner)
        return replace(episode, start=StartSpec("mask", mask=policy.outline(episode.image, episode.text)))
    if plan.player.box != "filled":
        return episode
    assert isinstance(policy, Boxing)
    (state,) = reset([episode], [embedding], tool)
    box = policy.best_box(observe(episode, state))
    mask = np.zeros(state.mask.shape, np.bool_)
    mask[box.y0 : box.y1, box.x0 : box.x1] = True
    return replace(episode, start=StartSpec("mask", mask=mask))


def _record(trajectory: Trajectory, sample: MiniSample) -> dict[str, Any]:
    states = range(len(trajectory.steps) + 1)
    overlaps = [intersection_and_union(trajectory.mask_at(index), sample.target.mask) for index in states]
    first = trajectory.steps[0].action if trajectory.steps else None
    hit = isinstance(first, Click) and first.positive and first.inside(*sample.target.mask.shape)
    return {
        **trajectory.to_dict(),
        "overlaps": overlaps,
        "first_hit": bool(hit and isinstance(first, Click) and sample.target.mask[first.y, first.x]),
    }


def all_states(played: Sequence[Played]) -> Iterator[tuple[float, float, str]]:
    """(predicted IoU, true IoU, image) of every state after the start that has both."""
    for one in played:
        for index in range(1, len(one.trajectory.steps) + 1):
            predicted, true = one.trajectory.predicted_iou_at(index), one.trajectory.reward_at(index)
            if predicted is not None and true is not None:
                yield predicted, true, one.trajectory.image
