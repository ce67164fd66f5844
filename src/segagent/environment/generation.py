"""Annotator trajectories without annotators (paper section 4.1, Alg. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segagent.core import Click, SegmentationTool, Start, State, Step, Trajectory, encode_rle
from segagent.environment.annotator import next_click
from segagent.environment.mdp import Episode, Target, embed_images, reset, step_batch


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """The three quality controls of the paper.

    ``max_steps``: length limit T. ``tau_stop``: stop once the reward reaches it. ``tau_diff``: an action is
    discarded, and the trajectory ends, unless it raises the reward by at least this much and by more than nothing: the
    rule would only propose the same click again. None discards nothing.
    """

    max_steps: int = 11
    tau_stop: float = 0.95
    tau_diff: float | None = 0.0

    def discards(self, gain: float) -> bool:
        """Whether an action that raised the reward by ``gain`` is discarded."""
        return self.tau_diff is not None and (gain < self.tau_diff or gain <= 0)


def generate_trajectories(
    episodes: Sequence[Episode],
    targets: Sequence[Target],
    tool: SegmentationTool,
    config: GenerationConfig = GenerationConfig(),
) -> list[Trajectory]:
    """The simulated annotator's trajectory for each episode and its target, all in step with one another.

    Each distinct image is embedded once and the tool is asked once per step for all episodes. Rewards are recorded for
    every state, and as the predicted IoU too, since the annotator knows it.
    """
    embeddings = embed_images(tool, [episode.image for episode in episodes])
    states = reset(episodes, embeddings, tool)
    starts = [
        Start(e.start.kind, encode_rle(s.mask), t.reward(s), t.reward(s), s.prompts)
        for e, s, t in zip(episodes, states, targets, strict=True)
    ]
    steps: list[list[Step]] = [[] for _ in episodes]
    stopped = [""] * len(episodes)
    rewards = [start.reward or 0.0 for start in starts]
    active = list(range(len(episodes)))
    while active:
        moves: list[tuple[int, State, Click]] = []
        for index in active:
            state, target = states[index], targets[index]
            if rewards[index] >= config.tau_stop:
                stopped[index] = "tau_stop"
                continue
            if len(steps[index]) >= config.max_steps:
                stopped[index] = "max_steps"
                continue
            clicked = [prompt for prompt in state.prompts if isinstance(prompt, Click)]
            click = next_click(state.mask, target.mask, clicked, target.ignore)
            if click is None:
                stopped[index] = "no_error_left"
                continue
            moves.append((index, state, click))
        stepped = step_batch([(embeddings[i], state, click) for i, state, click in moves], tool)
        active = []
        for (index, _, click), state in zip(moves, stepped, strict=True):
            reward = targets[index].reward(state)
            if config.discards(reward - rewards[index]):
                stopped[index] = "tau_diff"
                continue
            steps[index].append(
                Step(click, "", encode_rle(state.mask), len(steps[index]), predicted_iou=reward, reward=reward)
            )
            states[index], rewards[index] = state, reward
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
        )
        for index, episode in enumerate(episodes)
    ]
