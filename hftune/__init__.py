"""hftune: fine-tune BERT- and GPT-2-class models from a recipe, and question the result."""

import logging

__version__ = "0.1.0"

# transformers loads torchao wherever it is installed, which then tells of its libraries for other processors.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
