"""A network for more words and categories that begins with what a trained one knows."""

from __future__ import annotations

import torch
from torch import Tensor

from segagent.core import InputError
from segagent.policies.embedded.kinds import Kinds
from segagent.policies.embedded.network import Architecture, PolicyNetwork
from segagent.policies.embedded.objects import EMBEDDING
from segagent.vision.sight import Sight

_PROJECTION = "grounding.project.0.weight"
_EMBEDDING = "grounding.text.embedding.weight"


def grown(old: PolicyNetwork, architecture: Architecture, sight: Sight | None = None) -> PolicyNetwork:
    """A new network of ``architecture``, seeing with ``sight``, with all weights of ``old``; what is new starts as in
    an untrained one: without a sight of its own ``old`` has no detector for it either. Its process reward model is left
    out: that judges by what the others have become; so are ImageNet's kinds of things where ``sight`` is another than
    that of ``old``.

    Classes of ``old`` come first in each table of ``architecture``. A new category counts for nothing in the
    grounding until that learns about it. Raises ``InputError`` where words or classes of ``old`` would be lost.
    """
    if not set(old.architecture.words) <= set(architecture.words):
        raise InputError("the weights to start from know words that this training does not have")
    before, after = old.architecture.num_classes, architecture.num_classes
    if any(b > a for b, a in zip(before, after, strict=True)):
        raise InputError("the weights to start from tell more classes apart than this training has")
    network = PolicyNetwork(architecture, sight)
    network.absent_above = old.absent_above
    if old.kinds is not None and sight is not None and old.sight is not None:
        network.kinds = Kinds() if sight.fingerprint == old.sight.fingerprint else None
    state = network.state_dict()
    for name, value in old.state_dict().items():
        if name.startswith("detector.") and (old.sight is None) != (sight is None):
            continue
        if name.startswith("prm.") or (name.startswith("kinds.") and network.kinds is None):
            continue
        if name == _PROJECTION:
            state[name] = _projection(value, before, after)
        elif name == _EMBEDDING:
            rows = [0, 1, *(network.vocabulary.encode(word)[0] for word in old.vocabulary.words)]
            state[name][torch.tensor(rows)] = value
        elif name.startswith("encoder.heads."):
            state[name][: len(value)] = value
        else:
            state[name] = value
    network.load_state_dict(state)
    return network.eval()


def _projection(value: Tensor, before: tuple[int, ...], after: tuple[int, ...]) -> Tensor:
    """The weight (WIDTH, EMBEDDING + classes + the rest) with columns of zeros for the new classes."""
    rest = value.shape[1] - EMBEDDING - sum(before)
    parts = torch.split_with_sizes(value, [EMBEDDING, *before, rest], dim=1)
    widths = [EMBEDDING, *after, rest]
    return torch.cat([torch.nn.functional.pad(p, (0, w - p.shape[1])) for p, w in zip(parts, widths, strict=True)], 1)
