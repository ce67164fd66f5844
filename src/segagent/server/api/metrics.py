"""Counts and times of requests, told as Prometheus reads them (text format 0.0.4)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Upper ends of the classes of seconds; above them there is one more."""
KIND = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """See the module. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def took(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request that was answered with ``status``, or broken off by its client (499)."""
        with self._lock:
            self._requests[endpoint, status] += 1
            self._buckets[endpoint][bisect_left(BUCKETS, seconds)] += 1
            self._seconds[endpoint] += seconds

    def text(self, now: Mapping[str, tuple[str, str, float]]) -> str:
        """All that is known. ``now``: kind ("gauge" or "counter"), meaning and value of other figures, by name.

        A name may bring labels, ``name{label="value"}``; those of one name stand one after the other.
        """
        with self._lock:
            requests = sorted(self._requests.items())
            buckets = {endpoint: list(counts) for endpoint, counts in sorted(self._buckets.items())}
            seconds = dict(self._seconds)
        lines = _head("segagent_requests_total", "counter", "Requests by endpoint and status.")
        lines += [
            f'segagent_requests_total{{endpoint="{endpoint}",status="{status}"}} {count}'
            for (endpoint, status), count in requests
        ]
        lines += _head("segagent_errors_total", "counter", "Requests that failed by a fault of the server's.")
        errors = Counter({endpoint: 0 for endpoint in buckets})
        for (endpoint, status), count in requests:
            errors[endpoint] += count if status >= 500 or status == 424 else 0
        lines += [f'segagent_errors_total{{endpoint="{endpoint}"}} {count}' for endpoint, count in errors.items()]
        lines += _head("segagent_request_seconds", "histogram", "Seconds from a request to its answer.")
        for endpoint, counts in buckets.items():
            total = 0
            for end, count in zip([*(f"{bound:g}" for bound in BUCKETS), "+Inf"], counts, strict=True):
                total += count
                lines.append(f'segagent_request_seconds_bucket{{endpoint="{endpoint}",le="{end}"}} {total}')
            lines.append(f'segagent_request_seconds_sum{{endpoint="{endpoint}"}} {seconds[endpoint]:.6f}')
            lines.append(f'segagent_request_seconds_count{{endpoint="{endpoint}"}} {total}')
        told = ""
        for name, (kind, meaning, value) in now.items():
            bare = name.partition("{")[0]
            if bare != told:
                lines += _head(bare, kind, meaning)
                told = bare
            lines.append(f"{name} {value:g}" if value < 1e6 else f"{name} {value:.0f}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
