"""Pictures in and out: loading untrusted files, the overlay a policy is shown, film strips. Knows no models."""

from segagent.imaging.drawing import GREEN, MASK_COLORS, draw_overlay
from segagent.imaging.film_strip import STOP_REASONS, film_strip
from segagent.imaging.labels import load_labels, load_trimap
from segagent.imaging.loading import DEFAULT_MAX_PIXELS, load_image, load_mask, load_mask_with_ignore
from segagent.imaging.writing import encode_png, save_png, write_bytes

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "GREEN",
    "MASK_COLORS",
    "STOP_REASONS",
    "draw_overlay",
    "encode_png",
    "film_strip",
    "load_image",
    "load_labels",
    "load_mask",
    "load_mask_with_ignore",
    "load_trimap",
    "save_png",
    "write_bytes",
]
