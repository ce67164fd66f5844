"""The SAM family behind the tool interface: SAM, SAM-HQ, SAM 2 and SAM 3's tracker, through transformers."""

from segagent.tools.sam.families import FAMILIES, SamFamily
from segagent.tools.sam.tool import SamEmbedding, SamMemory, SamTool, make_sam

__all__ = ["FAMILIES", "SamEmbedding", "SamFamily", "SamMemory", "SamTool", "make_sam"]
