"""Run by a launcher as one of two processes on a CPU: a training whose weights are spread over both (FSDP, gloo).

accelerate spreads weights over GPUs only and passes over the wish on a CPU. Told that CPUs will do, all that it, torch
and our trainer do is the same: START TRAJ OUT RECIPE.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from segagent.learning.sft import Extras, load_recipe, train_sft
from segagent.learning.sft.hf.trainer import InOrderTrainer

_made = AcceleratorState.__init__


def _on_cpus_too(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
    _made(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP


if __name__ == "__main__":
    start, traj, out, recipe = sys.argv[1:]
    torch.set_num_threads(1)
    AcceleratorState.__init__ = _on_cpus_too
    found: dict[str, Any] = {"read": 0}
    step = InOrderTrainer.training_step

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        weights = dict(self.model.named_parameters())
        spread = {name: p for name, p in weights.items() if isinstance(p, DTensor)}
        found["all"] = sum(p.numel() for p in weights.values())
        found["spread"] = sum(p.numel() for p in spread.values())
        found["here"] = sum(p.to_local().numel() for p in spread.values())
        return step(self, *args, **kwargs)

    read = transformers.AutoModelForImageTextToText.from_pretrained

    def counted(*args: Any, **options: Any) -> Any:
        found["read"] = found.get("read", 0) + 1
        return read(*args, **options)

    transformers.AutoModelForImageTextToText.from_pretrained = counted
    InOrderTrainer.training_step = watched
    model = train_sft(start, [traj], Path(out), load_recipe(recipe), extras=Extras(sharded=True))
    told = {"losses": model.losses, **found}
    os.write(1, (f"told {json.dumps(told)}\n").encode())
