"""Runs in the formats of other programs, and people's corrections back: COCO, Label Studio, CVAT, YOLO and more."""

from segagent.annotation.interop.export import WRITERS, ExportOptions, export_run
from segagent.annotation.interop.importing import ImportOptions, ImportReport, RecordOptions, import_corrections
from segagent.annotation.interop.recording import Recorded, record_corrections

__all__ = [
    "WRITERS",
    "ExportOptions",
    "ImportOptions",
    "ImportReport",
    "RecordOptions",
    "Recorded",
    "export_run",
    "import_corrections",
    "record_corrections",
]
