"""The environment as a package of verifiers, which knows them by one name: in this folder,

``vf-eval segagent-clicks --env.taskset.data scenes:20:seed=1,split=train --env.taskset.tool embedded -m MODEL``.
"""

from segagent.envs.verifiers_env import AnnotationTaskset, VerifiersEnv

__all__ = ["AnnotationTaskset", "VerifiersEnv"]
