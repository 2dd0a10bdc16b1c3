"""Models and their versions: what is wanted, loading, served and going."""
