"""Replies on disk, so that what was asked once is never paid for again: not by a resumed run, not by a repeated one."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from contextlib import ExitStack
from pathlib import Path

from segagent.core import InputError, ReplyTokens
from segagent.policies.chat import Reply


def default_cache_folder() -> Path:
    """``$SEGAGENT_CACHE``, else ``segagent`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    given = os.environ.get("SEGAGENT_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segagent"


def cache_key(parts: dict[str, object]) -> str:
    """A name for a question and candidate, from everything that decides the reply."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


class ReplyCache:
    """Replies by key in one SQLite file; several processes and threads may share it. Holds no pictures and no keys.

    Every reply is on disk before it is used, so a killed run has lost nothing that it was told.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "replies.sqlite"
        opened = ExitStack()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
            opened.callback(self._database.close)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            opened.close()
            raise InputError(
                f"{path}: the reply cache cannot be opened ({error}); "
                "give another folder with ?cache=FOLDER, or ?cache=off"
            ) from error
        self._lock = threading.Lock()

    def get(self, key: str) -> Reply | None:
        """The reply stored under ``key``, or None. A damaged entry counts as none, and so does an empty reply: that is
        a failed call, which an earlier version took for an answer.
        """
        with self._lock:
            row = self._database.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            data = json.loads(row[0])
            greedy = data.get("greedy") is not False
            tokens = None if data.get("tokens") is None else ReplyTokens.from_dict(data["tokens"])
            reply = Reply(str(data["text"]), data["log_prob"], bool(data["cut"]), greedy=greedy, tokens=tokens)
            if reply.text.strip() or reply.cut:
                return reply
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        with self._lock:
            self._database.execute("DELETE FROM replies WHERE key = ? AND reply = ?", (key, row[0]))
        return None

    def put(self, key: str, reply: Reply) -> None:
        """Store ``reply`` under ``key``; the first one stored stays."""
        data: dict[str, object] = {"text": reply.text, "log_prob": reply.log_prob, "cut": reply.cut}
        data |= {} if reply.greedy else {"greedy": False}
        data |= {} if reply.tokens is None else {"tokens": reply.tokens.to_dict()}
        value = json.dumps(data)
        with self._lock:
            self._database.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, value))

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._database.close()
