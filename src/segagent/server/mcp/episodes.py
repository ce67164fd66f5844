"""Episodes that a policy and a client share: either may click, and each goes on from where the other left off."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import RLock

from segagent.annotation import checked_text
from segagent.annotation.batch import Models, ObjectRecord
from segagent.annotation.python_api import annotate, refine
from segagent.core import (
    BoolMask,
    Click,
    Image,
    InputError,
    Observation,
    State,
    Step,
    Trajectory,
    Undo,
    empty_mask,
    encode_rle,
    predicts_iou,
)
from segagent.core.recent import Recent
from segagent.core.trajectory import Start
from segagent.environment import replay, step, why_invalid
from segagent.policies import with_first_box
from segagent.policies.doubts import speaks_against
from segagent.search import SearchConfig
from segagent.search.versions import versions_with
from segagent.server.mcp.records import EpisodeRecords

OUTSIDE = "outside"
"""Who acted, in records, where the client has."""

MOST_EPISODES = 64
MOST_PIXELS = 200_000_000
"""Of open episodes and their pictures; the one that was used longest ago is closed."""


@dataclass(frozen=True, eq=False)
class OpenEpisode:
    """One picture and one sentence, and all that was done so far.

    ``trajectory.returned`` is the state that it is in. ``outcome``: of the last thing done. ``state``: what a click
    goes on from; None until there is one.
    """

    image: Image
    trajectory: Trajectory
    doubts: tuple[str, ...]
    outcome: str
    state: State | None = None

    @property
    def key(self) -> str:
        """By which clients name it; not to be guessed."""
        return self.trajectory.sample_id

    @property
    def mask(self) -> BoolMask:
        """As it is now, bool (height, width)."""
        return self.trajectory.mask_at(self.trajectory.returned)

    @property
    def predicted_iou(self) -> float | None:
        """Of the mask as it is now, in [0, 1]; None where the policy predicts none."""
        return self.trajectory.predicted_iou_at(self.trajectory.returned)


class Episodes:
    """The open episodes of a server, and the models that work on them, one request at a time.

    Args:
        models: the policy, the tool, and what predicted IoUs are worth.
        search: how the policy clicks.
        records: where episodes are kept, None for nowhere.
        seed: drives all sampling.
    """

    def __init__(
        self,
        models: Models,
        search: SearchConfig = SearchConfig(),
        records: EpisodeRecords | None = None,
        seed: int = 0,
    ) -> None:
        self.models = models
        self.search = search
        self.records = records
        self.seed = seed
        self.turn = RLock()
        """Held by whoever asks the models."""
        self._judge = with_first_box(models.policy, "none")
        self._open: OrderedDict[str, OpenEpisode] = OrderedDict()
        self._embeddings: Recent[str, object] = Recent(4)

    def annotate(self, image: Image, name: str, text: str) -> OpenEpisode:
        """The policy's episode, as :func:`segagent.annotate` plays it; ``name``: the picture's. Raises as that does."""
        with self.turn:
            made = annotate(image, text, models=self.models, search=self.search, seed=self.seed)
            return self._begun(image, name, made)

    def refine(self, image: Image, name: str, text: str, mask: BoolMask) -> OpenEpisode:
        """An episode from ``mask``, bool (height, width), as :func:`segagent.refine` plays it. Raises as that does."""
        with self.turn:
            made = refine(image, text, mask, models=self.models, search=self.search, seed=self.seed)
            return self._begun(image, name, made)

    def begin(self, image: Image, name: str, text: str, click: Click) -> OpenEpisode:
        """An episode of the client's own, from an empty mask and a first click. Raises ``InputError``."""
        text = checked_text(text)
        with self.turn:
            trajectory = Trajectory(
                sample_id=_new_name(),
                image=name,
                height=image.height,
                width=image.width,
                text=text,
                policy=OUTSIDE,
                tool=self.models.tool.name,
                seed=self.seed,
                start=Start("empty", encode_rle(empty_mask(image.height, image.width))),
                steps=(),
                returned=0,
                stopped="running",
                versions=versions_with(None, self.models.tool),
            )
            against = speaks_against(self.models.policy, image, text)
            return self._put(self._acted(OpenEpisode(image, trajectory, against, "begun"), click))

    def get(self, key: str) -> OpenEpisode:
        """The open episode of that name. Raises ``InputError`` where there is none."""
        with self.turn:
            if key not in self._open:
                raise InputError(
                    f"no open episode {key!r:.80}; begin one with annotate, or a click that brings a picture"
                )
            self._open.move_to_end(key)
            return self._open[key]

    def act(self, key: str, action: Click | Undo) -> OpenEpisode:
        """Carry out the client's own action. Raises ``InputError`` for one that is not possible; nothing is changed."""
        with self.turn:
            return self._put(self._acted(self.get(key), action))

    def close(self) -> None:
        """Put every open episode on record, and end that. Raises ``InputError`` if it cannot be written."""
        with self.turn:
            while self._open:
                self._close(next(iter(self._open)))
            if self.records is not None:
                self.records.end()

    def _begun(self, image: Image, name: str, made: ObjectRecord) -> OpenEpisode:
        named = replace(made.trajectory, sample_id=_new_name(), image=name)
        return self._put(OpenEpisode(image, named, made.doubts, made.outcome))

    def _acted(self, before: OpenEpisode, action: Click | Undo) -> OpenEpisode:
        tool, done = self.models.tool, before.trajectory
        embedding = self._embeddings.made(before.image.key, lambda: tool.embed([before.image])[0])
        state = before.state or self._replayed(before, embedding)
        reason = why_invalid(state, action, tool)
        if reason is not None:
            raise InputError(f"not possible: {reason}")
        after = step(embedding, state, action, tool)
        predicted = self._predicted(before.image, done.text, after.mask)
        made = Step(action, "", encode_rle(after.mask), done.returned, predicted_iou=predicted)
        trajectory = replace(
            done,
            policy=done.policy if OUTSIDE in done.policy else f"{done.policy}+{OUTSIDE}",
            steps=(*done.steps, made),
            returned=len(done.steps) + 1,
            stopped="running",
            num_policy_calls=done.num_policy_calls + predicts_iou(self._judge),
            num_tool_calls=done.num_tool_calls + isinstance(action, Click),
        )
        outcome = "clicked" if isinstance(action, Click) else "undone"
        return replace(before, trajectory=trajectory, state=after, outcome=outcome)

    def _put(self, episode: OpenEpisode) -> OpenEpisode:
        if self.records is not None:
            self.records.keep(episode.trajectory)
        self._open[episode.key] = episode
        self._open.move_to_end(episode.key)
        while len(self._open) > 1 and (len(self._open) > MOST_EPISODES or self._pixels() > MOST_PIXELS):
            self._close(next(iter(self._open)))
        return episode

    def _close(self, key: str) -> None:
        if self.records is not None:
            self.records.close(self._open[key].trajectory)
        del self._open[key]

    def _pixels(self) -> int:
        return sum(one.image.height * one.image.width for one in self._open.values())

    def _predicted(self, image: Image, text: str, mask: BoolMask) -> float | None:
        """What the policy thinks of a mask that it has not made."""
        if not predicts_iou(self._judge):
            return None
        return self._judge.propose([Observation(image, text, mask)])[0][0].predicted_iou

    def _replayed(self, episode: OpenEpisode, embedding: object) -> State:
        """The state that the trajectory has come to, with the tool's memory and what an undo goes back to."""
        tool, trajectory = self.models.tool, episode.trajectory
        *_, state = replay(trajectory, trajectory.returned, episode.image, embedding, tool, exact=False)
        # The mask on record is the one that the client has seen.
        return replace(state, mask=episode.mask, finished=False)


def _new_name() -> str:
    return secrets.token_hex(8)
