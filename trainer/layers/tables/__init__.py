"""The kinds of embedding table, one file each."""
