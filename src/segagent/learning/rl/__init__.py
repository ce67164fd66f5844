"""Reinforcement learning in the annotator's environment: GRPO for the embedded model."""

from segagent.learning.rl.config import GrpoConfig
from segagent.learning.rl.grpo import train_grpo

__all__ = ["GrpoConfig", "train_grpo"]
