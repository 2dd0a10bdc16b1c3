"""Trained models in, servable SavedModels out."""
