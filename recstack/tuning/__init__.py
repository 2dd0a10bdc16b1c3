"""`recstack tune`: a search of the settings of a stage on the validation split."""
