"""The training loop: the library's own, told what to do and watched."""

from __future__ import annotations

import inspect
import math
import os
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.utils import gather_object
from torch.nn.functional import cross_entropy
from torch.utils.data import SequentialSampler

from segagent.core import InputError, MissingExtraError
from segagent.core.texts import read_json
from segagent.cpu import precision
from segagent.learning.sft.extras import Extras
from segagent.learning.sft.hf.encoding import NOT_TAUGHT
from segagent.learning.sft.hf.folder import TrainingFolder
from segagent.learning.sft.hf.validation import BEST, Validator, figures
from segagent.learning.sft.recipe import Recipe
from segagent.learning.sft.trained import TrainingWatch

_SHARDING = {"version": 2, "cpu_ram_efficient_loading": True, "state_dict_type": "FULL_STATE_DICT"}

_GATHER = "stage3_gather_16bit_weights_on_model_save"
"""What DeepSpeed calls it that spread weights come back whole, without which the end of a training fails."""
_LOGS = 200
_CHECKPOINTS = 20
"""At most so many lines of log and checkpoints in a training, unless it is short."""


def computed_in(recipe: Recipe, *, cpu: bool) -> str:
    """The number format of forward and backward pass: ``recipe.dtype``, but no bfloat16 on a CPU that is slow at it.

    What is written is ``recipe.dtype`` either way, and a training may go on on another kind of machine.
    """
    return precision() if cpu and recipe.dtype == "bfloat16" else recipe.dtype


def training_arguments(
    recipe: Recipe,
    steps: int,
    folder: TrainingFolder,
    *,
    cpu: bool,
    extras: Extras = Extras(),  # noqa: B008 - frozen
) -> Any:
    """The library's settings for ``recipe``; joins the processes that a launcher started.

    Raises ``InputError`` where this machine cannot do what the recipe says, ``MissingExtraError`` where a package for
    it is missing.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    together = recipe.micro_batch * processes
    if recipe.batch_size % together:
        raise InputError(
            f"recipe {recipe.name!r}: batch_size {recipe.batch_size} is no multiple of micro_batch "
            f"{recipe.micro_batch} x {processes} processes; change one of them"
        )
    if recipe.dtype == "float16" and cpu:
        raise InputError(f"recipe {recipe.name!r}: float16 needs a GPU; on a CPU use float32 or bfloat16")
    every = math.ceil(steps / _LOGS)
    saved = every * math.ceil(steps / every / _CHECKPOINTS)
    measured = extras.validation is not None
    report = _reports(extras.report, folder)
    if extras.sharded:
        os.environ["ACCELERATE_USE_FSDP"] = "true"  # Asked for when the checkpoint is read, before there is a trainer.
    spread = deepspeed_settings(extras.deepspeed) if extras.deepspeed else None
    if spread is not None and find_spec("deepspeed") is None:
        raise MissingExtraError("--deepspeed needs the package deepspeed: pip install deepspeed")
    try:
        arguments = transformers.TrainingArguments(
            output_dir=str(folder.checkpoints),
            per_device_train_batch_size=recipe.micro_batch,
            gradient_accumulation_steps=recipe.batch_size // together,
            max_steps=steps,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=math.ceil(recipe.warmup * steps),
            weight_decay=recipe.weight_decay,
            optim="adamw_torch",
            max_grad_norm=1.0,
            average_tokens_across_devices=True,
            seed=recipe.seed,
            bf16=computed_in(recipe, cpu=cpu) == "bfloat16",
            fp16=recipe.dtype == "float16",
            use_cpu=cpu,
            ddp_find_unused_parameters=not recipe.freeze_vision and recipe.lora_rank == 0,
            logging_steps=every,
            logging_nan_inf_filter=False,
            save_steps=saved,
            save_total_limit=2,
            eval_strategy="steps" if measured else "no",
            eval_steps=saved,
            eval_on_start=measured and folder.last_checkpoint() is None,
            load_best_model_at_end=measured,
            metric_for_best_model=f"eval_{BEST}" if measured else None,
            greater_is_better=True if measured else None,
            fsdp=extras.sharded or None,
            fsdp_config=_SHARDING | {"activation_checkpointing": recipe.gradient_checkpointing}
            if extras.sharded
            else None,
            deepspeed=spread,
            dataloader_num_workers=0 if cpu else min(4, (os.cpu_count() or 1) // processes),
            dataloader_pin_memory=not cpu,
            remove_unused_columns=False,
            report_to=report,
            disable_tqdm=True,
        )
        # Several GPUs are used by several processes, never by one that spreads a batch over them.
        _ = arguments.device
        arguments._n_gpu = min(1, arguments.n_gpu)
        if extras.deepspeed and (against := arguments.hf_deepspeed_config.mismatches):
            raise InputError(
                f"{extras.deepspeed}: contradicts the recipe ({'; '.join(one.lstrip('- ') for one in against)}); "
                'write "auto" there'
            )
        if extras.deepspeed and cpu:
            # The library leaves this out on a CPU, and weights would be read as if there were one process.
            import_module("deepspeed").init_distributed()
    except (ValueError, ImportError) as error:
        raise InputError(f"recipe {recipe.name!r} cannot be followed here: {error}") from error
    return arguments


def deepspeed_settings(path: str) -> dict[str, Any]:
    """DeepSpeed's settings from a file, completed by what this training needs of them.

    Raises ``InputError`` where the file is no JSON object, or forbids what the finished model is written by.
    """
    settings = read_json(Path(path), "expected DeepSpeed's settings")
    zero = settings.get("zero_optimization", {}) if isinstance(settings, dict) else None
    if not isinstance(zero, dict):
        raise InputError(f"{path}: expected DeepSpeed's settings, a JSON object with a part zero_optimization")
    if zero.get("stage") == 3 and not zero.setdefault(_GATHER, True):
        raise InputError(f"{path}: {_GATHER} is false, but the model is written as a whole; leave it out")
    return dict(settings)


def _reports(wanted: tuple[str, ...], folder: TrainingFolder) -> list[str]:
    """The library's names of where figures are told, set up. Raises ``MissingExtraError`` for a missing package."""
    found = []
    for name in wanted:
        package = name.partition("-")[0]
        if find_spec(package) is None:
            raise MissingExtraError(f"--report {name} needs the package {package}: pip install {package}")
        if package == "tensorboard":
            os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder.path / "tensorboard"))
        else:
            os.environ.setdefault("WANDB_PROJECT", "segagent")
            os.environ.setdefault("WANDB_DIR", str(folder.path))
        if name == "wandb-offline":
            os.environ["WANDB_MODE"] = "offline"
        found.append(package)
    return found


class InOrderTrainer(transformers.Trainer):  # type: ignore[misc]
    """The library's trainer with three things of our own: the order of the data, the loss, and how weights come back.

    The data are read as they come: their order is made beforehand, the same however often a training stops. The loss
    is the mean over all taught tokens of a whole batch, however many passes and processes it is cut into; not all
    models' own losses are.
    """

    control: Any

    def __init__(self, *, validator: Validator | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._validator = validator
        # Makes the trainer count the taught tokens of a batch and leave the scaling of the loss to us.
        self.model_accepts_loss_kwargs = True
        self._adapter = hasattr(self.model, "peft_config")
        inner = self.model.get_base_model() if self._adapter else self.model
        self._can_spare_logits = "logits_to_keep" in inspect.signature(inner.forward).parameters

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Cross-entropy of the taught tokens, over ``num_items_in_batch`` of them in the whole batch."""
        labels = inputs["labels"]
        taught = labels != NOT_TAUGHT
        columns = taught.any(dim=0).nonzero()
        # A pass may hold nothing but examples that are left out; it is made all the same, for the other processes.
        first = max(1, int(columns[0])) if len(columns) else labels.shape[1] - 1
        # Position i tells token i + 1; no logits are needed before the first reply of the batch.
        kept = labels.shape[1] - first + 1
        told = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**told, **({"logits_to_keep": kept} if self._can_spare_logits else {}))
        logits = outputs.logits[:, -kept:-1].float()
        loss = cross_entropy(
            logits.flatten(0, 1), labels[:, first:].flatten(), ignore_index=NOT_TAUGHT, reduction="sum"
        )
        if num_items_in_batch is None:
            loss = loss / taught.sum().clamp(min=1)
        else:  # Counted over all processes, whose gradients are then averaged.
            loss = loss * self.accelerator.num_processes / max(int(num_items_in_batch), 1)
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Play the validation's samples, each process its own; the figures are those of all of them."""
        assert self._validator is not None
        with self.compute_loss_context_manager():
            mine = self._validator.play(self.accelerator.unwrap_model(self.model))
        figured = figures(gather_object(mine))
        told = {f"eval_{name}": value for name, value in figured.items()}
        self.log(dict(told))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, told)
        return told

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if self._adapter:
            super()._load_best_model()
        elif best is not None:
            self._load_from_checkpoint(best, self.model)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Take up the weights of a checkpoint by the names that they are saved under.

        The library's own way passes over weights that it saves under other names than they have in memory, without a
        word: all of the language model in some families.
        """
        target = self.model if model is None else model
        if self._adapter or self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(target).from_pretrained(
            resume_from_checkpoint, dtype=target.dtype, use_safetensors=True, trust_remote_code=False
        )
        target.load_state_dict(saved.state_dict())


class Watcher(transformers.TrainerCallback):  # type: ignore[misc]
    """Keeps the log, tells the progress, and marks checkpoints as whole; on the main process only."""

    def __init__(self, folder: TrainingFolder, progress: TrainingWatch) -> None:
        self._folder = folder
        self._progress = progress
        self._began = 0.0
        self.seconds_before = 0.0

    def seconds(self) -> float:
        """Training time so far, interrupted parts included."""
        return self.seconds_before + time.perf_counter() - self._began

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take up the log where the checkpoint left it."""
        self._began = time.perf_counter()
        lines = loss_lines(state)
        self.seconds_before = float(lines[-1]["seconds"]) if lines else 0.0
        if state.is_world_process_zero:
            told = [line for line in state.log_history if "loss" in line or f"eval_{BEST}" in line]
            self._folder.log(told, anew=True)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A mean loss has been taken. Raises ``InputError`` if it is not a number any more."""
        line = state.log_history[-1]
        if f"eval_{BEST}" in line and state.is_world_process_zero:
            self._folder.log([line])
        if "loss" not in line:
            return
        if not math.isfinite(line["loss"]):
            raise InputError(f"the loss is no number any more at step {state.global_step}; lower the learning rate")
        line["seconds"] = round(self.seconds(), 3)
        line["precision"] = "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32"
        if state.is_world_process_zero:
            self._folder.log([line])
            self._progress("training", state.global_step, state.max_steps, line["loss"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last step is measured too, however long ago it was done before."""
        if args.load_best_model_at_end and state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint has been written."""
        if state.is_world_process_zero:
            self._folder.mark_whole(state.global_step)


def loss_lines(state: Any) -> list[dict[str, Any]]:
    """The lines of a trainer's history that tell losses."""
    return [line for line in state.log_history if "loss" in line]


def best_of(state: Any) -> tuple[int, float] | None:
    """The step whose checkpoint was measured as the best, and its mIoU; None where none was."""
    if state.best_model_checkpoint is None or state.best_metric is None:
        return None
    return int(str(state.best_model_checkpoint).rpartition("-")[2]), float(state.best_metric)


def trained_weights(trainer: Any, dtype: str | None) -> Any:
    """All weights by name, gathered where they were spread over processes, as ``dtype`` or (None) as they are."""
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if dtype is None or trainer.args.process_index != 0:
        return weights
    number = getattr(torch, dtype)
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        trainer.model.to(number)  # So that the saved configuration says so too.
    return {name: value.to(number) if value.is_floating_point() else value for name, value in weights.items()}
