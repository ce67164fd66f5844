"""Trajectories of the simulated annotator for the interactive-segmentation protocol.

Unlike training trajectories (:func:`segagent.environment.generate_trajectories`) no click is discarded: clicks that
make the mask worse count, as in the benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence

from segagent.core import Click, SegmentationTool, Start, Step, Trajectory, encode_rle
from segagent.environment import Episode, Target, embed_images, next_click, reset, step_batch
from segagent.search.versions import package_versions


def click_trajectories(
    episodes: Sequence[Episode],
    targets: Sequence[Target],
    tool: SegmentationTool,
    *,
    max_clicks: int = 20,
    enough: float = 1.0,
) -> list[Trajectory]:
    """One trajectory with rewards per episode and its target, in step with one another.

    An episode ends after ``max_clicks``, once the IoU reaches ``enough``, or when no error is left. The annotator's
    knowledge is not noted as a predicted IoU: it predicts nothing. Raises ``ValueError`` for a target without a pixel.
    """
    if any(not target.mask.any() for target in targets):
        raise ValueError("a target without a single pixel cannot be clicked")
    embeddings = embed_images(tool, [episode.image for episode in episodes])
    states = reset(episodes, embeddings, tool)
    starts = [
        Start(episode.start.kind, encode_rle(state.mask), reward=target.reward(state), prompts=state.prompts)
        for episode, state, target in zip(episodes, states, targets, strict=True)
    ]
    steps: list[list[Step]] = [[] for _ in episodes]
    stopped = ["max_steps"] * len(episodes)
    active = list(range(len(episodes)))
    for _ in range(max_clicks):
        moves = []
        for index in active:
            clicked = [prompt for prompt in states[index].prompts if isinstance(prompt, Click)]
            click = next_click(states[index].mask, targets[index].mask, clicked, targets[index].ignore)
            if click is None:
                stopped[index] = "no_error_left"
            else:
                moves.append((index, click))
        if not moves:
            break
        stepped = step_batch([(embeddings[i], states[i], click) for i, click in moves], tool)
        active = []
        for (index, click), state in zip(moves, stepped, strict=True):
            reward = targets[index].reward(state)
            steps[index].append(Step(click, "", encode_rle(state.mask), len(steps[index]), reward=reward))
            states[index] = state
            if reward >= enough:
                stopped[index] = "enough"
            else:
                active.append(index)
    return [
        Trajectory(
            sample_id=episode.sample_id,
            image=episode.image_name,
            height=episode.image.height,
            width=episode.image.width,
            text=episode.text,
            policy="simulated",
            tool=tool.name,
            seed=episode.seed,
            start=starts[index],
            steps=tuple(steps[index]),
            returned=len(steps[index]),
            stopped=stopped[index],
            num_tool_calls=len(steps[index]),
            versions=package_versions(),
        )
        for index, episode in enumerate(episodes)
    ]
