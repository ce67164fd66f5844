"""Settings of all tests."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, nothing about the code.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")


def pytest_configure() -> None:
    """Refuse files directly below tests/: pytest would put it on the path, where tests/datasets shadows a library."""
    stray = sorted(path.name for path in (Path(__file__).parent / "tests").glob("*.py"))
    if stray:
        raise pytest.UsageError(f"tests/{stray[0]}: put it into a folder below tests/, see conftest.py")
