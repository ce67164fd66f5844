"""Metrics: intervals, click benchmarks, predicted-IoU quality, selection by step."""
