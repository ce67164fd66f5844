"""The chat formats of known model families. The sources of each convention are in ``docs/chat-formats.md``."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from segagent.policies.chat import templates
from segagent.policies.chat.format import ChatFormat
from segagent.policies.chat.resizing import Fixed, Multiples, Within
from segagent.policies.chat.space import Space

PAPER_UNIT = ChatFormat("paper-unit", Space(1, decimals=3), iou_style="either")
PAPER = ChatFormat("paper", Space(1000), iou_style="either")
SEGAGENT_QWEN = ChatFormat(
    "segagent-qwen",
    Space(1000, axes="yx", box_axes="xy", nearest=True),
    iou_style="either",
    iou_word="Current mIoU",
    template=templates.PUBLISHED,
    quoting="bare",
)


def _zero_shot(name: str, space: Space, resize: Multiples | Within | Fixed | None = None) -> ChatFormat:
    fmt = ChatFormat(name, space, notation="json", iou_style="unit", template=templates.CLICK_JSON)
    return fmt if resize is None else fmt.with_changes(resize=resize)


QWEN25 = _zero_shot("qwen2.5", Space(None), Multiples(28, 56 * 56, 16384 * 28 * 28))
QWEN3 = _zero_shot("qwen3", Space(1000, closed=True))
EGM = replace(QWEN3, name="egm", box_template=templates.EGM_BOX, quoting="bare")
VISIONREASONER = replace(
    QWEN25, name="visionreasoner", resize=Fixed(840, 840), box_template=templates.VISIONREASONER_BOX, quoting="bare"
)
INTERNVL = _zero_shot("internvl", Space(1000, closed=True))
GEMINI = _zero_shot("gemini", Space(1000, axes="yx", closed=True))
MOLMO = ChatFormat("molmo", Space(100, decimals=1, closed=True), notation="point_tag", template=templates.CLICK_TEXT)
CLAUDE = _zero_shot("claude", Space(None), Within(1568, patch=28, max_patches=1568))
GPT = _zero_shot("gpt", Space(None), Within(2048, 768, patch=32, max_patches=1536))
PIXELS = _zero_shot("pixels", Space(None))
WIRE = ChatFormat("segagent", Space(None), template=templates.WIRE, send_clean=True)

FORMATS: MappingProxyType[str, ChatFormat] = MappingProxyType(
    {
        fmt.name: fmt
        for fmt in (
            PAPER_UNIT,
            PAPER,
            SEGAGENT_QWEN,
            QWEN25,
            QWEN3,
            EGM,
            VISIONREASONER,
            INTERNVL,
            GEMINI,
            MOLMO,
            CLAUDE,
            GPT,
            PIXELS,
            WIRE,
        )
    }
)
"""Every format by its name."""

BY_MODEL_TYPE: MappingProxyType[str, str] = MappingProxyType(
    {
        "qwen2_vl": "paper",
        "qwen2_5_vl": "qwen2.5",
        "qwen3_vl": "qwen3",
        "qwen3_vl_moe": "qwen3",
        "qwen3_5": "qwen3",
        "qwen3_5_moe": "qwen3",
        "internvl": "internvl",
        "llava": "paper",
        "llava_next": "paper",
        "molmo": "molmo",
        "qwen": "segagent-qwen",
    }
)
"""The format for a checkpoint's ``config.model_type``, where the family has a convention."""

_BY_NAME_PART = (
    ("segagent-qwen", "segagent-qwen"),
    ("visionreasoner", "visionreasoner"),
    ("egm-", "egm"),
    ("qwen2.5-vl", "qwen2.5"),
    ("qwen2_5_vl", "qwen2.5"),
    ("qwen3", "qwen3"),
    ("internvl", "internvl"),
    ("gemini", "gemini"),
    ("claude", "claude"),
    ("gpt", "gpt"),
    ("molmo-", "molmo"),
    ("llava", "paper"),
    ("segagent", "segagent"),
)


def format_for_name(model: str) -> ChatFormat | None:
    """The format that a served model's name speaks of ("gemini-2.5-pro"), or None where the name tells nothing."""
    lowered = model.lower()
    for part, name in _BY_NAME_PART:
        if part in lowered:
            return FORMATS[name]
    return None
