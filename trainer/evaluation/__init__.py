"""Ranked lists and targets in, metrics with intervals out: exact, over the whole catalogue, on integer rows."""
