"""What every tool, policy and data set owes its callers, as classes of tests for pytest, for yours as for ours.

Derive a class from one of them in a test file and give it the fixture that its docstring names. Needs pytest.
"""

import pytest

# So that a failure shows the values and not only the line.
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in ("datasets", "policies", "tools")))

from segagent.conformance.datasets import DatasetConformance  # noqa: E402
from segagent.conformance.policies import PolicyConformance  # noqa: E402
from segagent.conformance.tools import ToolConformance  # noqa: E402

__all__ = ["DatasetConformance", "PolicyConformance", "ToolConformance"]
