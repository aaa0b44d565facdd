"""What a recipe may be called: what its runs may be called."""

from hftune.runs.layout import SAFE_NAME as SAFE_NAME
