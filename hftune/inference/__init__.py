"""Asking a model: run directory -> Predictor, and the worker that puts a Predictor behind JSON lines."""
