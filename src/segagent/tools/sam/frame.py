"""Where the pixels of a picture lie in the model's square input, and the ways there and back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import BoolMask, Image
from segagent.tools.sam.families import SamFamily

CERTAIN_LOGIT = 10.0
"""The logit of a pixel inside a mask that came from elsewhere; a pixel outside has minus this."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of ``height`` x ``width`` pixels in a square input of ``side``.

    It is resized to ``resized_height`` x ``resized_width`` and lies in the top left corner; the rest is padding.
    ``keeps_aspect``: see :class:`SamFamily`.
    """

    height: int
    width: int
    side: int
    resized_height: int
    resized_width: int
    keeps_aspect: bool

    @staticmethod
    def of(height: int, width: int, side: int, family: SamFamily) -> Frame:
        """The frame of a picture; sides are rounded half up, as SAM's authors do."""
        if not family.keeps_aspect:
            return Frame(height, width, side, side, side, False)
        scale = side / max(height, width)
        resized_height, resized_width = max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)
        return Frame(height, width, side, resized_height, resized_width, True)

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per picture pixel, (along x, along y)."""
        return self.resized_width / self.width, self.resized_height / self.height

    def pixel_values(self, image: Image, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
        """The model's input, float32 (1, 3, side, side): resized, normalised, padded with 0.

        The same numbers as transformers' processors give: SAM's and SAM-HQ's with their PIL back end, SAM 2's and SAM
        3's, which have none, as torchvision resizes uint8 tensors.
        """
        size = (self.resized_height, self.resized_width)
        if self.keeps_aspect:
            picture = PIL.Image.fromarray(np.asarray(image.pixels))
            shrunk = picture.resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR)
            resized = torch.from_numpy(np.array(shrunk)).permute(2, 0, 1)[None]
        else:
            resized = _shrunk(torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)[None], *size)
        centre, spread = (torch.tensor(values)[:, None, None] for values in (mean, std))
        values = (resized / 255 - centre) / spread
        return functional.pad(values, (0, self.side - size[1], 0, self.side - size[0]))

    def low_logits(self, mask: BoolMask, low_side: int) -> Tensor:
        """A mask (height, width) as the logits the prompt encoder takes, float32 (low_side, low_side).

        Inside is ``CERTAIN_LOGIT``, outside and padding its negative, and a low-resolution pixel that is partly covered
        lies linearly between. This is how SAM 2's code turns given masks into logits.
        """
        inside = torch.from_numpy(mask.astype(np.float32))[None, None]
        if self.keeps_aspect:
            right, bottom = self.side - self.resized_width, self.side - self.resized_height
            inside = functional.pad(_shrunk(inside, self.resized_height, self.resized_width), (0, right, 0, bottom))
        coverage = _shrunk(inside, low_side, low_side)
        return (2 * coverage[0, 0] - 1) * CERTAIN_LOGIT

    def masks(self, low: Tensor) -> npt.NDArray[np.bool_]:
        """Masks bool (n, height, width) of low-resolution logits (n, low, low).

        Where the aspect was kept, logits are interpolated to the input's size and padding is cut off; then they are
        interpolated to the picture's size, as each family's authors do. Above 0 is inside.

        On a CPU it is OpenCV that interpolates, one mask after the other: the same rule at a third of torch's time. A
        logit that is 0 up to the last bits may fall on the other side (about one pixel in a million).
        """
        if low.device.type == "cpu":
            return np.stack([self._upscaled(logits) for logits in low.numpy()])
        logits = low[:, None]
        if self.keeps_aspect:
            logits = _interpolated(logits, self.side, self.side)
            logits = logits[:, :, : self.resized_height, : self.resized_width]
        inside: npt.NDArray[np.bool_] = (_interpolated(logits, self.height, self.width)[:, 0] > 0).cpu().numpy()
        return inside

    def _upscaled(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        if self.keeps_aspect:
            square = cv2.resize(logits, (self.side, self.side), interpolation=cv2.INTER_LINEAR)
            logits = np.asarray(square[: self.resized_height, : self.resized_width], np.float32)
        return np.asarray(cv2.resize(logits, (self.width, self.height), interpolation=cv2.INTER_LINEAR) > 0)


def _interpolated(values: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(values, (height, width), mode="bilinear", align_corners=False)


def _shrunk(values: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(values, (height, width), mode="bilinear", align_corners=False, antialias=True)
