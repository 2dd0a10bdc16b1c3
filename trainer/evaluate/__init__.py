"""Trained models in, metrics beside those of baselines out."""
