"""The recipes that ship with hftune; each runs as it is."""
