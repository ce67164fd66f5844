"""GRPO for checkpoints of the transformers library, by TRL: a group of replies to states of the model's own episodes.

The model is asked as it is in use: one picture with the mask, no history. So what is compared are replies to one and
the same state, each worth its own turn's reward; what a reply makes possible later is not counted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from segagent.core import InputError, InvalidAction, MissingExtraError, ToolError
from segagent.core.texts import read_json
from segagent.datasets import Dataset
from segagent.envs import AnnotationEnv
from segagent.imaging import write_bytes
from segagent.learning.rl.config import GrpoConfig
from segagent.learning.sft import Recipe, TrainedModel, load_recipe, write_training_note
from segagent.learning.sft.hf import recipe_name
from segagent.learning.sft.hf.folder import TrainingFolder
from segagent.learning.sft.hf.model import load_for_training
from segagent.learning.sft.hf.trainer import trained_weights
from segagent.policies.chat import ChatPolicy, Question, ask, parse_spec
from segagent.policies.hf import checkpoint_format
from segagent.policies.hf.loading import Checkpoint, adapter_base
from segagent.policies.hf.model import LocalModel
from segagent.policies.hf.prompts import end_tokens

_PICTURE_TOKENS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
_KEPT = 3
_CHECKPOINTS = 20
LEFT_OUT = "left_out.json"
"""Beside the model: samples that could not be read, and why."""

Watch = Callable[[int, int, dict[str, float]], None]
"""Told (steps done, of how many, what was measured)."""


def train_grpo_checkpoint(
    rest: str,
    dataset: Dataset,
    out: str | Path,
    config: GrpoConfig,
    *,
    lora_rank: int = 16,
    micro_batch: int = 1,
    resume: bool = True,
    watch: Watch = lambda done, total, measured: None,
) -> TrainedModel:
    """Improve the checkpoint ``rest`` ("DIR", "NAME", ``?format=...``) on ``dataset`` into the folder ``out``.

    An update plays an episode about each of ``config.questions`` sentences to a turn drawn by lot, and compares
    ``config.group`` replies there. ``lora_rank`` 0 trains all language weights; else an adapter is, or the one that
    ``rest`` names goes on. ``micro_batch``: replies per pass and device. Goes on where an earlier training in ``out``
    stopped. Options behind ``rest``: ``format``, ``prompt``, ``device``, ``base``, ``attn``, ``max_tokens`` (of a
    reply). Raises ``InputError`` for a folder begun with other settings and for what cannot be trained,
    ``MissingExtraError`` without TRL.
    """
    try:
        import trl
    except ImportError as error:
        raise MissingExtraError("GRPO for 'hf:...' needs TRL: pip install 'segagent[train]'") from error
    import torch
    import transformers

    spec = parse_spec(rest, ("device", "base", "attn", "max_tokens"))
    base, max_tokens = spec.options.get("base"), round(spec.number("max_tokens", 256, 1, 1e6))
    cpu = spec.options.get("device", "").startswith("cpu") or not torch.cuda.is_available()
    if lora_rank == 0 and config.kl and adapter_base(spec.target):
        raise InputError(f"hf:{spec.target}: an adapter is trained on with its own lora_rank, or without kl")
    replies = config.questions * config.group
    if replies % micro_batch:
        raise InputError(f"{config.questions} questions x {config.group} replies are no multiple of {micro_batch}")
    name = recipe_name(f"{spec.target}?base={base}" if base else spec.target)
    recipe = load_recipe(name, lora_rank=lora_rank, learning_rate=config.learning_rate, seed=config.seed)
    folder = TrainingFolder(Path(out))
    told = {"model": rest, "data": dataset.fingerprint, "lora_rank": lora_rank, "grpo": config.to_dict()}
    folder.begin(told, resume=resume)
    finished = folder.finished()
    if finished is not None:
        return finished
    checkpoint = load_for_training(spec, recipe, "float32" if cpu else recipe.dtype)
    if not isinstance(checkpoint.processor, transformers.ProcessorMixin):
        raise InputError(f"hf:{spec.target}: TRL trains no model of type {checkpoint.model_type!r}; 'train star' does")
    checkpoint.model.to("cpu" if cpu else spec.options.get("device", "cuda"))
    fmt = checkpoint_format(spec, checkpoint)
    env = AnnotationEnv(dataset, config.tool, reward=config.reward, max_steps=config.max_steps, fmt=fmt)
    if not resume:
        (folder.path / LEFT_OUT).unlink(missing_ok=True)
    states = _States(env, checkpoint, config, max_tokens, folder.path / LEFT_OUT)
    steps = config.updates * config.passes
    arguments = trl.GRPOConfig(
        output_dir=str(folder.checkpoints),
        max_steps=steps,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=replies // micro_batch,
        num_iterations=config.passes,
        num_generations=config.group,
        max_completion_length=max_tokens,
        # A reply with a picture's token in it, which a model may draw by lot, would end the training.
        generation_kwargs={"suppress_tokens": _picture_tokens(checkpoint)},
        beta=config.kl,
        epsilon=config.clip,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=min(10, config.updates // 10),
        shuffle_dataset=False,
        seed=config.seed,
        use_cpu=cpu,
        bf16=not cpu and recipe.dtype == "bfloat16",
        gradient_checkpointing=recipe.gradient_checkpointing and not cpu,
        logging_steps=1,
        save_steps=config.passes * math.ceil(config.updates / _CHECKPOINTS),
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = trl.GRPOTrainer(
        model=checkpoint.model,
        args=arguments,
        reward_funcs=states.rewards,
        train_dataset=states.dataset(),
        processing_class=checkpoint.processor,
        callbacks=[_watcher(folder, watch)],
    )
    began = time.perf_counter()
    last = folder.last_checkpoint()
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    lines = [line for line in trainer.state.log_history if "reward" in line]
    losses = tuple((int(line["step"]), float(line["loss"])) for line in lines)
    left_out = states.left_out
    asked = env.num_questions - len(left_out)
    seconds = time.perf_counter() - began
    trained = TrainedModel(f"hf:{folder.path}", steps, asked, losses, seconds, len(left_out))
    if trainer.accelerator.is_main_process:
        _save(trainer, checkpoint, folder, recipe, states)
        note = {"kind": "grpo", "scheme": "hf", "dataset": dataset.spec, **told}
        write_training_note(folder.path, note)
        folder.finish(trained)
    trainer.accelerator.wait_for_everyone()
    return trained


class _States:
    """The rows that TRL reads: at each position a state that the model, as it is then, has come to by itself."""

    def __init__(
        self, env: AnnotationEnv, checkpoint: Checkpoint, config: GrpoConfig, max_tokens: int, file: Path
    ) -> None:
        self.env, self._checkpoint, self._config = env, checkpoint, config
        self._policy = ChatPolicy("hf:in training", LocalModel(checkpoint, max_new_tokens=max_tokens), env.format)
        self._ends = end_tokens(checkpoint)
        self._updates: dict[int, list[tuple[AnnotationEnv, Question]]] = {}
        self._file = file
        self.left_out: dict[str, str] = read_json(file) if file.exists() else {}
        """Samples that cannot be read, and why; also those of the part before an interruption."""

    def dataset(self) -> Any:
        """A row per update and question; what stands in it is made when it is read."""
        import datasets

        rows = datasets.Dataset.from_dict({"position": range(self._config.updates * self._config.questions)})
        rows.set_transform(self._rows)
        return rows

    def _rows(self, asked: dict[str, list[int]]) -> dict[str, list[Any]]:
        made: dict[str, list[Any]] = {"position": asked["position"], "prompt": [], "images": []}
        for position in asked["position"]:
            _, question = self._at(position)
            made["prompt"].append([{"role": "user", "content": question.prompt}])
            made["images"].append([PillowImage.fromarray(picture.pixels) for picture in question.pictures])
        return made

    def rewards(self, position: Sequence[int], completion_ids: Sequence[Sequence[int]], **other: Any) -> list[float]:
        """What each reply, by its tokens, gains in the state at its position."""
        del other
        gained = []
        for at, ids in zip(position, completion_ids, strict=True):
            env, written = self._at(at)[0].branch(), list(ids)
            cut = not written or written[-1] not in self._ends
            text = self._checkpoint.tokenizer.decode(written if cut else written[:-1], skip_special_tokens=False)
            gained.append(env.act(InvalidAction(text, "truncated") if cut else text).reward)
        return gained

    def _at(self, position: int) -> tuple[AnnotationEnv, Question]:
        """A state, and what is asked about it."""
        update, place = divmod(position, self._config.questions)
        if update not in self._updates:
            self._updates[update] = [(one, ask(self.env.format, one.observation)) for one in self._played(update)]
            for old in sorted(self._updates)[:-_KEPT]:
                del self._updates[old]
        return self._updates[update][place]

    def _played(self, update: int) -> list[AnnotationEnv]:
        """A state out of an episode about each question of an update; all come once before any comes again."""
        config = self._config
        rng = np.random.default_rng((config.seed, 13, update))
        first = update * config.questions
        envs = [self._begun(place) for place in range(first, first + config.questions)]
        going = [int(rng.integers(config.max_steps)) for _ in envs]
        model = self._checkpoint.model
        training = model.training
        model.eval()
        try:
            for _ in range(config.max_steps - 1):
                on = [place for place, left in enumerate(going) if left]
                if not on:
                    break
                seeds = [int(rng.integers(2**62)) for _ in on]
                looks = [envs[place].observation for place in on]
                for place, said in zip(on, self._policy.propose(looks, 2, temperature=1.0, seeds=seeds), strict=True):
                    ahead = envs[place].branch()
                    ended = ahead.act(said[1].action)
                    going[place] -= 1
                    if ended.terminated or ended.truncated:
                        going[place] = 0
                    else:
                        envs[place] = ahead
        finally:
            model.train(training)
        return envs

    def _begun(self, place: int) -> AnnotationEnv:
        """The episode whose turn it is, of all questions in an order drawn anew each time; one that can be played."""
        env, number = self.env.copy(), self.env.num_questions
        for after in range(number):
            time_through, index = divmod(place + after, number)
            order = np.random.default_rng((self._config.seed, 17, time_through)).permutation(number)
            asked = self.env.questions[int(order[index])]
            if asked.sample_id in self.left_out:
                continue
            try:
                env.reset(asked.index)
            except (InputError, ToolError) as error:
                self.left_out[asked.sample_id] = str(error)
                write_bytes(self._file, (json.dumps(self.left_out, indent=1) + "\n").encode())
            else:
                return env
        raise InputError(f"{self.env.dataset.spec}: no sample can be read: {next(iter(self.left_out.values()))}")


def _watcher(folder: TrainingFolder, watch: Watch) -> Any:
    import transformers

    class Watcher(transformers.TrainerCallback):  # type: ignore[misc]
        """Keeps the log, tells the progress, marks checkpoints as whole."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **other: Any) -> None:
            """Take up the log where the checkpoint left it."""
            if state.is_world_process_zero:
                folder.log([line for line in state.log_history if "reward" in line], anew=True)

        def on_log(self, args: Any, state: Any, control: Any, **other: Any) -> None:
            """A step has been made."""
            line = state.log_history[-1]
            if "reward" in line and state.is_world_process_zero:
                folder.log([line])
                watch(state.global_step, state.max_steps, {"reward": float(line["reward"])})

        def on_save(self, args: Any, state: Any, control: Any, **other: Any) -> None:
            """A checkpoint has been written."""
            if state.is_world_process_zero:
                folder.mark_whole(state.global_step)

    return Watcher()


def _picture_tokens(checkpoint: Checkpoint) -> list[int] | None:
    named = [getattr(checkpoint.model.config, name, None) for name in _PICTURE_TOKENS]
    return sorted({one for one in named if isinstance(one, int)}) or None


def _save(trainer: Any, checkpoint: Checkpoint, folder: TrainingFolder, recipe: Recipe, states: _States) -> None:
    adapter = recipe.lora_rank > 0
    weights = trained_weights(trainer, None if adapter else recipe.dtype)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if adapter:
        base = model.peft_config["default"]
        name = str(base.base_model_name_or_path)
        base.base_model_name_or_path = str(Path(name).resolve()) if Path(name).is_dir() else name
        model.save_pretrained(folder.path, state_dict=weights, selected_adapters=["default"])
    else:
        model.save_pretrained(folder.path, state_dict=weights)
    folder.save_beside(checkpoint, states.env.format, replace(recipe, format=""))
