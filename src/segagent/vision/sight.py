"""One encoding per picture, whoever asks: the encoder with its weights, and what it saw last."""

from __future__ import annotations

import hashlib
import threading
from functools import lru_cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import torch

from segagent.core import Image, Pixels, WeightsError
from segagent.core.recent import Recent
from segagent.vision.encoder import Encoder, Pyramid, encoder_input, read_published
from segagent.vision.weights import fill, read_weights, stored, write_weights

SIDE = 256
"""Side of the square that a whole picture is resized to before it is encoded, in pixels."""
FILE = "encoder.safetensors"
_REMEMBERED = 16


class Sight:
    """An encoder ready for answering, and the file it is from. Whole pictures are encoded once each and remembered
    (bounded).
    """

    def __init__(self, encoder: Encoder, path: Path, file_print: str) -> None:
        self.path, self.fingerprint = path, file_print
        self._encoder = encoder.folded().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._seen: Recent[str, Pyramid] = Recent(_REMEMBERED)
        self._lock = threading.Lock()
        self.num_encoded = 0
        """How many pictures and views were encoded so far."""

    def whole(self, image: Image) -> Pyramid:
        """Features (1, channels, SIDE / stride, SIDE / stride) of the whole picture, its aspect ratio given up."""
        return self._seen.made(image.key, lambda: self._encoded(image))

    def _encoded(self, image: Image) -> Pyramid:
        with torch.autocast("cpu", enabled=False):  # What is remembered does not depend on who asked first.
            return self.views(square(image.pixels)[None])

    def on(self, device: torch.device) -> Sight:
        """The same encoder on another device, where its features then are; for trainings."""
        if device.type == "cpu":
            return self
        return Sight(load_encoder(self.path).to(device), self.path, self.fingerprint)

    def views(self, views: Pixels) -> Pyramid:
        """Features of square views, uint8 RGB (n, side, side, 3), ``side`` a multiple of 32."""
        with self._lock:
            self.num_encoded += len(views)
        with torch.no_grad():  # not inference_mode: trainings of what reads the features keep them
            there = torch.from_numpy(views).to(next(self._encoder.parameters()).device)
            pictures = encoder_input(there).contiguous(memory_format=torch.channels_last)
            pyramid: Pyramid = self._encoder(pictures)
            return Pyramid(*(features.float() for features in pyramid))


def square(pixels: Pixels) -> Pixels:
    """Any picture uint8 (height, width, 3) as uint8 (SIDE, SIDE, 3)."""
    shrinks = pixels.shape[0] * pixels.shape[1] > SIDE * SIDE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), (SIDE, SIDE), interpolation=method), np.uint8)


def packaged_encoder() -> Path:
    """Where the encoder's weights that come with the package are."""
    return Path(str(resources.files("segagent"))) / "weights" / FILE


def encoder_beside(weights: Path) -> Path:
    """The encoder that goes with a file of weights: the one in its folder, else the packaged one."""
    own = weights.parent / FILE
    return own if own.is_file() else packaged_encoder()


def sight_of(path: Path) -> Sight:
    """The encoder of ``path``, one for the whole process as long as the file stays the same.

    Raises ``WeightsError`` where it is missing or damaged.
    """
    return _sight_of(path.absolute(), fingerprint(path))


def sight_beside(weights: Path, wanted: str) -> Sight:
    """The encoder that goes with a file of weights. Raises ``WeightsError`` where its fingerprint is not ``wanted``."""
    path = encoder_beside(weights)
    if fingerprint(path) != wanted:
        raise WeightsError(f"{weights}: was trained with another encoder than {path}; keep both files together")
    return sight_of(path)


def sight_for_training(encoder: Path | None, out: Path) -> Sight:
    """What a training in the folder ``out`` sees with: ``encoder`` is a file of published weights (.pth), kept in
    ``out`` as it will be used, or one of :func:`save_encoder`; None the packaged one. Raises ``WeightsError``.
    """
    if encoder is None:
        return sight_of(packaged_encoder())
    if encoder.suffix == ".safetensors":
        sight = sight_of(encoder)
    else:
        network = Encoder()
        network.load_state_dict(read_published(encoder))
        save_encoder(network, out / FILE)
        sight = sight_of(out / FILE)
    keep_beside(sight, out / "tool.safetensors")
    return sight


def keep_beside(sight: Sight, weights: Path) -> None:
    """See to it that :func:`sight_beside` finds ``sight`` for ``weights``: copies its file where need be."""
    found = encoder_beside(weights)
    if not found.is_file() or fingerprint(found) != sight.fingerprint:
        partial = (weights.parent / FILE).with_suffix(".partial")
        partial.write_bytes(sight.path.read_bytes())
        partial.replace(weights.parent / FILE)


@lru_cache(maxsize=4)
def _sight_of(path: Path, file_print: str) -> Sight:
    return Sight(load_encoder(path), path, file_print)


def fingerprint(path: Path) -> str:
    """The first 16 hexadecimal digits of the file's SHA-256. Raises ``WeightsError`` where there is none."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; reinstall, or train one with 'segagent train-embedded tool'")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def save_encoder(encoder: Encoder, path: Path) -> None:
    """Write ``path``: float16 safetensors, running statistics float32; whole or not at all."""
    write_weights({n: v if "running_" in n else v.half() for n, v in stored(encoder).items()}, path)


def load_encoder(path: Path) -> Encoder:
    """The encoder of :func:`save_encoder`, float32. Raises ``WeightsError``."""
    encoder = Encoder()
    fill(encoder, read_weights(path), path)
    return encoder
