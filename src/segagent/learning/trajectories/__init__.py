"""Training data: the simulated annotator's trajectories over a whole data set, resumable and in parallel."""

from segagent.learning.trajectories.config import STARTS, StartName, TrajectoryConfig, episode_seed, parse_starts
from segagent.learning.trajectories.records import FAILURE_SCHEMA, Failure, read_trajectories
from segagent.learning.trajectories.run import Report, generate_dataset
from segagent.learning.trajectories.workers import MakeTool, available_cores

__all__ = [
    "FAILURE_SCHEMA",
    "STARTS",
    "Failure",
    "MakeTool",
    "Report",
    "StartName",
    "TrajectoryConfig",
    "available_cores",
    "episode_seed",
    "generate_dataset",
    "parse_starts",
    "read_trajectories",
]
