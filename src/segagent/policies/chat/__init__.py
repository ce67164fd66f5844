"""Chat formats: what a vision-language model is told, and what is made of its answer. Knows no model and no server."""

from segagent.core import Usage
from segagent.policies.chat.deciding import INVALID_KINDS
from segagent.policies.chat.families import BY_MODEL_TYPE, FORMATS, format_for_name
from segagent.policies.chat.files import FORMAT_FILE, format_from_dict, format_to_dict, load_format, recorded_format
from segagent.policies.chat.format import ChatFormat, Picture
from segagent.policies.chat.guidelines import read_guidelines
from segagent.policies.chat.policy import ChatModel, ChatPolicy, Question, Reply, ask, read_answer
from segagent.policies.chat.resizing import Fixed, Keep, Multiples, Resize, Within
from segagent.policies.chat.space import Space
from segagent.policies.chat.spec import ChatSpec, chosen_format, parse_spec, refuse_when_tuned

__all__ = [
    "BY_MODEL_TYPE",
    "FORMATS",
    "FORMAT_FILE",
    "INVALID_KINDS",
    "ChatFormat",
    "ChatModel",
    "ChatPolicy",
    "ChatSpec",
    "Fixed",
    "Keep",
    "Multiples",
    "Picture",
    "Question",
    "Reply",
    "Resize",
    "Space",
    "Usage",
    "Within",
    "ask",
    "chosen_format",
    "format_for_name",
    "format_from_dict",
    "format_to_dict",
    "load_format",
    "parse_spec",
    "read_answer",
    "read_guidelines",
    "recorded_format",
    "refuse_when_tuned",
]
