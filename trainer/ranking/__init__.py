"""The ranking stage: its validation."""
