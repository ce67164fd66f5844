"""Where work runs: in this process, or in several that each hold their own models."""

from segagent.distributed.devices import gpus
from segagent.distributed.lanes import Lanes
from segagent.distributed.ordered import Asking
from segagent.distributed.processes import available_cores, end_with_parent, worker_processes

__all__ = ["Asking", "Lanes", "available_cores", "end_with_parent", "gpus", "worker_processes"]
