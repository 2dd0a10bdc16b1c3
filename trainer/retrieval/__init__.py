"""The two-tower stage: its initial values and its validation."""
