"""The training loop, its checkpoints, runs, optimizers and the cluster."""
