"""The language model of Qwen-VL with its pictures: Qwen2's shape with the first Qwen's names and two things of its own.

Prompts longer than ``seq_length`` tokens are rotated with a larger base (dynamic NTK), and queries behind that place
are scaled by the logarithm of their position (log-n attention); both at inference only.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm, eager_attention_forward, rotate_half

from segagent.policies.hf.qwen_vl.config import QWenConfig
from segagent.policies.hf.qwen_vl.vision import VisionTransformer


class QWenAttention(nn.Module):
    """Causal self-attention; query, key and value come of one projection, one behind the other."""

    def __init__(self, config: QWenConfig, layer: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.config = config
        self.layer_idx = layer
        self.head_dim = width // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        # Read by the library's attention functions.
        self.num_key_value_groups = 1
        self.is_causal = True
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width, bias=not config.no_bias)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], scale: Tensor | None, mask: Any, cache: Any
    ) -> Tensor:
        """(rows, tokens, width) to the same. ``scale``: of each query, (rows, 1, tokens, 1), where there is one."""
        parts = self.c_attn(x).unflatten(-1, (3, -1, self.head_dim)).transpose(1, 3)
        query, key, value = parts.unbind(dim=2)
        query, key = _rotated(query, *rotation), _rotated(key, *rotation)
        if cache is not None:
            key, value = cache.update(key, value, self.layer_idx)
        if scale is not None:
            query = query * scale.to(query.dtype)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        seen, _ = attend(self, query, key, value, mask, dropout=0.0, scaling=self.scaling)
        result: Tensor = self.c_proj(seen.flatten(2))
        return result


class QWenMLP(nn.Module):
    """A gated layer: ``w2`` is the gate."""

    def __init__(self, config: QWenConfig) -> None:
        super().__init__()
        inner, bias = config.intermediate_size // 2, not config.no_bias
        self.w1 = nn.Linear(config.hidden_size, inner, bias=bias)
        self.w2 = nn.Linear(config.hidden_size, inner, bias=bias)
        self.c_proj = nn.Linear(inner, config.hidden_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, width) to the same."""
        result: Tensor = self.c_proj(self.w1(x) * silu(self.w2(x)))
        return result


class QWenBlock(GradientCheckpointingLayer):  # type: ignore[misc]
    """Attention and gated layer, each behind a norm and beside a shortcut."""

    def __init__(self, config: QWenConfig, layer: int) -> None:
        super().__init__()
        self.ln_1 = Qwen2RMSNorm(config.hidden_size, config.layer_norm_epsilon)
        self.attn = QWenAttention(config, layer)
        self.ln_2 = Qwen2RMSNorm(config.hidden_size, config.layer_norm_epsilon)
        self.mlp = QWenMLP(config)

    def forward(self, x: Tensor, *around: Any) -> Tensor:
        """See :class:`QWenAttention`."""
        x = x + self.attn(self.ln_1(x), *around)
        result: Tensor = x + self.mlp(self.ln_2(x))
        return result


class QWenPreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    """What transformers needs to know of both classes below."""

    config_class = QWenConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True
    _no_split_modules = ("QWenBlock", "VisualAttentionBlock")
    _skip_keys_device_placement = ("past_key_values",)
    _supports_sdpa = True
    _supports_flash_attn = True


class QWenModel(QWenPreTrainedModel):
    """All but the last projection."""

    def __init__(self, config: QWenConfig) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.hidden_size)
        self.h = nn.ModuleList(QWenBlock(config, layer) for layer in range(config.num_hidden_layers))
        self.ln_f = Qwen2RMSNorm(config.hidden_size, config.layer_norm_epsilon)
        self.visual = VisionTransformer(config.visual)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """See transformers."""
        return self.wte

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """See transformers."""
        self.wte = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        use_cache: bool | None = None,
    ) -> BaseModelOutputWithPast:
        """Token ids (rows, tokens) and the pictures that they speak of, in order, (pictures, 3, side, side)."""
        x = self.wte(input_ids) if inputs_embeds is None else inputs_embeds
        if pixel_values is not None:
            x = self._with_pictures(x, input_ids, pixel_values)
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        past = 0 if past_key_values is None else past_key_values.get_seq_length()
        if position_ids is None:
            if attention_mask is not None and attention_mask.dim() == 2:
                position_ids = (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -x.shape[1] :]
            else:
                position_ids = torch.arange(past, past + x.shape[1], device=x.device).expand(len(x), -1)
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=x,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
        )
        stretched = self._stretching(position_ids, past_key_values if past else None)
        if past_key_values is not None and not past:
            past_key_values.stretched = stretched  # Keys that are to come must be rotated as those that it holds.
        rotation = self._rotation(position_ids, stretched)
        scale = self._query_scale(position_ids)
        for block in self.h:
            x = block(x, rotation, scale, mask, past_key_values)
        return BaseModelOutputWithPast(
            last_hidden_state=self.ln_f(x), past_key_values=past_key_values if use_cache else None
        )

    def _with_pictures(self, x: Tensor, input_ids: Tensor | None, pixels: Tensor) -> Tensor:
        if input_ids is None:
            raise ValueError("pictures need the token ids that say where they stand")
        seen = self.visual(pixels).to(x.dtype)
        places = input_ids == self.config.visual["image_start_id"] + 2
        if int(places.sum()) != seen.shape[0] * seen.shape[1]:
            raise ValueError(f"{int(places.sum())} places in the text for {len(seen)} pictures of {seen.shape[1]}")
        return x.masked_scatter(places[..., None], seen)

    def _stretching(self, position_ids: Tensor, filled: Any) -> Tensor:
        """What a row's base is stretched by, (rows, 1): 1 up to ``seq_length`` tokens of prompt, 3 up to twice that."""
        if filled is not None:
            known: Tensor = filled.stretched
            return known
        factors = [1.0] * len(position_ids)
        if self.config.use_dynamic_ntk and not self.training and position_ids.shape[1] > self.config.seq_length:
            lengths = (position_ids.amax(dim=1) + 1).tolist()
            doublings = [math.ceil(math.log2(length / self.config.seq_length)) for length in lengths]
            factors = [float(max(2 ** (number + 1) - 1, 1)) for number in doublings]
        return torch.tensor(factors, device=position_ids.device)[:, None]

    def _rotation(self, position_ids: Tensor, stretched: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine, each (rows, 1, tokens, width of a head), float32."""
        width = self.config.hidden_size // self.config.num_attention_heads
        base = self.config.rotary_emb_base * stretched ** (width / (width - 2))
        rates = 1.0 / base ** (torch.arange(0, width, 2, device=base.device).float() / width)
        angles = (position_ids[..., None].float() * rates[:, None]).repeat(1, 1, 2)[:, None]
        return angles.cos(), angles.sin()

    def _query_scale(self, position_ids: Tensor) -> Tensor | None:
        if not self.config.use_logn_attn or self.training:
            return None
        scale = (position_ids + 1).float().log() / math.log(self.config.seq_length)
        return scale.clamp(min=1)[:, None, :, None]


class QWenLMHeadModel(QWenPreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """The whole model, under the name by which ``config.json`` calls it."""

    def __init__(self, config: QWenConfig) -> None:
        super().__init__(config)
        self.transformer = QWenModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """See transformers."""
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        use_cache: bool | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int = 0,
        return_dict: bool = True,
    ) -> CausalLMOutputWithPast:
        """See :class:`QWenModel`; ``logits_to_keep``: of the last so many tokens, 0 for all; ``labels`` make a loss."""
        del return_dict  # Always one of the library's outputs.
        seen = self.transformer(
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, pixel_values, use_cache
        )
        logits = self.lm_head(seen.last_hidden_state[:, -logits_to_keep:])
        loss = None if labels is None else ForCausalLMLoss(logits, labels, self.config.vocab_size)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=seen.past_key_values)


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turned in float32, whatever ``x`` is kept in."""
    wide = x.float()
    turned: Tensor = wide * cosine + rotate_half(wide) * sine
    return turned.to(x.dtype)
