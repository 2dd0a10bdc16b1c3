"""History encoders behind one contract, a file each; `trainer.config.encoders` has the table of them."""
