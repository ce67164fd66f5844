"""ImageNet's 1,000 kinds of things: which of them a region is, and which of them a sentence's noun stands for.

What the policy was taught are the categories of its photographs. The network whose first part is its encoder tells
many more kinds apart; its last part, made small, is kept for nouns beyond those categories, and as a second opinion on
the others.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.policies.embedded.grounding import Grounded
from segagent.policies.embedded.lexicon import other_number
from segagent.policies.embedded.regions import CLOSER_ALL, CLOSER_INSIDE
from segagent.policies.embedded.tokens import split_words

NOUNS = Path(str(files("segagent") / "weights" / "nouns.tsv"))
"""One noun, of one word or two, a line and, after a tab, the numbers of its classes with commas between; none where
ImageNet has none."""
NUM_KINDS = 1000
RANK = 128
_INPUTS, _WIDE = 320, 1280
_LEAST = 1e-6


class EightBits(nn.Module):
    """A linear layer whose weights are kept as whole numbers from -127 to 127, with a scale for each output."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(outputs, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.zeros(outputs))
        self.register_buffer("bias", torch.zeros(outputs))

    def set(self, weight: Tensor, bias: Tensor) -> None:
        """Take over ``weight`` (outputs, inputs), rounded, and ``bias`` (outputs,)."""
        scale = weight.abs().amax(1).clamp(min=1e-4) / 127
        self.weight.copy_((weight / scale[:, None]).round())
        self.scale.copy_(scale)
        self.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return functional.linear(x, self.weight.to(x.dtype)) * self.scale + self.bias


class Kinds(nn.Module):
    """What the encoder saw of regions (n, NUM_SEEN) -> log-probabilities (n, NUM_KINDS) of what they are.

    ``trust``: how much they count beside what the policy was taught. ``neutral``: the log-probability that speaks
    neither for nor against a noun.
    """

    trust: Tensor
    neutral: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.squeeze, self.name = (
            EightBits(_INPUTS, _WIDE),
            EightBits(_WIDE, RANK),
            EightBits(RANK, NUM_KINDS),
        )
        self.register_buffer("trust", torch.tensor(0.0))
        self.register_buffer("neutral", torch.tensor(-3.0))

    def wide(self, seen: Tensor) -> Tensor:
        """The features (n, 1280) that the kinds are told by: of the closer look, inside the region and all over."""
        inside, all_over = (functional.relu6(self.widen(seen[:, part])) for part in (CLOSER_INSIDE, CLOSER_ALL))
        return (inside + all_over) / 2

    def forward(self, seen: Tensor) -> Tensor:
        """See the class."""
        return functional.log_softmax(self.name(self.squeeze(self.wide(seen.float()))), 1)

    def evidence(self, kinds: Tensor, asked: tuple[int, ...]) -> Tensor:
        """How much each region (n,) looks like what is asked for, rather than not: added to its logit.

        ``kinds`` (n, NUM_KINDS) as :meth:`forward` gives them. ``asked``: classes; without any nothing is said.
        """
        return self.trust * (chance_of(kinds, asked) - self.neutral) if asked else torch.zeros(len(kinds))


def chance_of(kinds: Tensor, asked: tuple[int, ...]) -> Tensor:
    """The log-probability (n,) that each region is of one of the classes ``asked`` for."""
    return kinds[:, list(asked)].exp().sum(1).clamp(_LEAST, 1).log()


def lean(answer: Grounded, evidence: Tensor, valid: Tensor, taught: Tensor) -> Grounded:
    """``answer`` with the evidence (batch, objects) for each object taken into account; bool ``valid`` (batch,
    objects), ``taught`` (batch,).

    The best of it speaks against nothing being meant. Of a ``taught`` noun it can only speak for that: what else the
    sentence asks for may be missing though a thing of that name is there, and such things the grounding knows itself.
    """
    objects = functional.pad(evidence * valid, (1, 0))
    best = evidence.masked_fill(~valid, -torch.inf).amax(1).nan_to_num(neginf=0.0)
    best = torch.where(taught, best.clamp(max=0), best)
    nothing = functional.pad(best[:, None], (0, answer.candidates.shape[1] - 1))
    return answer._replace(logits=answer.logits + objects, candidates=answer.candidates - nothing)


def save_nouns(path: Path, table: Mapping[str, tuple[int, ...]]) -> None:
    """Write a table as :func:`nouns` reads it, sorted by word."""
    lines = (f"{word}\t{','.join(map(str, classes))}\n" for word, classes in sorted(table.items()))
    path.write_text("".join(lines), encoding="utf-8")


@lru_cache(maxsize=1)
def nouns(path: Path = NOUNS) -> Mapping[str, tuple[int, ...]]:
    """Each noun's classes."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {word: tuple(map(int, filter(None, classes.split(",")))) for word, classes in rows}


class Asked(NamedTuple):
    """The classes of what a sentence is about, empty where ImageNet has none of that name, and where there is no such
    noun; and whether the policy was taught the noun.
    """

    classes: tuple[int, ...]
    taught: bool


def asked_kinds(text: str, known: Container[str], table: Mapping[str, tuple[int, ...]] | None = None) -> Asked:
    """What ``text`` is about: its first noun, of several in a row the last ("church tower"); ``known``: taught."""
    table = nouns() if table is None else table
    words, noun, place = split_words(text), None, 0
    while place < len(words):
        pair, word = " ".join(words[place : place + 2]), words[place]
        named = next((name for name in (pair, word, other_number(word, table)) if name in table), None)
        if named is not None:
            noun = named
        elif noun is not None:
            break
        place += 2 if named == pair else 1
    if noun is None:
        return Asked((), taught=False)
    return Asked(table[noun], all(word in known for word in noun.split()))
