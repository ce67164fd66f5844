"""Where work runs: in this process, or in several that each hold their own models."""

from segagent.distributed.processes import Asking, available_cores, end_with_parent, worker_processes

__all__ = ["Asking", "available_cores", "end_with_parent", "worker_processes"]
