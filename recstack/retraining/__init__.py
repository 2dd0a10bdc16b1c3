"""Retraining without a person: the registry of runs, the steps of a retraining and the gate before publication."""
