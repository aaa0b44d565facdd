"""Training: the loop, its checkpoints, exact resume, more than one process."""
