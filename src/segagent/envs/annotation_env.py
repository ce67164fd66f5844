"""The environment that all faces share: questions of a data set, one episode at a time, actions or replies in."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

from segagent.core import (
    Action,
    Finish,
    InputError,
    Observation,
    Pixels,
    ReplyTokens,
    SegmentationTool,
    State,
    Step,
    Trajectory,
    encode_rle,
)
from segagent.core.trajectory import Start
from segagent.datasets import Dataset, Sample, open_dataset
from segagent.environment import Episode, StartSpec, Target, observe, reset, step, why_invalid
from segagent.environment.replay import replay, start_of
from segagent.environment.rewards import DEFAULT, Outcome, Reward, reward_named
from segagent.environment.seeds import episode_seed
from segagent.policies.chat import ChatFormat, load_format
from segagent.search.versions import versions_with
from segagent.tools import make_tool


@dataclass(frozen=True, eq=False)
class Question:
    """A sentence about an image, and its place in the data set; the target stays in the data set."""

    index: int
    sample_id: str
    image: str
    text: str


@dataclass(frozen=True, eq=False)
class Turn:
    """What there is after a reset or an action.

    ``picture``: the image with the mask drawn in, uint8 (height, width, 3), as ``prompt`` speaks of it. ``reward`` of
    the last action; ``terminated`` by Finish, ``truncated`` by the number of steps; ``invalid``: why the action could
    not be carried out, None where it was. Nothing here tells the IoU.
    """

    observation: Observation
    prompt: str
    picture: Pixels
    num_steps: int
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    invalid: str | None = None


class AnnotationEnv:
    """Text to mask as episodes: see the picture, the words and the mask in green, answer with one action.

    The target is in here and never leaves but as a reward, and by :attr:`iou` for whoever measures.

    Args:
        data: of questions, or its specification; :func:`segagent.datasets.open_dataset`.
        tool: that turns clicks into masks, or its specification.
        reward: of a turn, or the names of :func:`segagent.environment.rewards.reward_named`.
        max_steps: actions of an episode, invalid ones included.
        fmt: how replies are written and questions asked; the name of a chat format, or one.

    Raises ``InputError`` for what cannot be opened or made.
    """

    def __init__(
        self,
        data: str | Dataset,
        tool: str | SegmentationTool = "embedded",
        *,
        reward: str | Reward = DEFAULT,
        max_steps: int = 7,
        fmt: str | ChatFormat = "segagent",
    ) -> None:
        self.dataset = open_dataset(data) if isinstance(data, str) else data
        self.tool = make_tool(tool) if isinstance(tool, str) else tool
        self.reward = reward_named(reward) if isinstance(reward, str) else reward
        self.max_steps = max_steps
        self.format = load_format(fmt) if isinstance(fmt, str) else fmt
        self._samples: list[Sample] = list(self.dataset)
        if not self._samples:
            raise InputError(f"{self.dataset.spec}: holds no question")
        self._episode: Episode | None = None
        self._embedded: tuple[str, object] = "", None

    @property
    def questions(self) -> Sequence[Question]:
        """All questions, in the data set's order."""
        return [Question(index, one.sample_id, one.image_name, one.text) for index, one in enumerate(self._samples)]

    def copy(self) -> AnnotationEnv:
        """Another environment over the same data set and tool, for an episode beside this one's."""
        made = copy.copy(self)
        made._episode = None
        return made

    def branch(self) -> AnnotationEnv:
        """Another environment in the same state of the same episode: several actions can be tried in it."""
        made = copy.copy(self)
        made._states, made._steps = list(self._states), list(self._steps)
        return made

    @property
    def num_questions(self) -> int:
        """How many questions there are."""
        return len(self._samples)

    def reset(self, index: int, start: StartSpec | None = None) -> Turn:
        """Begin the episode about question ``index``, with an empty mask or as ``start`` says."""
        sample = self._samples[index]
        image = sample.load_image()
        self._target = Target(*sample.load_target(image))
        seed = episode_seed(0, sample.sample_id)
        self._episode = Episode(image, sample.text, sample.sample_id, sample.image_name, start or StartSpec(), seed)
        if self._embedded[0] != image.key:
            self._embedded = image.key, self.tool.embed([image])[0]
        (self._state,) = reset([self._episode], [self._embedded[1]], self.tool)
        self._states = [self._state]
        self._steps: list[Step] = []
        return self._turn()

    def resume(self, trajectory: Trajectory, index: int | None = None) -> Turn:
        """Go on with an episode on record: from its state ``index``, the last one where none is given.

        Steps of other branches than that state's are left out. What comes is what would have come in the episode, byte
        for byte: prompts in force and the tool's memory are made anew. Raises ``InputError`` for a record of a sample
        that is not here or whose masks this tool does not make, ``ValueError`` for a state after which nothing comes.
        """
        number = next((n for n, one in enumerate(self._samples) if one.sample_id == trajectory.sample_id), None)
        if number is None:
            raise InputError(f"{self.dataset.spec}: has no sample {trajectory.sample_id!r:.100}")
        at = len(trajectory.steps) if index is None else index
        self.reset(number, start_of(trajectory))
        path = trajectory.path_to(at)
        self._states = replay(trajectory, at, self.episode.image, self._embedded[1], self.tool)
        self._steps = [replace(trajectory.steps[n - 1], parent=place) for place, n in enumerate(path)]
        self._state = self._states[-1]
        if self._state.finished or self._state.num_steps >= self.max_steps:
            raise ValueError(f"state {at} of episode {trajectory.sample_id!r:.100} is its end")
        return self._turn()

    def act(self, action: Action | str, tokens: ReplyTokens | None = None) -> Turn:
        """Carry out an action, or a reply in the environment's chat format. Raises ``ValueError`` after the end.

        ``tokens``: the reply as it was written, for the record.
        """
        image, before = self.episode.image, self._state
        text, predicted = "", None
        if isinstance(action, str):
            text = action
            action, predicted = self.format.parse(action, image.height, image.width)
        invalid = why_invalid(before, action, self.tool)
        self._state = step(self._embedded[1], before, action, self.tool, max_steps=self.max_steps)
        self._states.append(self._state)
        gained = Outcome(
            action,
            self._target.reward(before),
            self._target.reward(self._state),
            invalid,
            predicted,
            self._state.finished,
        )
        self._steps.append(
            Step(
                action,
                text,
                encode_rle(self._state.mask),
                len(self._steps),
                log_prob=None if tokens is None else sum(tokens.log_probs),
                reward=gained.after,
                invalid=invalid,
                tokens=tokens,
            )
        )
        # Finish as the last action that there was room for is an end of its own, too.
        finished = isinstance(action, Finish)
        return self._turn(self.reward(gained), finished, self._state.finished and not finished, invalid)

    @property
    def episode(self) -> Episode:
        """The one that is played. Raises ``ValueError`` before the first reset."""
        if self._episode is None:
            raise ValueError("no episode yet; reset the environment first")
        return self._episode

    @property
    def state(self) -> State:
        """The state that the episode is in."""
        return self._state

    @property
    def observation(self) -> Observation:
        """What a policy may see of it."""
        return observe(self.episode, self._state)

    @property
    def iou(self) -> float:
        """The true IoU of the mask as it is, in [0, 1]: for whoever measures, never for a policy."""
        return self._target.reward(self._state)

    def trajectory(self, policy: str = "outside") -> Trajectory:
        """The episode's record so far; ``policy``: who acted."""
        episode, first = self.episode, self._states[0]
        start = Start(
            episode.start.kind, encode_rle(first.mask), reward=self._target.reward(first), prompts=first.prompts
        )
        return Trajectory(
            sample_id=episode.sample_id,
            image=episode.image_name,
            height=episode.image.height,
            width=episode.image.width,
            text=episode.text,
            policy=policy,
            tool=self.tool.name,
            seed=episode.seed,
            start=start,
            steps=tuple(self._steps),
            returned=len(self._steps),
            stopped=self._stopped,
            num_tool_calls=len(self._steps),
            versions=versions_with(None, self.tool, self.dataset),
        )

    @property
    def _stopped(self) -> str:
        if not self._state.finished:
            return "running"
        return "finish" if isinstance(self._steps[-1].action, Finish) else "max_steps"

    def _turn(
        self, reward: float = 0.0, terminated: bool = False, truncated: bool = False, invalid: str | None = None
    ) -> Turn:
        seen = self.observation
        return Turn(
            seen,
            self.format.prompt(seen),
            self.format.pictures(seen)[-1].pixels,
            self._state.num_steps,
            reward,
            terminated,
            truncated,
            invalid,
        )
