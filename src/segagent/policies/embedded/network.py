"""The whole embedded model, and its weights on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segagent.core import InputError, WeightsError
from segagent.core.texts import read_json
from segagent.cpu import on_one_thread
from segagent.policies.embedded.detector import Detector
from segagent.policies.embedded.grounding import Grounding
from segagent.policies.embedded.kinds import Kinds
from segagent.policies.embedded.objects import ObjectEncoder
from segagent.policies.embedded.picture_detector import PictureDetector
from segagent.policies.embedded.prm import Prm
from segagent.policies.embedded.redrawing import Redrawer, redrawer_beside
from segagent.policies.embedded.redrawing import keep_beside as keep_click_network_beside
from segagent.policies.embedded.regions import NUM_SEEN
from segagent.policies.embedded.state_head import StateHead
from segagent.policies.embedded.tokens import Vocabulary
from segagent.vision.sight import Sight, keep_beside, sight_beside
from segagent.vision.weights import fill, read_weights, stored, write_weights

ARCHITECTURE = "segagent-embedded-policy/2"
_FIRST = "segagent-embedded-policy/1"
"""Of weights whose detector sees pictures with convolutions of its own, and whose object encoder sees crops alone."""


@dataclass(frozen=True)
class Architecture:
    """What decides the shapes of the weights: the words, how many categories, colours, patterns and sizes, and whether
    ``grounding_sees``: reads the encoder's features of each object beside its token.
    """

    words: tuple[str, ...]
    num_classes: tuple[int, int, int, int]
    grounding_sees: bool = False

    @property
    def vocabulary(self) -> Vocabulary:
        """The words with their numbers."""
        return Vocabulary(self.words)


class PolicyNetwork(nn.Module):
    """All parts side by side; ``perception`` and ``reading`` run them.

    ``sight`` is the encoder that the parts see with, shared with others and no part of the weights; None in a network
    of the first architecture, which has no such encoder. ``absent_above``: from which probability on a sentence is
    answered with "no such object"; None in a network that has not learnt to tell. ``prm`` is trained last, on what all
    others have become; None before that, and where there is no encoder. ``kinds`` tells ImageNet's kinds of things
    apart; None in a network that was trained without. ``redrawer`` sees to better outlines, and is no part of the
    weights either; None in a network that was trained without.
    """

    absent_above: float | None = None
    redrawer: Redrawer | None = None

    def __init__(self, architecture: Architecture, sight: Sight | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        self.vocabulary = architecture.vocabulary
        self.sight = sight
        self.detector: Detector | PictureDetector = PictureDetector() if sight is None else Detector()
        self.encoder = ObjectEncoder(architecture.num_classes, num_seen=0 if sight is None else NUM_SEEN)
        self.grounding = self.new_grounding()
        self.state = StateHead()
        self.prm: Prm | None = None
        self.kinds: Kinds | None = None

    def new_grounding(self) -> Grounding:
        """A grounding for these words and attributes, untrained."""
        num_seen = NUM_SEEN if self.architecture.grounding_sees else 0
        return Grounding(len(self.vocabulary), sum(self.architecture.num_classes), num_seen)


def save_network(path: Path, network: PolicyNetwork, card: Mapping[str, Any]) -> None:
    """Write ``path`` (safetensors, float16; running statistics float32) and beside it ``path`` with suffix
    .json and, where they are not the packaged ones, the encoder and the click network.

    ``card`` says how the weights were made and how good they are; it goes into the JSON file as it is.
    """
    named = {"architecture": _FIRST if network.sight is None else ARCHITECTURE}
    description: dict[str, Any] = dict(named)
    if network.sight is not None:
        description["encoder"] = network.sight.fingerprint
        keep_beside(network.sight, path)
    if network.redrawer is not None:
        description["redrawn_with"] = network.redrawer.fingerprint
        keep_click_network_beside(network.redrawer, path)
    if network.absent_above is not None:
        description["absent_above"] = network.absent_above
    description |= {**asdict(network.architecture), "card": dict(card)}
    path.with_suffix(".json").write_text(json.dumps(description, indent=1) + "\n")
    kept = {n: v if "running_" in n or not v.is_floating_point() else v.half() for n, v in stored(network).items()}
    write_weights(kept, path, named)


@on_one_thread()
def load_network(path: Path) -> PolicyNetwork:
    """The model of :func:`save_network`, in evaluation mode. Raises ``WeightsError`` where it cannot be used."""
    description_path = path.with_suffix(".json")
    if not path.exists() or not description_path.exists():
        raise WeightsError(f"no policy weights at {path}; train them with: segagent train-embedded policy")
    try:
        description = read_json(description_path)
        if description["architecture"] not in (ARCHITECTURE, _FIRST):
            raise WeightsError(f"{path} is of architecture {description['architecture']!r}, expected {ARCHITECTURE!r}")
        sight = None if description["architecture"] == _FIRST else sight_beside(path, str(description["encoder"]))
        first, second, third, fourth = (int(n) for n in description["num_classes"])
        sees = sight is not None and bool(description.get("grounding_sees", False))
        architecture = Architecture(tuple(map(str, description["words"])), (first, second, third, fourth), sees)
        absent_above = None if "absent_above" not in description else float(description["absent_above"])
        redrawn_with = description.get("redrawn_with")
        redrawer = None if redrawn_with is None or sight is None else redrawer_beside(path, str(redrawn_with), sight)
    except (InputError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is damaged: {type(error).__name__} {error}") from error
    tensors = _without_reward_head(read_weights(path), path)
    network = PolicyNetwork(architecture, sight)
    network.absent_above, network.redrawer = absent_above, redrawer
    if any(name.startswith("prm.") for name in tensors):
        own = any(name.startswith("prm.grounding.") for name in tensors)
        network.prm = Prm(network.new_grounding() if own else None)
    if sight is not None and any(name.startswith("kinds.") for name in tensors):
        network.kinds = Kinds()
    fill(network, tensors, path)
    return network.eval().requires_grad_(False)


def _without_reward_head(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Weights of before had a reward head in the place of the process reward model; in most it changed nothing."""
    if any(bool(tensors[name].any()) for name in ("reward.out.weight", "reward.out.bias") if name in tensors):
        raise WeightsError(
            f"{path} has a reward head of an earlier version, which cannot be used; "
            "train the weights again with: segagent train-embedded policy"
        )
    return {name: value for name, value in tensors.items() if not name.startswith("reward.")}
