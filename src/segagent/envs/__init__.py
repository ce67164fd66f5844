"""The annotator's environment in the forms that other people's trainers, agents and evaluations speak.

:class:`AnnotationEnv` is the environment; the other modules are faces of it, each for one package, which is imported
only there.
"""

from segagent.environment.rewards import REWARDS, Outcome, Reward, reward_named
from segagent.envs.annotation_env import AnnotationEnv, Question, Turn

__all__ = ["REWARDS", "AnnotationEnv", "Outcome", "Question", "Reward", "Turn", "reward_named"]
