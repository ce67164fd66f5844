"""HLMAT as a pure Markov decision process (paper section 1).

``reset`` gives the first state, ``observe`` what a policy may see of it, ``step`` the next one. All three are functions
of their arguments: states are values, the tool keeps nothing, so branching, undo, replay and resuming need no save and
restore. The batched forms ask the tool once for many episodes.

The reward is the IoU with the target. It is computed by :class:`Target`, which policies never get.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from segagent.core import (
    Action,
    Attempt,
    BoolMask,
    Box,
    Click,
    Finish,
    Image,
    InvalidAction,
    Observation,
    SegmentationTool,
    SegmentRequest,
    State,
    ToolError,
    Undo,
    empty_mask,
    frozen_mask,
    iou,
)

StartKind = Literal["empty", "mask", "box", "random"]


@dataclass(frozen=True, eq=False)
class StartSpec:
    """Where an episode begins: empty, a given ``mask``, or the tool's mask for a ``box`` or for random ``clicks``."""

    kind: StartKind = "empty"
    mask: BoolMask | None = None
    box: Box | None = None
    clicks: tuple[Click, ...] = ()


@dataclass(frozen=True, eq=False)
class Episode:
    """What is asked: one sentence about one image. Holds no target.

    ``seed`` drives all sampling of the episode and nothing else does. ``image_name`` is only for the record.
    """

    image: Image
    text: str
    sample_id: str = ""
    image_name: str = ""
    start: StartSpec = StartSpec()
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Target:
    """The answer: bool (height, width) ``mask`` and pixels to ``ignore``. Only environment and annotator hold it."""

    mask: BoolMask
    ignore: BoolMask | None = None

    def reward(self, state: State) -> float:
        """IoU of the state's mask with the target, in [0, 1], ignored pixels left out."""
        return iou(state.mask, self.mask, self.ignore)


def embed_images(tool: SegmentationTool, images: Sequence[Image]) -> list[object]:
    """One embedding per image, in order; each distinct image is embedded once."""
    distinct = {image.key: image for image in images}
    embeddings = dict(zip(distinct, tool.embed(list(distinct.values())), strict=True))
    return [embeddings[image.key] for image in images]


def observe(episode: Episode, state: State, past: tuple[Attempt, ...] = ()) -> Observation:
    """What a policy may see of ``state``; ``past``: what led to it, see :class:`segagent.core.Observation`."""
    return Observation(episode.image, episode.text, state.mask, past)


def reset(episodes: Sequence[Episode], embeddings: Sequence[object], tool: SegmentationTool) -> list[State]:
    """The first state of each episode.

    The prompts of a box start or a random-click start stay in force: the tool sees them again with every later click.
    Raises ``ToolError`` for a box start where the tool takes none, ``ValueError`` for a start outside the image or of
    another size.
    """
    states: list[State] = []
    for episode in episodes:
        height, width = episode.image.height, episode.image.width
        start = episode.start
        if start.kind == "mask":
            if start.mask is None or start.mask.shape != (height, width):
                size = None if start.mask is None else start.mask.shape
                raise ValueError(f"a start mask must have the image's size {(height, width)}, got {size}")
            states.append(State(frozen_mask(start.mask)))
        else:
            states.append(State(empty_mask(height, width)))
    while True:
        pending = []
        for index, episode in enumerate(episodes):
            prompts = _start_prompts(episode.start)
            done = len(states[index].prompts)
            if done < len(prompts):
                prompt = prompts[done]
                if not prompt.inside(episode.image.height, episode.image.width):
                    raise ValueError(f"start prompt {prompt} is not inside the image of {episode.sample_id!r}")
                pending.append((index, prompt))
        if not pending:
            break
        stepped = step_batch(
            [(embeddings[index], states[index], prompt) for index, prompt in pending], tool, max_steps=None
        )
        for (index, _), state in zip(pending, stepped, strict=True):
            states[index] = replace(state, num_steps=0, previous=None)
    return states


def _start_prompts(start: StartSpec) -> tuple[Click | Box, ...]:
    if start.kind == "box":
        if start.box is None:
            raise ValueError("a box start needs a box")
        return (start.box,)
    if start.kind == "random":
        return start.clicks
    return ()


def step(
    embedding: object, state: State, action: Action, tool: SegmentationTool, *, max_steps: int | None = None
) -> State:
    """The state after ``action``; see :func:`step_batch`."""
    return step_batch([(embedding, state, action)], tool, max_steps=max_steps)[0]


def step_batch(
    moves: Sequence[tuple[object, State, Action]], tool: SegmentationTool, *, max_steps: int | None = None
) -> list[State]:
    """The states after each (embedding, state, action), the tool asked once for all clicks and boxes.

    Every action counts as a step. A click outside the image, a box that is not the first prompt or that the tool does
    not take, and an undo with nothing to undo change nothing, see :func:`why_invalid`. ``Finish`` ends the episode, and
    so does reaching ``max_steps``. Raises ``ValueError`` for a step from a finished state.
    """
    results: list[State | None] = []
    requests: list[SegmentRequest] = []
    asked: list[int] = []
    for index, (embedding, state, action) in enumerate(moves):
        if state.finished:
            raise ValueError("the episode is finished; no further step can be made")
        counted = replace(state, num_steps=state.num_steps + 1)
        if max_steps is not None and counted.num_steps >= max_steps:
            counted = replace(counted, finished=True)
        match why_invalid(state, action, tool), action:
            case None, Click() | Box():
                requests.append(SegmentRequest(embedding, state.mask, state.memory, (*state.prompts, action)))
                asked.append(index)
                results.append(replace(counted, previous=state))
            case None, Finish():
                results.append(replace(counted, finished=True))
            case None, Undo():
                before = state.previous
                assert before is not None
                results.append(
                    replace(
                        counted,
                        mask=before.mask,
                        prompts=before.prompts,
                        memory=before.memory,
                        previous=before.previous,
                    )
                )
            case _:
                results.append(counted)
    if requests:
        answers = tool.segment(requests)
        for index, request, answer in zip(asked, requests, answers, strict=True):
            stepped = results[index]
            assert stepped is not None
            if answer.mask.shape != request.mask.shape:
                raise ToolError(f"{tool.name} answered a mask of {answer.mask.shape} for {request.mask.shape}")
            results[index] = replace(
                stepped, mask=frozen_mask(answer.mask), memory=answer.memory, prompts=request.prompts
            )
    return [state for state in results if state is not None]


def why_invalid(state: State, action: Action, tool: SegmentationTool) -> str | None:
    """Why ``action`` cannot be carried out in ``state``, or None if it can."""
    height, width = state.mask.shape
    match action:
        case InvalidAction(_, reason):
            return reason
        case Click() if not action.inside(height, width):
            return f"click outside the {width} x {height} image"
        case Box() if not tool.accepts_box:
            return f"{tool.name} takes no box"
        case Box() if state.prompts:
            return "a box must be the first prompt"
        case Box() if not action.inside(height, width):
            return f"box empty or outside the {width} x {height} image"
        case Undo() if state.previous is None:
            return "nothing to undo"
        case _:
            return None
