"""Runs in the formats of other programs, and people's corrections back: COCO, Label Studio, CVAT, YOLO and more."""

from segagent.annotation.interop.export import WRITERS, ExportOptions, export_run

__all__ = ["WRITERS", "ExportOptions", "export_run"]
