"""Keras layers over encoded features; nothing here knows files or raw values."""
