"""Keras layers and models over encoded features; nothing here knows files or raw values."""
