"""Rows for TRL that are drawn when they are asked for: nothing is written, and no picture is kept for long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image as PillowImage

from segagent.learning.exports.conversations import Conversation, conversation_of, is_whole
from segagent.learning.exports.trl import Columns, messages_of
from segagent.learning.sft.data import TrainingSet
from segagent.learning.sft.pictures import KeptPictures
from segagent.policies.chat import ChatFormat

_PICTURES_KEPT = 32


class Conversations(Sequence[dict[str, Any]]):
    """The examples of training sets as rows for TRL's ``SFTTrainer``: messages, and ``images`` as Pillow pictures.

    Rows are those that :func:`write_trl` writes, without its column ``segagent``. Examples without a whole reply are
    left out; ``num_left_out`` tells how many. It can be sent to another process, such as a data loader's.

    Args:
        sets: for example of :func:`segagent.learning.sft.load_annotator_set`.
        fmt: the chat format that the model is to be asked in.
        columns: see :data:`Columns`.
    """

    def __init__(self, sets: Sequence[TrainingSet], fmt: ChatFormat, *, columns: Columns = "messages") -> None:
        self._sets = sets
        self._format = fmt
        self._columns: Columns = columns
        self._places = [
            (which, number)
            for which, one in enumerate(sets)
            for number, example in enumerate(one.examples)
            if is_whole(example)
        ]
        self.num_left_out = sum(len(one.examples) for one in sets) - len(self._places)
        self._pictures = KeptPictures([one.dataset for one in sets], _PICTURES_KEPT)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self.row(self.conversation(index))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index in range(len(self)):
            yield self[index]

    def conversation(self, index: int) -> Conversation:
        """The ``index``-th conversation. Raises ``InputError`` naming the picture that cannot be read."""
        which, number = self._places[index]
        example = self._sets[which].examples[number]
        return conversation_of(example, self._pictures.get(which, example.image), self._format)

    def row(self, one: Conversation) -> dict[str, Any]:
        """A conversation as a row."""
        images = [PillowImage.fromarray(pixels) for pixels in one.pictures]
        return {**messages_of(one, self._columns), "images": images}
