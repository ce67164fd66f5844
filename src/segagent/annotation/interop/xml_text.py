"""Text that may stand in XML: what XML has no place for is exchanged for the replacement character."""

from __future__ import annotations

import re

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """``text`` without control characters and halves of surrogate pairs."""
    return _NO_XML.sub("\ufffd", text)
