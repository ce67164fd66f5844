"""How a checkpoint is laid out on the machine: its attention, its devices, the bits of its weights, compilation.

None of it changes what a model is asked or, but for ``bits``, what it knows: probabilities differ in their last digits.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from segagent.core import MissingExtraError, SpecError
from segagent.policies.chat import ChatSpec

OPTIONS = ("attn", "device_map", "bits", "compile")
ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
"""Those of transformers itself; its names of kernels on the hub would fetch code and run it."""
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
_KEPT = [r"(?:.*\.)?(?:visual|vision_tower|vision_model|multi_modal_projector|lm_head)"]
"""Parts that keep all their bits: they are small, and where an object is depends on what the model sees."""


@dataclass(frozen=True, slots=True)
class Layout:
    """``attn``: of :data:`ATTENTIONS`, None for the library's choice. ``device_map``: of :data:`DEVICE_MAPS`, None for
    one device. ``bits``: 4 or 8 for each weight of the language model, 0 for all it has. ``compiled``: whether the
    language model's forward pass goes through ``torch.compile``. ``moved``: the model will be used on another device,
    or in another type, than it is loaded to, so that these say nothing about what it can use.
    """

    attn: str | None = None
    device_map: str | None = None
    bits: int = 0
    compiled: bool = False
    moved: bool = False

    def arguments(self, place: Any, number: Any) -> dict[str, Any]:
        """What ``from_pretrained`` is told beside the name, for a model on the device ``place`` in the type ``number``.

        Raises ``SpecError`` for what cannot be done there and ``MissingExtraError`` for what lacks a package or a
        compiler, before any weight is read.
        """
        import torch

        told: dict[str, Any] = {}
        if self.attn is not None:
            told["attn_implementation"] = self.attn
            if self.attn.startswith("flash"):
                self._require_flash(place, number)
            elif self.attn == "flex_attention" and place.type == "cpu" and not self.moved:
                raise SpecError("option attn=flex_attention: torch compiles it for GPUs; attn=sdpa runs on a CPU")
        if self.device_map is not None:
            _require("accelerate", f"option device_map={self.device_map}", "segagent[hf]")
            told["device_map"] = self.device_map
        if self.bits:
            told["quantization_config"] = self._quantization(place, number)
            told.setdefault("device_map", {"": place})
        if self.compiled:
            _require_compiler(torch, place)
        return told

    def laid_out(self, model: Any, place: Any) -> Any:
        """``model`` where it belongs, ready to be used."""
        if self.device_map is None and not self.bits:
            model = model.to(place)
        if self.compiled:
            # The vision encoder reads each picture once and branches on its size; steps are many and of one kind.
            model.get_decoder().compile(dynamic=True)
        return model

    def _require_flash(self, place: Any, number: Any) -> None:
        from transformers import utils

        available = getattr(utils, f"is_flash_attn_{self.attn[-1]}_available" if self.attn else "", None)
        if not self.moved and str(number) == "torch.float32":
            raise SpecError(
                f"option attn={self.attn} computes in bfloat16 or float16, on a GPU; give dtype=bfloat16, or attn=sdpa"
            )
        if available is None or not available() or (place.type == "cpu" and not self.moved):
            raise MissingExtraError(
                f"option attn={self.attn} needs a GPU and the package flash-attn, built for it and for this torch: "
                "pip install flash-attn --no-build-isolation; attn=sdpa needs neither"
            )

    def _quantization(self, place: Any, number: Any) -> Any:
        import transformers

        _require("accelerate", f"option bits={self.bits}", "segagent[hf]")
        _require("bitsandbytes", f"option bits={self.bits}", "segagent[bits]")
        import bitsandbytes

        # It would say at every layer of every token in which type it multiplies.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        known = getattr(bitsandbytes, "supported_torch_devices", {"cuda"})
        if place.type not in known:
            raise MissingExtraError(
                f"option bits={self.bits}: bitsandbytes {bitsandbytes.__version__} does not run on {place.type!r}, "
                f"only on {', '.join(sorted(known))}: pip install -U 'segagent[bits]', or leave the option out"
            )
        if self.bits == 8:
            return transformers.BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=_KEPT)
        return transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=number,
            llm_int8_skip_modules=_KEPT,
        )


def layout_of(spec: ChatSpec) -> Layout:
    """The layout that the options of a specification ask for. Raises ``SpecError`` naming one that is unusable."""
    attn, device_map, bits = (spec.options.get(name) for name in OPTIONS[:3])
    if attn is not None and attn not in ATTENTIONS:
        raise SpecError(f"option attn={attn!r:.50}: expected one of {', '.join(ATTENTIONS)}")
    if device_map is not None and device_map not in DEVICE_MAPS:
        raise SpecError(f"option device_map={device_map!r:.50}: expected one of {', '.join(DEVICE_MAPS)}")
    if device_map is not None and "device" in spec.options:
        raise SpecError("options device and device_map both say where the model goes; give one of them")
    if bits is not None and bits not in ("4", "8"):
        raise SpecError(f"option bits={bits!r:.50}: expected 4 or 8; without it weights keep all their bits")
    return Layout(attn, device_map, int(bits or 0), spec.number("compile", 0, 0, 1) == 1)


def _require(package: str, purpose: str, extra: str) -> None:
    try:
        import_module(package)
    except (ImportError, OSError, RuntimeError) as error:
        reason = "" if isinstance(error, ModuleNotFoundError) else f" ({' '.join(str(error).split())[:200]})"
        raise MissingExtraError(f"{purpose} needs {package}: pip install '{extra}'{reason}") from error


def _require_compiler(torch: Any, place: Any) -> None:
    """Compile the smallest there is: whether compilers and headers are there and fit shows only so."""
    try:
        torch.compile(_smallest)(torch.ones(8, device=place))
    except (RuntimeError, ImportError, OSError) as error:
        needed = "a C++ compiler" if place.type == "cpu" else "Triton, a C compiler and Python's headers"
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise MissingExtraError(
            f"option compile=1 needs {needed} (apt install g++ python3-dev, or the like), "
            f"which do not work here: {reason}"
        ) from error


def _smallest(values: Any) -> Any:
    return values * 2 + 1
