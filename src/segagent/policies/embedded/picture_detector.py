"""The detector of the first embedded policies, which had convolutions of its own instead of the shared encoder."""

from __future__ import annotations

from torch import Tensor, nn

from segagent.policies.embedded.detector import KERNEL_LENGTH, MASK_CHANNELS, ConvNorm, Features, Residual, upsampled


class PictureDetector(nn.Module):
    """Pictures (batch, 3, S, S), RGB scaled to about -1..1, S a multiple of 32 -> :class:`Features`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, 2)
        self.stage4 = nn.Sequential(ConvNorm(32, 32, 2), Residual(32))
        self.stage8 = nn.Sequential(ConvNorm(32, 64, 2), Residual(64), Residual(64))
        self.stage16 = nn.Sequential(ConvNorm(64, 128, 2), Residual(128), Residual(128))
        self.stage32 = nn.Sequential(ConvNorm(128, 128, 2), Residual(128))
        self.merge16 = ConvNorm(128, 128)
        self.narrow16 = nn.Conv2d(128, 64, 1)
        self.merge8 = ConvNorm(64, 64)
        self.narrow8 = nn.Conv2d(64, 32, 1)
        self.merge4 = ConvNorm(32, 32)
        self.centre_head = nn.Sequential(ConvNorm(64, 64), nn.Conv2d(64, 1, 1))
        self.kernel_head = nn.Sequential(ConvNorm(64, 64), nn.Conv2d(64, KERNEL_LENGTH, 1))
        self.mask_head = nn.Sequential(ConvNorm(32, 32), nn.Conv2d(32, MASK_CHANNELS, 1))

    def forward(self, pictures: Tensor) -> Features:
        """See the class."""
        x4 = self.stage4(self.stem(pictures))
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        x16 = self.merge16(x16 + upsampled(self.stage32(x16)))
        x8 = self.merge8(x8 + upsampled(self.narrow16(x16)))
        x4 = self.merge4(x4 + upsampled(self.narrow8(x8)))
        return Features(self.centre_head(x8)[:, 0], self.kernel_head(x8), self.mask_head(x4))
