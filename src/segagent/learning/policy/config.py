"""Options of the embedded policy's training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PolicyTraining:
    """How the embedded policy and PRM are trained.

    ``minutes`` is the time of all stages together, on the main thread and summed over resumptions; each stage gets a
    fixed share (``*_share``), the rest goes into drawing scenes and rolling out. ``steps``, where given, limits every
    stage besides. ``scenes`` are drawn for the detector and object encoder, as many again for grounding (pictures those
    two have not seen), and ``state_scenes`` for states and episodes (pictures nothing else has seen, so that doubt is
    honest). ``rounds``: how often the policy is rolled out with what it has learnt so far. ``batch_scale`` multiplies
    all batch sizes.
    """

    minutes: float = 75.0
    steps: int | None = None
    seed: int = 0
    threads: int = 1
    tool: str = "embedded"
    scenes: int = 12000
    outlined_scenes: int = 6500
    grounding_scenes: int = 6500
    state_scenes: int = 2000
    held_out_scenes: int = 250
    rounds: int = 2
    episodes: int = 600
    episode_steps: int = 6
    detector_share: float = 0.37
    objects_share: float = 0.21
    grounding_share: float = 0.17
    states_share: float = 0.2
    reward_share: float = 0.02
    batch_scale: float = 1.0
