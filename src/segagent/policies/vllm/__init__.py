"""``vllm:DIR|NAME``: policies out of checkpoints that vLLM's engine runs in this process."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any

from segagent.core import MissingExtraError, SpecError, WeightsError
from segagent.core.hub import located
from segagent.policies.chat import (
    FORMATS,
    ChatPolicy,
    ChatSpec,
    chosen_format,
    parse_spec,
    recorded_format,
    refuse_when_tuned,
)
from segagent.policies.vllm.model import EngineModel

__all__ = ["EngineModel", "make_vllm_policy"]

OPTIONS = (
    "dtype",
    "max_tokens",
    "revision",
    "keep_tokens",
    "structured",
    "gpus",
    "memory",
    "context",
    "compile",
)
LEAST = (0, 32)
"""The first version of vLLM that this was run with."""


def make_vllm_policy(rest: str) -> ChatPolicy:
    """The policy that ``vllm:REST`` names; REST is a folder or hub name, with ``?name=value&...`` options behind it.

    Options besides those of :func:`segagent.policies.chat.chosen_format`: ``dtype``, ``max_tokens`` (per reply),
    ``revision``, ``keep_tokens=1``, as of ``hf:``; ``structured=schema`` (replies are held to the question's JSON
    schema); ``gpus`` (that the model is spread over), ``memory`` (the share of each GPU's that vLLM may take),
    ``context`` (the most tokens of a prompt with its reply), ``compile=0`` (no compilation and no CUDA graphs: ready
    sooner, slower then). Format as of ``hf:``. Raises ``MissingExtraError`` without a vLLM that fits, ``WeightsError``
    where it cannot run the checkpoint here.
    """
    spec = parse_spec(rest, OPTIONS)
    if not spec.target:
        raise SpecError("'vllm:': expected vllm:DIR or vllm:NAME, a folder or a hub name")
    options = spec.options
    if options.get("dtype", "auto") not in ("auto", "float32", "bfloat16", "float16"):
        raise SpecError(f"option dtype={options['dtype']!r:.50}: expected float32, bfloat16 or float16")
    # Both words that openai: knows: there is one way here.
    if options.get("structured", "") not in ("", "schema", "guided"):
        raise SpecError(f"option structured={options['structured']!r:.50}: expected 'schema'")
    max_tokens = round(spec.number("max_tokens", 1024, 1, 1e6))
    keep_tokens = spec.number("keep_tokens", 0, 0, 1) == 1
    settings = _settings(spec)
    chosen_format(spec, FORMATS["qwen3"])  # Unusable options are told before anything large is fetched or loaded.
    vllm = _engine()
    if "revision" in options:
        spec = replace(spec, target=located(spec.target, options["revision"]))
    refuse_when_tuned(spec, None if "format" in options else recorded_format(spec.target))

    from segagent.policies.hf import checkpoint_format
    from segagent.policies.hf.loading import read_without_weights

    checkpoint = read_without_weights(spec.target)
    fmt = checkpoint_format(spec, checkpoint)
    try:
        engine = vllm.LLM(spec.target, **settings)
    except (RuntimeError, ValueError, OSError, KeyError, TypeError, AssertionError, ImportError) as error:
        raise WeightsError(f"vllm:{spec.target}: vLLM cannot run it here: {_short(error)}") from error
    model = EngineModel(
        engine,
        checkpoint,
        max_new_tokens=max_tokens,
        keep_tokens=keep_tokens,
        structured=bool(options.get("structured")),
    )
    return ChatPolicy(f"vllm:{rest}", model, fmt)


def _settings(spec: ChatSpec) -> dict[str, Any]:
    """What vLLM is told beside the name."""
    settings: dict[str, Any] = {
        "dtype": spec.options.get("dtype", "auto"),
        "tensor_parallel_size": round(spec.number("gpus", 1, 1, 1024)),
        # vLLM's own default leaves the tool no room on the same GPU.
        "gpu_memory_utilization": spec.number("memory", 0.8, 0.05, 1),
        "enforce_eager": spec.number("compile", 1, 0, 1) == 0,
        "enable_prefix_caching": True,
        "limit_mm_per_prompt": {"image": 2, "video": 0},
        # On the device, colours would be left as they are where a checkpoint's file says no mean and deviation; the
        # processor has its family's own.
        "mm_device_do_normalize": False,
        # Neither code nor pickles of a checkpoint are run.
        "trust_remote_code": False,
        "load_format": "safetensors",
    }
    if "context" in spec.options:
        settings["max_model_len"] = round(spec.number("context", 0, 256, 1e7))
    return settings


def _engine() -> Any:
    """The package. Raises ``MissingExtraError`` where it is missing, too old, or does not fit what it stands beside."""
    for name, value in (("VLLM_LOGGING_LEVEL", "WARNING"), ("VLLM_LOGGING_STREAM", "ext://sys.stderr")):
        os.environ.setdefault(name, value)  # Its log on stdout would stand among a command's results.
    needed = "policies 'vllm:...' need vLLM, in an environment of its own: pip install 'segagent[vllm]'"
    try:
        import vllm

        vllm.LLM, vllm.SamplingParams  # noqa: B018 - read when they are first asked for
    except ImportError as error:
        raise MissingExtraError(f"{needed} ({_short(error)})") from error
    except (OSError, RuntimeError, AttributeError) as error:
        raise MissingExtraError(f"{needed}; the one here does not fit its torch: {_short(error)}") from error
    found = re.match(r"(\d+)\.(\d+)", str(vllm.__version__))
    if found and (int(found[1]), int(found[2])) < LEAST:
        raise MissingExtraError(f"{needed}; found {vllm.__version__}, too old by far")
    return vllm


def _short(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
