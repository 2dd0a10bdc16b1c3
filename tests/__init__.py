"""Makes `tests.checkerboard` importable for the tests that share it."""
