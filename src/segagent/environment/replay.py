"""The states of an episode out of its record, with what the tool remembered: any of them can be gone on from."""

from __future__ import annotations

from dataclasses import replace

from segagent.core import Box, Click, Image, InputError, SegmentationTool, State, Trajectory, decode_rle, iou
from segagent.environment.mdp import Episode, StartSpec, reset, step


def start_of(trajectory: Trajectory) -> StartSpec:
    """Where the episode began."""
    start = trajectory.start
    if start.kind == "box":
        (box,) = (prompt for prompt in start.prompts if isinstance(prompt, Box))
        return StartSpec("box", box=box)
    if start.kind == "random":
        return StartSpec("random", clicks=tuple(prompt for prompt in start.prompts if isinstance(prompt, Click)))
    return StartSpec() if start.kind == "empty" else StartSpec("mask", mask=decode_rle(start.mask))


def replay(
    trajectory: Trajectory, index: int, image: Image, embedding: object, tool: SegmentationTool, *, exact: bool = True
) -> list[State]:
    """The states that lead to state ``index`` of the record, the start first, made anew by ``tool``.

    ``embedding``: what the tool makes of ``image``. Prompts, tool memory and what an undo goes back to are those of the
    episode, so whatever follows is what would have followed there. Raises ``InputError`` where the image has another
    size, and, if ``exact``, where a mask is not the one on record: then it is another tool, or it has changed.
    """
    told = f"{trajectory.sample_id!r:.100}"
    if (image.height, image.width) != (trajectory.height, trajectory.width):
        raise InputError(
            f"episode {told}: its image is {trajectory.width} x {trajectory.height} on record, "
            f"this one is {image.width} x {image.height}"
        )
    asked = Episode(
        image, trajectory.text, trajectory.sample_id, trajectory.image, start_of(trajectory), trajectory.seed
    )
    states = reset([asked], [embedding], tool)
    path = trajectory.path_to(index)
    for number in path:
        # An episode may have been gone on with after a Finish, by whoever looked at it then.
        states.append(step(embedding, replace(states[-1], finished=False), trajectory.steps[number - 1].action, tool))
    for number, state in zip([0, *path], states, strict=True):
        if exact and not (state.mask == (recorded := trajectory.mask_at(number))).all():
            raise InputError(
                f"episode {told}: tool {tool.name!r} makes another mask of state {number} than is on record, IoU "
                f"{iou(state.mask, recorded):.3f}; it was made with {trajectory.tool!r}, use that, in the same version"
            )
    return states
