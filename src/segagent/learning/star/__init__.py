"""Self-improvement on own rollouts: StaR+ (paper section 4.2, Alg. 1) and plain StaR (Alg. 4)."""

from segagent.learning.star.apart import MadeRollouts, make_rollouts
from segagent.learning.star.config import StarConfig
from segagent.learning.star.run import run_star

__all__ = ["MadeRollouts", "StarConfig", "make_rollouts", "run_star"]
