"""Models and the life cycle of their versions: found, loaded, served, unloaded."""
