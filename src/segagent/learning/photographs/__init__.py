"""Photographs as training scenes: views of annotated pictures, pasted cut-outs, sentences made from annotations."""
