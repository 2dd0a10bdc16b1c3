"""A dataset in memory: encoded events, the queries before them, the catalogue, batches."""
