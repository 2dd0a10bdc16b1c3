"""Raw interaction tables in, a dataset directory out."""
