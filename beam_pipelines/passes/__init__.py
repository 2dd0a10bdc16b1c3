"""The passes of `prepare`, in order: ingest, sort, learn, write."""
