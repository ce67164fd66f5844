"""Training data for other trainers: what the policy is shown and ought to write, as LLaMA-Factory and TRL read it.

Pictures, prompts and replies come from a chat format, so they are what a policy of that format is shown and what is
read from it at inference. :class:`Conversations` gives TRL the same rows without writing anything.
"""

from segagent.learning.exports.conversations import Conversation, conversation_of, export_format
from segagent.learning.exports.lazy import Conversations
from segagent.learning.exports.llama_factory import read_llama_factory, write_llama_factory
from segagent.learning.exports.published import write_published
from segagent.learning.exports.run import Exported
from segagent.learning.exports.trl import Columns, read_trl, write_trl

__all__ = [
    "Columns",
    "Conversation",
    "Conversations",
    "Exported",
    "conversation_of",
    "export_format",
    "read_llama_factory",
    "read_trl",
    "write_llama_factory",
    "write_published",
    "write_trl",
]
