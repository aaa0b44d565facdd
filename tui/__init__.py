"""The terminal app: launch runs, watch them, compare them, question them, from one prompt."""
