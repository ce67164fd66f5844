"""SegAgent: text to mask by imitating a human annotator (arXiv 2503.08625).

``segagent.annotate``, ``segagent.refine`` and ``segagent.audit`` do what the commands do, see docs/python.md. They are
loaded when first used: importing this package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segagent.annotation.batch import Models
    from segagent.annotation.python_api import annotate, audit, load_models, refine
    from segagent.core.versions import __version__

__all__ = ["Models", "__version__", "annotate", "audit", "load_models", "refine"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("segagent.core.versions").__version__
    if name in __all__:
        return getattr(import_module("segagent.annotation.python_api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
