"""Supervised fine-tuning of image-text-to-text checkpoints of the transformers library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segagent.core import InputError, MissingExtraError, SpecError, WeightsError
from segagent.core.texts import read_json
from segagent.learning.sft.data import TrainingSet
from segagent.learning.sft.extras import Extras
from segagent.learning.sft.hf.folder import RECIPE_FILE, TrainingFolder
from segagent.learning.sft.recipe import Recipe
from segagent.learning.sft.trained import Fresh, TrainedModel, TrainingWatch
from segagent.policies.chat import ChatSpec, parse_spec

if TYPE_CHECKING:
    from segagent.policies.chat import ChatFormat
    from segagent.policies.hf.loading import Checkpoint

__all__ = ["recipe_name", "train_hf"]

_OPTIONS = ("device", "base", "attn")
_RECIPES = {"qwen2_5_vl": "qwen2_5_vl_7b", "qwen3_vl": "qwen3_vl_8b", "llava": "llava_1_5_7b"}
"""The recipe for a checkpoint's ``config.model_type``; "transformers" for all others."""


def recipe_name(rest: str) -> str:
    """The recipe for the checkpoint ``rest`` ("DIR", "NAME", options behind it).

    One that was trained here goes on with its own; else it follows ``config.model_type``. Raises ``WeightsError`` where
    there is no such checkpoint, ``MissingExtraError`` without transformers.
    """
    from segagent.policies.hf.loading import adapter_base

    spec = _spec(rest)
    own = Path(spec.target) / RECIPE_FILE
    if own.is_file():
        return str(own)
    name = spec.options.get("base") or adapter_base(spec.target) or spec.target
    return _RECIPES.get(_model_type(name), "transformers")


def train_hf(
    rest: str,
    sets: Sequence[TrainingSet],
    out: Path,
    recipe: Recipe,
    *,
    fresh: Fresh,
    resume: bool,
    progress: TrainingWatch,
    extras: Extras = Extras(),  # noqa: B008 - frozen
) -> TrainedModel:
    """See :func:`segagent.learning.sft.train_policy_on`. ``fresh`` means nothing here: every checkpoint is tuned on.

    Options behind ``rest``: ``format``, ``prompt``, ``device`` (``cpu``, else GPUs where there are any), ``base``,
    ``attn``. ``out`` becomes a folder that ``hf:OUT`` loads: all weights, or an adapter. Started by ``accelerate
    launch`` or ``torchrun`` it is one training over all processes.
    """
    del fresh
    _require_transformers()
    from segagent.learning.sft.hf.data import data_fingerprint
    from segagent.learning.sft.hf.trainer import training_arguments

    spec = _spec(rest)
    if Path(spec.target).resolve() == out.resolve():
        raise InputError(f"{out}: a model cannot be trained into its own folder; choose another")
    if recipe.format:
        spec = ChatSpec(spec.target, {**spec.options, "format": recipe.format})
    num_examples = sum(len(one.examples) for one in sets)
    steps = recipe.num_steps(num_examples)
    folder = TrainingFolder(out)
    arguments = training_arguments(recipe, steps, folder, cpu=_on_cpu(spec), extras=extras)
    free = ("name", "estimate", "micro_batch", "gradient_checkpointing")
    config = {key: value for key, value in recipe.to_dict().items() if key not in free}
    options = {name: value for name, value in spec.options.items() if name != "device"}
    config |= {"model": _located(spec.target), "options": options, "data": data_fingerprint(sets)}
    config["order"] = 2  # Of the examples; earlier versions shuffled them otherwise.
    config["validation"] = None if extras.validation is None else extras.validation.to_dict()
    with arguments.main_process_first():
        if arguments.process_index == 0:
            folder.begin(config, resume=resume)
        finished = folder.finished()
    return finished or _train(spec, sets, recipe, arguments, folder, progress, extras)


def _train(
    spec: ChatSpec,
    sets: Sequence[TrainingSet],
    recipe: Recipe,
    arguments: Any,
    folder: TrainingFolder,
    progress: TrainingWatch,
    extras: Extras,
) -> TrainedModel:
    import transformers

    from segagent.learning.sft.hf.data import EncodedExamples, too_long
    from segagent.learning.sft.hf.encoding import Collator, Encoder
    from segagent.learning.sft.hf.model import (
        forget_read_names,
        limit_pictures,
        load_for_training,
        recompute_activations,
        spread_blocks,
        without_cache,
    )
    from segagent.learning.sft.hf.order import training_order
    from segagent.learning.sft.hf.trainer import InOrderTrainer, Watcher, best_of, computed_in, loss_lines
    from segagent.learning.sft.hf.validation import Validator
    from segagent.policies.hf import checkpoint_format

    # Where weights are spread, one process of a machine reads them and hands the others their parts.
    empty = extras.sharded and arguments.local_process_index != 0
    checkpoint = load_for_training(spec, recipe, computed_in(recipe, cpu=_on_cpu(spec)), empty=empty)
    forget_read_names(checkpoint.model)
    # Pictures stay as large as they were when the training began, whatever max_length has become.
    limit_pictures(checkpoint, int(folder.begun_with("max_length")))
    fmt = checkpoint_format(spec, checkpoint)
    encoder = Encoder(checkpoint, fmt, recipe.max_length)
    left_out = too_long(sets, encoder, recipe.max_length)
    order = training_order(sets, arguments.max_steps * recipe.batch_size, recipe.seed)
    validator = None
    if extras.validation is not None:
        part = arguments.process_index, arguments.world_size
        validator = Validator(extras.validation, checkpoint, fmt, *part)
    if recipe.gradient_checkpointing and not extras.sharded:  # FSDP does it itself, or it would gather weights twice.
        recompute_activations(checkpoint.model)
    if extras.sharded:
        arguments.fsdp_plugin_args["transformer_cls_names_to_wrap"] = ",".join(spread_blocks(checkpoint.model))
    watcher = Watcher(folder, progress)
    with without_cache(checkpoint.model):
        trainer = InOrderTrainer(
            model=checkpoint.model,
            args=arguments,
            train_dataset=EncodedExamples(sets, order, encoder, left_out),
            data_collator=Collator(checkpoint.tokenizer.pad_token_id),
            callbacks=[watcher],
            validator=validator,
            eval_dataset=[] if validator is not None else None,
        )
        if extras.sharded and not trainer.is_fsdp_enabled:
            raise InputError("weights are not spread here: FSDP needs a launcher, with more than one process, and GPUs")
        trainer.remove_callback(transformers.PrinterCallback)
        last = folder.last_checkpoint()
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    lines = loss_lines(trainer.state)
    losses = tuple((int(line["step"]), float(line["loss"])) for line in lines)
    trained = TrainedModel(
        f"hf:{folder.path}",
        steps=int(trainer.state.global_step),
        examples=sum(len(one.examples) for one in sets) - len(left_out.places),
        losses=losses,
        seconds=watcher.seconds(),
        left_out=len(left_out.places),
        best=best_of(trainer.state),
    )
    _save(trainer, checkpoint, fmt, recipe, folder, trained)
    return folder.finished() or trained  # What the main process wrote, in all processes.


def _save(
    trainer: Any,
    checkpoint: Checkpoint,
    fmt: ChatFormat,
    recipe: Recipe,
    folder: TrainingFolder,
    trained: TrainedModel,
) -> None:
    """Write the finished model; what makes it a finished one comes last."""
    from segagent.learning.sft.hf.trainer import trained_weights

    adapter = recipe.lora_rank > 0
    # An adapter is small and stays as exact as it was trained.
    weights = trained_weights(trainer, None if adapter else recipe.dtype)
    if trainer.args.process_index == 0:
        model = trainer.accelerator.unwrap_model(trainer.model)
        if adapter:
            base = model.peft_config["default"]
            base.base_model_name_or_path = _located(str(base.base_model_name_or_path))
        model.save_pretrained(folder.path, state_dict=weights)
        folder.save_beside(checkpoint, fmt, replace(recipe, format=""))
        folder.finish(trained)
    trainer.accelerator.wait_for_everyone()


def _spec(rest: str) -> ChatSpec:
    spec = parse_spec(rest, _OPTIONS)
    if not spec.target:
        raise SpecError("'hf:': expected hf:DIR or hf:NAME, a folder or a hub name")
    for option in ("grid", "box"):
        if option in spec.options:
            raise SpecError(f"option {option}: a model is not trained with it; leave it out")
    return spec


def _on_cpu(spec: ChatSpec) -> bool:
    import torch

    device = spec.options.get("device", "")
    return device.startswith("cpu") or not torch.cuda.is_available()


def _located(name: str) -> str:
    """A folder's full path, so that it is found from anywhere; a hub name as it is."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def _model_type(name: str) -> str:
    path = Path(name) / "config.json"
    if not Path(name).is_dir():
        _require_transformers()
        import transformers

        try:
            return str(transformers.PreTrainedConfig.get_config_dict(name)[0]["model_type"])
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"{name}: neither a folder nor a checkpoint of the hub that can be read") from error
    try:
        return str(read_json(path)["model_type"])
    except (InputError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: not a checkpoint's configuration; expected a folder of transformers") from error


def _require_transformers() -> None:
    try:
        for package in ("transformers", "accelerate"):
            import_module(package)
    except ImportError as error:
        raise MissingExtraError("training policies 'hf:...' needs transformers: pip install 'segagent[hf]'") from error
