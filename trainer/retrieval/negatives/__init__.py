"""Sources of negatives behind one contract, a file each; `trainer.config.negatives` has the table of them."""
