"""Preflight: what is wrong with a recipe, its data and its model, and what training it would cost, before training.

summary (the recipe in a paragraph), labels, leakage, tokens (what is worth a word), estimate (a measured micro-run),
inspect (all of it, in order), report (how it is told). Nothing here changes the recipe or the data.
"""
