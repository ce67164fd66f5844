"""The policy that needs nothing downloaded: a small vision-language model that writes its reply token by token."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from segagent.core import BoolMask, Box, Finish, Image, InputError, JudgedOutline, Observation, Proposal, empty_mask
from segagent.core.interfaces import check_asked
from segagent.core.recent import Recent
from segagent.cpu import on_one_thread, precision
from segagent.policies.embedded.apart import write_apart
from segagent.policies.embedded.grounding import Words
from segagent.policies.embedded.network import PolicyNetwork, load_network
from segagent.policies.embedded.perception import Percept, perceive
from segagent.policies.embedded.prm import mean_and_spread
from segagent.policies.embedded.quality import judge_quality, new_outline
from segagent.policies.embedded.reading import (
    Examined,
    Reading,
    SeenMask,
    conclude,
    encoded,
    examine,
    see_mask,
    show,
    understand,
)
from segagent.policies.embedded.state_head import BINS
from segagent.policies.embedded.writing import Written, mean_iou, reply_text, write_greedy, write_sampled
from segagent.policies.overlay import GREEN, Color
from segagent.policies.reply import format_reply, parse_reply

UNSURE_BELOW = 0.5
"""A picture whose surest object is less certain than this is little like what the detector has learnt: none of 250
generated scenes, 22 of 38 photographs held out. It does not tell right answers from wrong ones."""
NONE_ABOVE = 0.5
"""Above this probability of "none of the objects" the sentence is taken not to be about anything seen. It means less
than "no such object": most often the detector has missed what is meant."""


SHIPPED = Path(str(files("segagent") / "weights" / "policy.safetensors"))
"""The weights that come with the package."""


def weights_file(path: str | Path) -> Path:
    """The weights in a model folder, or the file itself."""
    return Path(path) / SHIPPED.name if Path(path).is_dir() else Path(path)


class EmbeddedPolicy:
    """See the module. Pictures and sentences are encoded once each and remembered (bounded)."""

    def __init__(
        self,
        network: PolicyNetwork,
        *,
        iou_decoding: Literal["mean", "sample"] = "mean",
        remembered_images: int = 64,
        remembered_texts: int = 1024,
        name: str = "embedded",
    ) -> None:
        if iou_decoding not in ("mean", "sample"):
            raise InputError(f"iou_decoding is 'mean' or 'sample', not {iou_decoding!r}")
        precision()  # An environment that asks for what there is not is told of here, not once per picture.
        self.network = network.eval()
        self._iou_decoding = iou_decoding
        self._color = GREEN
        self._name = name
        self._percepts: Recent[str, Percept] = Recent(remembered_images)
        self._words: Recent[str, Words] = Recent(remembered_texts)

    @staticmethod
    def load(path: str | Path | None = None) -> EmbeddedPolicy:
        """The shipped model, or that at ``path``, a folder that ``segagent train`` made or a ``.safetensors`` file.

        Raises ``WeightsError`` where its weights cannot be used.
        """
        if path is None:
            return EmbeddedPolicy(load_network(SHIPPED))
        return EmbeddedPolicy(load_network(weights_file(path)), name=f"embedded:{path}")

    @property
    def name(self) -> str:
        """See :class:`segagent.core.Policy`."""
        return self._name

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that the model cannot read as any that it was taught; each is "some word" to it."""
        return self.network.vocabulary.unknown_words(text)

    def shown_in(self, color: Color) -> EmbeddedPolicy:
        """The same model, but the mask is drawn for it in ``color`` (it was trained on green)."""
        other = copy.copy(self)
        other._color = color
        return other

    def best_box(self, observation: Observation) -> Box:
        """The tight box, in pixels of the image, of the object that is most likely meant; the mask plays no part."""
        image = observation.image
        reading = self.read(observation)
        outline = self._percept(image).coverage[int(reading.objects[1:].argmax())].numpy() > 0.5
        if not outline.any():
            return Box(0, 0, image.width, image.height)
        (y0, y1), (x0, x1) = (np.flatnonzero(outline.any(axis))[[0, -1]] for axis in (1, 0))
        down, across = image.height / outline.shape[0], image.width / outline.shape[1]
        left, top = int(x0 * across), int(y0 * down)
        right, bottom = int(np.ceil((x1 + 1) * across)), int(np.ceil((y1 + 1) * down))
        return Box(left, top, min(right, image.width), min(bottom, image.height))

    def outline(self, image: Image, text: str) -> BoolMask:
        """The outline, bool (height, width), of the found object that is most likely meant; no click, no tool. Empty
        where the answer is "no such object".
        """
        look = Observation(image, text, empty_mask(image.height, image.width))
        reading = self.read(look)
        if self._is_absent(reading, look):
            return np.zeros((image.height, image.width), np.bool_)
        coverage = self._percept(image).coverage[int(reading.objects[1:].argmax())].numpy()
        enlarged = cv2.resize(coverage, (image.width, image.height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged > 0.5, np.bool_)

    @property
    def judges_outlines(self) -> bool:
        """Whether the weights have a process reward model; see :class:`segagent.core.OutlineJudge`."""
        return self.network.prm is not None

    @on_one_thread()
    def judge_outline(self, image: Image, mask: BoolMask) -> JudgedOutline | None:
        """How well ``mask`` outlines the thing it lies on; see :class:`segagent.core.OutlineJudge`."""
        network, picture = self.network, self._percept(image).scenery
        if network.prm is None or network.sight is None or picture is None or not mask.any():
            return None
        quality = judge_quality(network.prm.quality, network.sight, picture, mask, self._color)
        expected, _ = mean_and_spread(quality.iou[0].softmax(0))
        return JudgedOutline(float(expected), new_outline(quality, picture, mask))

    @on_one_thread()
    def doubts(self, image: Image, text: str) -> list[str]:
        """What speaks against relying on the model for this picture and sentence: a word that is read as another,
        nothing surely seen, nothing meant.

        How many mistakes this catches, and how many right answers it doubts, is in docs/models.md.
        """
        percept = self._percept(image)
        seen = see_mask(percept, empty_mask(image.height, image.width), self._color)
        with torch.no_grad():
            shown = show(self.network, percept, seen)
            grounded = understand(self.network, percept, self._encoded(text), shown)
        nothing = float(grounded.logits[0, : len(percept.tokens) + 1].softmax(0)[0])
        surest = float(percept.certainty[0])
        found = [f"reads {word!r} as {known!r}" for word, known in self.network.vocabulary.guesses(text)]
        if surest < UNSURE_BELOW:
            found.append(f"sees no object in this picture that it is sure of (at best {surest:.0%})")
        absent, bar = float(grounded.absent[0].sigmoid()), self.network.absent_above
        if bar is not None and absent >= bar:
            found.append(f"takes what is meant not to be in this picture ({absent:.0%})")
        elif nothing > NONE_ABOVE:
            found.append(f"takes none of the objects it sees for what is meant ({nothing:.0%})")
        return found

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`. Observations are read one by one, so no batch changes another's
        reply.
        """
        proposals = []
        for observation, rng in _asked(observations, num_proposals, temperature, seeds):
            reading = self.read(observation)
            if self._is_absent(reading, observation):
                proposals.append([_nothing_to_click(reading)] * num_proposals)
                continue
            greedy = write_greedy(reading)
            written = [greedy]
            for _ in range(num_proposals - 1):
                written.append(
                    write_sampled(reading, rng, temperature, iou_decoding=self._iou_decoding) if temperature else greedy
                )
            proposals.append([_proposal(w, *observation.mask.shape) for w in written])
        return proposals

    def propose_apart(
        self,
        observations: Sequence[Observation],
        num_proposals: int,
        apart: float,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Diverse`."""
        proposals = []
        for observation, rng in _asked(observations, num_proposals, temperature, seeds):
            found = self.examine(observation)
            reading = conclude(self.network, found)
            if self._is_absent(reading, observation):
                proposals.append([_nothing_to_click(reading)])
                continue
            percept = self._percept(observation.image)
            seen = see_mask(percept, observation.mask, self._color)
            written = self._apart(percept, seen, found, reading, num_proposals, apart, rng, temperature)
            proposals.append([_proposal(w, *observation.mask.shape) for w in written])
        return proposals

    @on_one_thread()
    def _apart(self, percept: Percept, seen: SeenMask, *how: Any) -> list[Written]:
        return write_apart(self.network, percept, seen, *how)

    def _is_absent(self, reading: Reading, observation: Observation) -> bool:
        """Whether the answer is "no such object": an empty mask, and nothing to click. A mask that is there stays."""
        bar = self.network.absent_above
        return bar is not None and reading.absent is not None and reading.absent >= bar and not observation.mask.any()

    @on_one_thread()
    def read(self, observation: Observation) -> Reading:
        """The distributions that the reply to ``observation`` is written from."""
        return conclude(self.network, self.examine(observation))

    @on_one_thread()
    def examine(self, observation: Observation) -> Examined:
        """What is found out about ``observation`` before the reply: the parts that its predicted IoU is made of."""
        percept = self._percept(observation.image)
        return examine(self.network, percept, self._encoded(observation.text), observation.mask, self._color)

    def _percept(self, image: Image) -> Percept:
        return self._percepts.made(f"{precision()} {image.key}", lambda: self._perceive(image))

    def _perceive(self, image: Image) -> Percept:
        return perceive(self.network, image)

    def _encoded(self, text: str) -> Words:
        return self._words.made(text, lambda: self._encode(text))

    def _encode(self, text: str) -> Words:
        return encoded(self.network, text)


def _asked(
    observations: Sequence[Observation], num_proposals: int, temperature: float, seeds: Sequence[int] | None
) -> Iterator[tuple[Observation, np.random.Generator]]:
    """Each observation with what its replies are drawn by. Raises ``InputError`` for what cannot be asked."""
    check_asked(observations, num_proposals, temperature, seeds)
    for number, observation in enumerate(observations):
        yield observation, np.random.default_rng(None if seeds is None else (abs(seeds[number]), seeds[number] < 0))


def _nothing_to_click(reading: Reading) -> Proposal:
    predicted = mean_iou(reading.iou) / 100
    return Proposal(Finish(), predicted, None, format_reply(Finish(), predicted))


def _proposal(written: Written, height: int, width: int) -> Proposal:
    text = reply_text(written, height, width, BINS)
    action, predicted = parse_reply(text, height, width)
    return Proposal(action, predicted, written.log_prob, text)
