"""Retrieval losses behind one contract, a file each; `trainer.config.losses` has the table of them."""
