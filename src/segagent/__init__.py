"""SegAgent: text to mask by imitating a human annotator (arXiv 2503.08625)."""

__version__ = "0.1.0"
