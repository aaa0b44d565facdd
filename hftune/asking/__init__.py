"""Asking a model that lives in a worker process: its protocol, a client, a conversation. Loads nothing heavy."""
