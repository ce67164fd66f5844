import pickle
import threading
from functools import partial

from segagent.core.recent import Recent


def test_least_recently_used_goes_first() -> None:
    recent: Recent[str, bytes] = Recent(10, len)
    for key, size in (("a", 4), ("b", 4)):
        recent.put(key, bytes(size))
    assert recent.get("a") is not None
    recent.put("c", bytes(5))
    assert recent.get("b") is None
    assert recent.get("a") is not None
    assert (len(recent), recent.total) == (2, 9)


def test_too_large_values_are_not_kept() -> None:
    recent: Recent[str, bytes] = Recent(10, len)
    recent.put("a", bytes(4))
    recent.put("b", bytes(11))
    assert recent.get("b") is None
    assert recent.total == 4
    recent.put("a", bytes(11))
    assert (len(recent), recent.total) == (0, 0)


def test_made_once_while_it_is_kept() -> None:
    recent: Recent[int, str] = Recent(2)
    made: list[int] = []

    def make(key: int) -> str:
        made.append(key)
        return str(key)

    for key in (1, 2, 1, 3, 1, 2):
        assert recent.made(key, partial(make, key)) == str(key)
    assert made == [1, 2, 3, 2]
    assert len(recent) == 2


def test_a_copy_begins_empty() -> None:
    recent: Recent[str, bytes] = Recent(5, len)
    recent.put("a", b"xyz")
    again = pickle.loads(pickle.dumps(recent))
    assert (len(again), again.total) == (0, 0)
    again.put("b", bytes(6))
    assert again.get("b") is None


def test_many_threads_keep_count() -> None:
    recent: Recent[int, bytes] = Recent(50, len)

    def work(seed: int) -> None:
        for step in range(300):
            key = (seed * 7 + step * 5) % 23
            assert len(recent.made(key, partial(bytes, key))) == key

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [value for key in range(23) if (value := recent.get(key)) is not None]
    assert recent.total == sum(map(len, kept)) <= 50
