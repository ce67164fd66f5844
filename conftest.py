"""Settings of all tests, and a browser for those of pages."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, nothing about the code. The gate asks the same examples
# every time, so that it says something about a change; everywhere else new ones are drawn.
settings.register_profile(
    "timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("timeless")


def pytest_configure() -> None:
    """Refuse files directly below tests/: pytest would put it on the path, where tests/datasets shadows a library."""
    stray = sorted(path.name for path in (Path(__file__).parent / "tests").glob("*.py"))
    if stray:
        raise pytest.UsageError(f"tests/{stray[0]}: put it into a folder below tests/, see conftest.py")


CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")  # While it is there, its event loop is, and no other can run.
def chromium() -> Iterator[Any]:
    """Chromium, driven by Playwright; tests that need it are skipped where either is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra 'dev'")
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()
