"""Which of the found objects a sentence means: words attend to words, objects to objects and to words.

Objects are few, so this is small; sentences of one picture share its objects. Relations between two objects
(who is left of whom, nearer, larger) enter the attention between them, weighed by what the sentence asks for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.policies.embedded.objects import EMBEDDING, NUM_GEOMETRY
from segagent.policies.embedded.tokens import MAX_WORDS, PADDING

WIDTH = 128
_HEADS = 4
_PAIR_FEATURES = 14
_PAIR_WIDTH = 16


class Words(NamedTuple):
    """An encoded batch of sentences: ``states`` (batch, 1 + words, WIDTH), the first being the whole
    sentence's; ``valid`` bool (batch, 1 + words); ``numbers`` (batch, words) of the words. ``kinds``: of a single
    sentence, the kinds of things that its noun stands for, if any, and whether that noun was ``taught``.
    """

    states: Tensor
    valid: Tensor
    numbers: Tensor
    kinds: tuple[int, ...] = ()
    taught: bool = False


class Grounded(NamedTuple):
    """``logits`` (batch, 1 + objects): how well each object fits, entry 0 meaning none of them. ``candidates``
    the same for the noun phrase alone, ``anchors`` for the other object of a relation. ``hidden`` (batch, 1 +
    objects, WIDTH). ``absent`` (batch,): logit of nothing in the picture being meant, whether it was found or not.
    """

    logits: Tensor
    candidates: Tensor
    anchors: Tensor
    hidden: Tensor

    @property
    def absent(self) -> Tensor:
        """See the class; it takes the place of a candidate that is none of the objects."""
        return self.candidates[:, 0]


class _Attention(nn.Module):
    """Multi-head attention as plain matrix products, with an additive bias."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key_value = nn.Linear(WIDTH, 2 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, context: Tensor, bias: Tensor) -> Tensor:
        """x (b, n, WIDTH), context (b, m, WIDTH), bias broadcastable to (b, heads, n, m) -> (b, n, WIDTH)."""
        batch, num, _ = x.shape
        query = self.query(x).view(batch, num, _HEADS, -1).transpose(1, 2)
        key, value = self.key_value(context).view(batch, context.shape[1], 2 * _HEADS, -1).transpose(1, 2).chunk(2, 1)
        weights = (query @ key.transpose(2, 3) * (WIDTH // _HEADS) ** -0.5 + bias).softmax(-1)
        mixed: Tensor = self.out((weights.to(value.dtype) @ value).transpose(1, 2).reshape(batch, num, WIDTH))
        return mixed


def _feed_forward() -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))


class _WordLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm_attention, self.norm_feed = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.feed = _Attention(), _feed_forward()

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        y = self.norm_attention(x)
        x = x + self.attention(y, y, bias)
        z: Tensor = x + self.feed(self.norm_feed(x))
        return z


class TextEncoder(nn.Module):
    """Word numbers (batch, words), ``PADDING`` where a sentence is over -> :class:`Words`."""

    def __init__(self, num_words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_words, WIDTH, padding_idx=PADDING)
        self.positions = nn.Parameter(torch.randn(MAX_WORDS + 1, WIDTH) * 0.02)
        self.sentence = nn.Parameter(torch.randn(WIDTH) * 0.02)
        self.layers = nn.ModuleList(_WordLayer() for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, numbers: Tensor) -> Words:
        """See the class."""
        batch, num = numbers.shape
        first = self.sentence.expand(batch, 1, WIDTH)
        x = torch.cat((first, self.embedding(numbers)), 1) + self.positions[: num + 1]
        valid = functional.pad(numbers != PADDING, (1, 0), value=True)
        bias = _mask_bias(valid)
        for layer in self.layers:
            x = layer(x, bias)
        return Words(self.norm(x).float(), valid, numbers)


def _mask_bias(valid: Tensor) -> Tensor:
    """(b, m) bool -> additive bias (b, 1, 1, m)."""
    return torch.where(valid, 0.0, -1e4)[:, None, None, :]


def pair_features(geometry: Tensor) -> Tensor:
    """How each object lies to each other one: (b, n, NUM_GEOMETRY) -> (b, n, n, 14); entry [i, j] speaks of j
    seen from i.
    """
    g = geometry
    dx = g[:, None, :, 0] - g[:, :, None, 0]
    dy = g[:, None, :, 1] - g[:, :, None, 1]
    gap_x = torch.maximum(g[:, None, :, 2] - g[:, :, None, 4], g[:, :, None, 2] - g[:, None, :, 4])
    gap_y = torch.maximum(g[:, None, :, 3] - g[:, :, None, 5], g[:, :, None, 3] - g[:, None, :, 5])
    gap = torch.hypot(gap_x.clamp(min=0), gap_y.clamp(min=0))
    larger = g[:, None, :, 8] - g[:, :, None, 8]
    longer = g[:, None, :, 9] - g[:, :, None, 9]
    features = (
        dx, dy, dx.abs(), dy.abs(), torch.hypot(dx, dy), torch.tanh(dx * 12), torch.tanh(dy * 12), gap_x, gap_y,
        gap, torch.exp(-gap * 8), larger, torch.tanh(larger * 12), longer,
    )  # fmt: skip
    return torch.stack(features, -1)


class _ObjectLayer(nn.Module):
    """Objects look at objects under the relation the sentence asks for, then at the words."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_objects, self.norm_words, self.norm_feed = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.objects, self.words, self.feed = _Attention(), _Attention(), _feed_forward()
        self.asked = nn.Linear(WIDTH, _HEADS * _PAIR_WIDTH)
        self.seen = nn.Linear(_PAIR_WIDTH, WIDTH)

    def forward(self, x: Tensor, words: Words, pairs: Tensor, bias: Tensor) -> Tensor:
        x = x + self.words(self.norm_words(x), words.states.to(x.dtype), _mask_bias(words.valid))
        y = self.norm_objects(x)
        asked = self.asked(y).view(*y.shape[:2], _HEADS, _PAIR_WIDTH)
        relation = torch.einsum("bnhp,bnmp->bhnm", asked, pairs.to(asked.dtype))
        x = x + self.objects(y, y, relation + bias)
        # What an object sees of the others' places, gathered under the same relation.
        weights = (relation + bias).softmax(-1).to(pairs.dtype).mean(1)
        x = x + self.seen(torch.einsum("bnm,bnmp->bnp", weights, pairs).to(x.dtype))
        z: Tensor = x + self.feed(self.norm_feed(x))
        return z


def _look(num_seen: int) -> nn.Sequential:
    last = nn.Linear(WIDTH, WIDTH)
    nn.init.zeros_(last.weight)  # what is known without it stays as it is at first
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.LayerNorm(num_seen), nn.Dropout(0.3), nn.Linear(num_seen, WIDTH), nn.GELU(), nn.Dropout(0.3), last
    )


class Grounding(nn.Module):
    """Sentences against objects; see :meth:`forward`.

    With ``num_seen`` it reads so many features of the encoder besides each object's token: the token is made to tell
    categories, colours and sizes apart, the encoder also sees what no category names.
    """

    def __init__(self, num_words: int, num_attributes: int, num_seen: int = 0) -> None:
        super().__init__()
        self.text = TextEncoder(num_words)
        self.project = nn.Sequential(
            nn.Linear(EMBEDDING + num_attributes + NUM_GEOMETRY + 1, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)
        )
        self.num_seen = num_seen
        self.look = _look(num_seen) if num_seen else None
        self.nothing = nn.Parameter(torch.randn(WIDTH) * 0.02)
        self.is_mask = nn.Parameter(torch.zeros(WIDTH))
        self.pairs = nn.Sequential(nn.Linear(_PAIR_FEATURES, 32), nn.GELU(), nn.Linear(32, _PAIR_WIDTH))
        self.early = nn.ModuleList(_ObjectLayer() for _ in range(2))
        self.late = nn.ModuleList(_ObjectLayer() for _ in range(2))
        self.auxiliary = nn.Linear(WIDTH, 2)
        self.norm = nn.LayerNorm(WIDTH)
        self.score = nn.Linear(WIDTH, 1)

    def forward(
        self,
        words: Words,
        tokens: Tensor,
        geometry: Tensor,
        certainty: Tensor,
        valid: Tensor,
        *,
        mask_last: bool = False,
    ) -> Grounded:
        """Score every object under every sentence.

        Args:
            words: encoded sentences, batch b.
            tokens: what the objects look like, (b, n, EMBEDDING + attributes + num_seen).
            geometry: where they lie, (b, n, NUM_GEOMETRY).
            certainty: how sure the detector is that they are objects, (b, n) in 0..1.
            valid: bool (b, n), False where the place is padding.
            mask_last: whether the last object is no found object but the current mask: the others do not see it.
        """
        known, seen = torch.split_with_sizes(tokens, (tokens.shape[-1] - self.num_seen, self.num_seen), -1)
        x = self.project(torch.cat((known, geometry, certainty[..., None]), -1))
        if self.look is not None:
            x = x + self.look(seen)
        if mask_last:
            x = torch.cat((x[:, :-1], x[:, -1:] + self.is_mask), 1)
        x = torch.cat((self.nothing.expand(x.shape[0], 1, WIDTH).to(x.dtype), x), 1)
        valid = functional.pad(valid, (1, 0), value=True)
        bias = _mask_bias(valid)
        if mask_last:
            bias = bias.repeat(1, 1, x.shape[1], 1)
            bias[:, :, :-1, -1] = -1e4
        pairs = self.pairs(pair_features(functional.pad(geometry, (0, 0, 1, 0), value=0.5)))
        for layer in self.early:
            x = layer(x, words, pairs, bias)
        auxiliary = self.auxiliary(x).float()
        for layer in self.late:
            x = layer(x, words, pairs, bias)
        hidden = self.norm(x).float()
        floor = torch.where(valid, 0.0, -1e4)
        return Grounded(
            self.score(hidden)[..., 0] + floor, auxiliary[..., 0] + floor, auxiliary[..., 1] + floor, hidden
        )
