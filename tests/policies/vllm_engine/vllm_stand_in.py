"""A stand-in for the package ``vllm``: its names and what it returns are those of 0.32 and 0.33, the work is ours.

The real engine takes minutes to install and to start. What it is asked here, it was asked for real by the slow test
beside this file, which runs where it is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from segagent.policies.hf.decoding import Writing, Written, write_replies
from segagent.policies.hf.loading import load_checkpoint
from segagent.policies.hf.prompts import end_tokens

_ENGINE_ARGUMENTS = {
    "enable_prefix_caching",
    "limit_mm_per_prompt",
    "load_format",
    "max_model_len",
    "mm_device_do_normalize",
}


class VLLMError(Exception):
    pass


class VLLMClientError(VLLMError):
    pass


class VLLMServerError(VLLMError):
    pass


class VLLMValidationError(VLLMClientError):
    pass


@dataclass
class StructuredOutputsParams:
    json: str | dict[str, Any] | None = None


@dataclass
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None
    detokenize: bool = True
    structured_outputs: StructuredOutputsParams | None = None

    def __post_init__(self) -> None:
        if self.n > 1 and self.temperature == 0:
            raise VLLMValidationError("n must be 1 when using greedy sampling")


@dataclass
class LLM:
    """Of the engine's ways, those that matter here: one unusable prompt fails the whole call."""

    model: str
    dtype: str = "auto"
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.92
    enforce_eager: bool = False
    trust_remote_code: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, model: str, **settings: Any) -> None:
        known = {"dtype", "tensor_parallel_size", "gpu_memory_utilization", "enforce_eager", "trust_remote_code"}
        assert set(settings) <= known | _ENGINE_ARGUMENTS
        self.model, self.settings = model, settings
        self.checkpoint = load_checkpoint(model, device="cpu", dtype=None)
        self.asked: list[list[tuple[dict[str, Any], SamplingParams]]] = []
        self.dead = False
        self._seen: set[str] = set()

    def generate(
        self, prompts: Sequence[dict[str, Any]], params: Sequence[SamplingParams], *, use_tqdm: bool
    ) -> list[Any]:
        assert not use_tqdm
        assert len(prompts) == len(params)
        self.asked.append(list(zip(prompts, params, strict=True)))
        if self.dead:
            raise VLLMServerError("EngineCore encountered an issue.")
        inputs = [self._inputs(prompt) for prompt in prompts]
        return [self._output(*one) for one in zip(prompts, inputs, params, strict=True)]

    def _inputs(self, prompt: dict[str, Any]) -> Any:
        assert set(prompt) <= {"prompt", "multi_modal_data", "multi_modal_uuids"}
        pictures = prompt.get("multi_modal_data", {}).get("image", [])
        assert len(pictures) == len(prompt.get("multi_modal_uuids", {}).get("image", []))
        if len(pictures) > self.settings["limit_mm_per_prompt"]["image"]:
            raise VLLMValidationError("At most 2 image(s) may be provided in one prompt.")
        made = self.checkpoint.processor(text=[prompt["prompt"]], images=[pictures], padding=True, return_tensors="pt")
        if made["input_ids"].shape[1] > self.settings.get("max_model_len", 4096):
            raise VLLMValidationError("This model's maximum context length is exceeded.")
        return made

    def _output(self, prompt: dict[str, Any], inputs: Any, params: SamplingParams) -> Any:
        greedy = params.temperature == 0
        writing = Writing(
            1 if greedy else params.n + 1,
            temperature=params.temperature,
            max_new_tokens=params.max_tokens or 16,
            end_tokens=end_tokens(self.checkpoint),
            pad_token=self.checkpoint.tokenizer.pad_token_id,
        )
        (row,) = write_replies(self.checkpoint.model, [(inputs, [params.seed or 0])], writing)
        ids = inputs["input_ids"][0].tolist()
        name = f"{prompt['prompt']} {prompt.get('multi_modal_uuids')}"
        cached = len(ids) if name in self._seen else 0
        self._seen.add(name)
        return SimpleNamespace(
            prompt_token_ids=ids,
            num_cached_tokens=cached,
            outputs=[_completion(number, one) for number, one in enumerate(row if greedy else row[1:])],
        )


def _completion(number: int, written: Written) -> Any:
    log_probs = zip(written.whole.ids, written.whole.log_probs, strict=True)
    return SimpleNamespace(
        index=number,
        text="",
        token_ids=list(written.whole.ids),
        logprobs=[{token: SimpleNamespace(logprob=value)} for token, value in log_probs],
        finish_reason="length" if written.cut else "stop",
        stop_reason=None,
    )


def stand_in(monkeypatch: pytest.MonkeyPatch, version: str = "0.32.0") -> ModuleType:
    """``import vllm`` gives this from now on."""
    package, exceptions, sampling = (ModuleType(f"vllm{end}") for end in ("", ".exceptions", ".sampling_params"))
    package.__dict__.update(LLM=LLM, SamplingParams=SamplingParams, __version__=version)
    sampling.__dict__.update(StructuredOutputsParams=StructuredOutputsParams, SamplingParams=SamplingParams)
    exceptions.__dict__.update(VLLMClientError=VLLMClientError, VLLMServerError=VLLMServerError)
    for module in (package, exceptions, sampling):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return package
