import numpy as np
import pytest


@pytest.fixture
def photograph() -> np.ndarray:
    """A textured picture, uint8 (60, 80, 3), that does not compress to nothing."""
    generator = np.random.default_rng(3)
    ramp = np.linspace(0, 200, 80)[None, :, None] + np.linspace(0, 40, 60)[:, None, None]
    return (ramp + generator.integers(0, 16, (60, 80, 3))).clip(0, 255).astype(np.uint8)
