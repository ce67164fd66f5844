"""A process reward model of its own for a trained embedded policy."""

from segagent.learning.prm.config import PrmConfig
from segagent.learning.prm.train import train_own_prm

__all__ = ["PrmConfig", "train_own_prm"]
