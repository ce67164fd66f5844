"""Pickle files read as plain data: lists, dictionaries, text and numbers. Nothing else exists here, so nothing can run.

The interpreter below has no instruction that looks up a name, builds an object or calls something: those of the
standard library's pure Python unpickler are left out of its table, so a file that holds one is refused when it is met.
Tuples become lists, and only text and numbers may be keys; so a small file cannot ask for endless hashing. (The
library's C unpickler is not used because a hostile memo number alone makes it take gigabytes.)
"""

from __future__ import annotations

import io
import pickle
from typing import Any, ClassVar

_PLAIN = [
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1",
    "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_LIST", "APPEND", "APPENDS", "LIST", "EMPTY_DICT", "DICT",
    "SETITEM", "SETITEMS", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET", "MEMOIZE",
]  # fmt: skip
_TUPLES = ("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_KEYS = (str, int, float, bool, type(None))

_python: Any = pickle._Unpickler


def _code(name: str) -> int:
    instruction: bytes = getattr(pickle, name)
    return instruction[0]


def _short_tuple(size: int) -> Any:
    def load(self: Any) -> None:
        if len(self.stack) < size:
            raise ValueError("a tuple of more values than there are")
        values = self.stack[len(self.stack) - size :]
        del self.stack[len(self.stack) - size :]
        self.append(values)

    return load


def _marked_tuple(self: Any) -> None:
    values = self.pop_mark()
    self.append(values)


def _checked(load: Any, offset: int) -> Any:
    """A dictionary instruction that looks at its keys first; they lie two apart, from ``offset`` in the stack on."""

    def checked(self: Any) -> None:
        if not all(isinstance(key, _KEYS) for key in self.stack[offset::2]):
            raise ValueError("a dictionary key that is neither text nor a number")
        load(self)

    return checked


class _PlainUnpickler(_python):  # type: ignore[misc]
    dispatch: ClassVar[dict[int, Any]] = {
        **{_code(name): _python.dispatch[_code(name)] for name in _PLAIN},
        **{_code(name): _short_tuple(size) for name, size in zip(_TUPLES, (0, 0, 1, 2, 3), strict=True)},
        _code("TUPLE"): _marked_tuple,
        _code("SETITEM"): _checked(_python.dispatch[_code("SETITEM")], -2),
        _code("SETITEMS"): _checked(_python.dispatch[_code("SETITEMS")], 0),
        _code("DICT"): _checked(_python.dispatch[_code("DICT")], 0),
    }

    def _decode_string(self, value: bytes) -> str:
        # Python 2's text in bytes, of which the file does not say in which encoding it is. What is no UTF-8 was
        # written by a Western program of that time; the few bytes that Windows-1252 lacks end the reading.
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("cp1252")

    def find_class(self, module: str, name: str) -> Any:
        """Never reached; refuses in any case."""
        raise ValueError("a name to look up")

    def persistent_load(self, pid: Any) -> Any:
        """Never reached; refuses in any case."""
        raise ValueError("a reference to something outside")


def load_plain_pickle(content: bytes) -> Any:
    """The plain data in a pickle of any protocol. Raises ``ValueError`` for anything else.

    Python 2's byte strings are read as UTF-8 or, where they are none, as Windows-1252, which has Latin-1's letters.
    """
    try:
        return _PlainUnpickler(io.BytesIO(content)).load()
    except UnicodeDecodeError as error:
        raise ValueError(f"text that is neither UTF-8 nor Windows-1252: {error.object[:60]!r}") from error
    except KeyError as error:
        raise ValueError(
            "the pickle holds more than plain lists, dictionaries, text and numbers "
            f"(instruction {error}); it was not run"
        ) from error
    except Exception as error:
        # Whatever a mutated instruction stream does to the interpreter's stack, the answer is the same.
        detail = " ".join(str(error).split())[:80] or type(error).__name__
        raise ValueError(f"damaged, or not a pickle of plain data ({detail})") from error
