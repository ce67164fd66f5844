"""Training data: the simulated annotator's trajectories over a whole data set, resumable and in parallel."""

from segagent.learning.trajectories.config import STARTS, StartName, TrajectoryConfig, episode_seed, parse_starts
from segagent.learning.trajectories.records import FAILURE_SCHEMA, Failure, read_trajectories
from segagent.learning.trajectories.run import MakeTool, generate_dataset

__all__ = [
    "FAILURE_SCHEMA",
    "STARTS",
    "Failure",
    "MakeTool",
    "StartName",
    "TrajectoryConfig",
    "episode_seed",
    "generate_dataset",
    "parse_starts",
    "read_trajectories",
]
