"""Answers in ASCII: texts of a data set may hold what has no UTF-8."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse


class Ascii(JSONResponse):
    """JSON in ASCII, without numbers that JSON does not know."""

    def render(self, content: Any) -> bytes:
        """See starlette."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
