"""The two-tower stage: towers, examples, losses, negatives, initial values and validation."""
