"""`recstack tune`: a search of the settings of retrieval on the validation split."""
