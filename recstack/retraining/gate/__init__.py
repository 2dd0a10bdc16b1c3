"""The gate: rules that a retrained model has to pass before it is published."""
