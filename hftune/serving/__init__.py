"""Serving runs over HTTP in OpenAI's words: limits, queues, and models in worker processes. Loads no torch."""
