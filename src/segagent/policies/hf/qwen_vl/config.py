"""The settings of a Qwen-VL checkpoint, as its ``config.json`` names them."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from segagent.core import WeightsError

VISION_KEYS = ("image_size", "patch_size", "width", "layers", "heads", "mlp_ratio", "output_dim", "image_start_id")
NUM_QUERIES = 256
"""Tokens that a picture is to the language model."""
HEAD_WIDTH = 128
"""Width of a head of the resampler, whatever that of the language model's heads."""


class QWenConfig(PreTrainedConfig):  # type: ignore[misc]
    """Qwen-VL-Chat's settings where nothing else is given; ``visual`` is a dictionary of :data:`VISION_KEYS`.

    ``intermediate_size`` is twice the width of the gated layer. ``image_start_id`` is the token before a picture; the
    next two are the one behind it and the one that stands for each of its tokens. What else stands in a file is kept.
    """

    model_type = "qwen"
    keys_to_ignore_at_inference = ("past_key_values",)

    def __init__(
        self,
        vocab_size: int = 151936,
        hidden_size: int = 4096,
        num_hidden_layers: int = 32,
        num_attention_heads: int = 32,
        intermediate_size: int = 22016,
        layer_norm_epsilon: float = 1e-6,
        initializer_range: float = 0.02,
        rotary_emb_base: float = 10000,
        seq_length: int = 2048,
        max_position_embeddings: int = 8192,
        use_dynamic_ntk: bool = True,
        use_logn_attn: bool = True,
        no_bias: bool = True,
        use_cache: bool = True,
        tie_word_embeddings: bool = False,
        visual: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.rotary_emb_base = rotary_emb_base
        self.seq_length = seq_length
        self.max_position_embeddings = max_position_embeddings
        self.use_dynamic_ntk = use_dynamic_ntk
        self.use_logn_attn = use_logn_attn
        self.no_bias = no_bias
        self.use_cache = use_cache
        self.visual = visual or {
            "image_size": 448,
            "patch_size": 14,
            "width": 1664,
            "layers": 48,
            "heads": 16,
            "mlp_ratio": 4.9231,
            "output_dim": hidden_size,
            "image_start_id": 151857,
        }
        super().__init__(tie_word_embeddings=tie_word_embeddings, **others)


def check_settings(settings: dict[str, Any], name: str) -> None:
    """Raise ``WeightsError`` naming what in a ``config.json`` of this family is missing or computed otherwise here."""
    visual = settings.get("visual")
    if not isinstance(visual, dict):
        raise WeightsError(
            f"{name}: a Qwen checkpoint that reads text only (its config.json has no 'visual'); expected one of the "
            "Qwen-VL family, such as SegAgent-Qwen or Qwen-VL-Chat"
        )
    missing = [key for key in VISION_KEYS if not isinstance(visual.get(key), int | float)]
    if missing:
        raise WeightsError(f"{name}: config.json: 'visual' needs a number as {', '.join(map(repr, missing))}")
    defaults = QWenConfig()
    hidden, heads = (settings.get(key, getattr(defaults, key)) for key in ("hidden_size", "num_attention_heads"))
    for key, wanted in (("rotary_pct", 1.0), ("kv_channels", hidden // heads), ("scale_attn_weights", True)):
        if settings.get(key, wanted) != wanted:
            raise WeightsError(f"{name}: config.json: {key} = {settings[key]!r:.50}; only {wanted} is known here")
    if visual["output_dim"] != hidden or hidden % HEAD_WIDTH:
        raise WeightsError(
            f"{name}: config.json: the pictures' output_dim is {visual['output_dim']} and hidden_size {hidden}; "
            f"expected one and the same multiple of {HEAD_WIDTH}"
        )
    if settings.get("tie_word_embeddings"):
        raise WeightsError(f"{name}: config.json: tie_word_embeddings = true; only false is known here")
    if settings.get("quantization_config"):
        raise WeightsError(f"{name}: quantised weights (config.json: quantization_config); take those that are not")
