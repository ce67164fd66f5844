"""The byte-pair vocabulary of the first Qwen, ``qwen.tiktoken``, as a tokenizer of the tokenizers library."""

from __future__ import annotations

import base64
import binascii

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

from segagent.core import WeightsError

PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""What is merged within: words with the letter before them, single digits, marks, line ends, spaces."""

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
IMAGE_START, IMAGE_END, IMAGE_PAD = "<img>", "</img>", "<imgpad>"
_SPECIAL = (
    *(END_OF_TEXT, TURN_START, TURN_END),
    *(f"<|extra_{number}|>" for number in range(205)),
    *("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>"),
    *(IMAGE_START, IMAGE_END, IMAGE_PAD),
)
"""In the order of their ids, which go on where those of the vocabulary end."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% set seen = namespace(pictures=0) %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{% set seen.pictures = seen.pictures + 1 %}"
    "Picture {{ seen.pictures }}: <img></img>\n"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The published code's turns (its ``make_context`` and ``from_list_format``); a picture is an empty ``<img></img>``."""


def make_tokenizer(vocabulary: bytes, source: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a ``qwen.tiktoken``, given as the file's content.

    Raises ``WeightsError`` naming ``source`` and the line where that is no such vocabulary.
    """
    ranks = _ranks(vocabulary, source)
    tokenizer: Tokenizer = _Converter(ranks).tokenizer()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in _SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=8192,
        padding_side="left",
    )


class _Converter(TikTokenConverter):  # type: ignore[misc]
    """The library's way from ranks to merges, with ranks that were read already."""

    def __init__(self, ranks: dict[bytes, int]) -> None:
        super().__init__(pattern=PIECES)
        self._ranks = ranks

    def load_tiktoken_bpe(self, tiktoken_url: str | None) -> dict[bytes, int]:
        """The ranks; see the base class."""
        del tiktoken_url
        return self._ranks


def _ranks(vocabulary: bytes, source: str) -> dict[bytes, int]:
    """Each token's bytes and id; ids go from 0 on without a gap."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(vocabulary.splitlines(), 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise WeightsError(
                f"{source}: line {number}: {line[:60]!r}; expected a token in base64 and its number"
            ) from error
    single = all(bytes([byte]) in ranks for byte in range(256))
    if not single or sorted(ranks.values()) != list(range(len(ranks))):
        raise WeightsError(
            f"{source}: not a whole vocabulary; expected every single byte among the tokens, and tokens numbered "
            f"from 0 on without a gap (it has {len(ranks)} tokens)"
        )
    return ranks
