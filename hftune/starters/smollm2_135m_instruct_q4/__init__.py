"""The starter model `hftune:smollm2-135m-instruct-q4`; its files come from the package index (origin.json)."""
