"""Data: loading, columns, splits, batches, windows."""
