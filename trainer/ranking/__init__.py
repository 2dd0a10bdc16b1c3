"""The ranking stage: its model, the networks, heads and losses that it is made from, and its validation."""
