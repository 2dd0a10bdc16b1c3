"""What the data looks like: facts, drift and the report."""
