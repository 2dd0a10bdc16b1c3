"""Re-ranking for diversity in the graph: greedy selection with one file for each kind, and caps by attribute."""
