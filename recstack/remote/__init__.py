"""Copies of datasets, runs and models in an object store: what is configured, and the copying."""
