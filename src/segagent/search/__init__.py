"""Drives a policy and a tool under a budget and returns trajectories."""

from segagent.search.config import SearchConfig
from segagent.search.guided import run_search
from segagent.search.rollout import rollout, with_rewards

__all__ = ["SearchConfig", "rollout", "run_search", "with_rewards"]
