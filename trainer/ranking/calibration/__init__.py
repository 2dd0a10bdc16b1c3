"""Post-hoc calibration of binary tasks, one file a kind: logits to logits, fitted on validation, saved in the graph."""
