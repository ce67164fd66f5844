"""The folder of a training: what it was begun with, its checkpoints and log, and the finished model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.core.settings import require_same
from segagent.core.texts import read_json
from segagent.imaging import write_bytes
from segagent.learning.sft.recipe import Recipe
from segagent.learning.sft.trained import TrainedModel
from segagent.policies.chat import ChatFormat, format_to_dict
from segagent.policies.hf import FORMAT_FILE
from segagent.policies.hf.loading import Checkpoint

RECIPE_FILE = "recipe.toml"
_SCHEMA = "segagent.hf-training/1"
_STATE = "hf_training.json"
_LOG = "log.jsonl"
_WHOLE = "whole"
_MODEL_FILES = ("config.json", "model*.safetensors*", "adapter_config.json", "adapter_model*")


class TrainingFolder:
    """See the module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    def begin(self, config: dict[str, Any], *, resume: bool) -> None:
        """Get the folder ready for a training with ``config``: a new one, or one to go on with.

        ``max_length`` may be larger than it was begun with. Raises ``InputError`` if it was begun with another
        ``config``, or holds something else.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be made a folder ({error.strerror}); choose another") from error
        before = self._read()
        if before is None:
            if (self.path / "config.json").exists() or (self.path / "adapter_config.json").exists():
                raise InputError(f"{self.path}: holds a model that was not trained here; choose another folder")
        elif resume:
            old = {key: value for key, value in before["config"].items() if key in config}
            if config.get("max_length", 0) > old.get("max_length", 0):
                old["max_length"] = config["max_length"]
            require_same(self.path, old, config, remedy="use the same ones to go on, another folder, or begin anew")
            return
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        for pattern in (_LOG, *_MODEL_FILES):
            for file in self.path.glob(pattern):
                file.unlink()
        self._write({"schema": _SCHEMA, "config": config, "finished": None})

    def begun_with(self, key: str) -> Any:
        """A setting that the training was begun with; one that may change since keeps its first value here."""
        state = self._read()
        return None if state is None else state["config"].get(key)

    def finished(self) -> TrainedModel | None:
        """The model, if the training has come to its end."""
        state = self._read()
        if state is None or state["finished"] is None:
            return None
        return TrainedModel.recorded(f"hf:{self.path}", state["finished"])

    def finish(self, model: TrainedModel) -> None:
        """Put on record that ``model`` lies here; checkpoints are no longer needed."""
        state = self._read() or {}
        told = {name: getattr(model, name) for name in ("steps", "examples", "losses", "seconds", "left_out", "best")}
        self._write({**state, "finished": told})
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def mark_whole(self, step: int) -> None:
        """Say that all files of the checkpoint of ``step`` are written."""
        (self.checkpoints / f"checkpoint-{step}" / _WHOLE).touch()

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that was written to its end."""
        whole = [file.parent for file in self.checkpoints.glob(f"checkpoint-*/{_WHOLE}")]
        return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    def log(self, lines: list[dict[str, Any]], *, anew: bool = False) -> None:
        """Append to the log, or write it ``anew``."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        with (self.path / _LOG).open("w" if anew else "a", encoding="utf-8") as file:
            file.write(text)

    def save_beside(self, checkpoint: Checkpoint, fmt: ChatFormat, recipe: Recipe) -> None:
        """Write what the weights need besides: processor, tokenizer, chat template, chat format and recipe."""
        checkpoint.processor.save_pretrained(self.path)
        write_bytes(self.path / FORMAT_FILE, (json.dumps(format_to_dict(fmt), indent=1) + "\n").encode())
        write_bytes(self.path / RECIPE_FILE, _toml(recipe).encode())

    def _read(self) -> dict[str, Any] | None:
        path = self.path / _STATE
        if not path.exists():
            return None
        state = read_json(path, "choose another folder")
        if not isinstance(state, dict) or state.get("schema") != _SCHEMA or not isinstance(state.get("config"), dict):
            raise InputError(f"{path}: not the record of a training; choose another folder")
        return state

    def _write(self, state: dict[str, Any]) -> None:
        write_bytes(self.path / _STATE, (json.dumps(state, indent=1) + "\n").encode())


def _toml(recipe: Recipe) -> str:
    """``recipe`` as a file that ``load_recipe`` reads; JSON's plain values are TOML's too."""
    settings = {key: value for key, value in recipe.to_dict().items() if value is not None}
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items())
