"""The ranking stage: its model and its validation."""
