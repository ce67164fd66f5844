"""HLMAT: the Markov decision process, the simulated annotator and trajectory generation. Start reading here."""

from segagent.environment.annotator import next_click
from segagent.environment.generation import GenerationConfig, generate_trajectories
from segagent.environment.mdp import (
    Episode,
    StartSpec,
    Target,
    embed_images,
    observe,
    reset,
    step,
    step_batch,
    why_invalid,
)
from segagent.environment.replay import replay
from segagent.environment.simulated import SimulatedAnnotator, box_around, random_clicks_start

__all__ = [
    "Episode",
    "GenerationConfig",
    "SimulatedAnnotator",
    "StartSpec",
    "Target",
    "box_around",
    "embed_images",
    "generate_trajectories",
    "next_click",
    "observe",
    "random_clicks_start",
    "replay",
    "reset",
    "step",
    "step_batch",
    "why_invalid",
]
