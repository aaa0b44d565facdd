"""Recipes: their shape (schema), reading them with line numbers (load), and every problem at once (validate)."""
