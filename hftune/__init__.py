"""hftune: fine-tune BERT- and GPT-2-class models from a recipe, and question the result."""

__version__ = "0.1.0"
