"""Sharing: a run's model as a repository that anyone can load, and its way to the Hub. Nothing here writes to a run."""
