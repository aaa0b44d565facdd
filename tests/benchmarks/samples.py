"""Texts that a language model writes from nothing or after a prompt, as they come: none is drawn again.

    python tests/benchmarks/samples.py MODEL [PROMPT] [--count 10]

MODEL is a folder, a starter or a Hub id. Sampled at temperature 0.8 from the 95% nucleus, up to end-of-text or 60
tokens.
"""

from __future__ import annotations

import argparse
from typing import Any

from hftune.modeling.resolve import resolve_model
from hftune.recipe.schema import ModelSection

SAMPLING = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "max_new_tokens": 60}
SEED = 0


def main() -> None:
    """Print the texts as a Markdown list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("prompt", nargs="?", default="", metavar="PROMPT", help="default: nothing")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="default: 10")
    arguments = parser.parse_args()
    for text in write(*load(arguments.model), arguments.prompt, arguments.count):
        print(f"- {arguments.prompt}{text}")


def load(model: str) -> tuple[Any, Any]:
    """Return a causal language model in fp32 and its tokenizer, through plain transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = resolve_model(ModelSection(id=model)).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval(), tokenizer


def write(model: Any, tokenizer: Any, prompt: str, count: int) -> list[str]:
    """Return `count` continuations of `prompt` in the order drawn, each on one line; the same ones each time."""
    import torch

    torch.manual_seed(SEED)
    end = tokenizer.eos_token_id
    # A text begins where the one before ended.
    start = tokenizer(prompt, add_special_tokens=False)["input_ids"] or [end]
    ids = torch.tensor([start] * count)
    with torch.no_grad():
        mask = torch.ones_like(ids)
        written = model.generate(input_ids=ids, attention_mask=mask, pad_token_id=end, eos_token_id=end, **SAMPLING)
    texts = tokenizer.batch_decode(written[:, len(start) :], skip_special_tokens=True)
    return [" ".join(text.splitlines()) for text in texts]


if __name__ == "__main__":
    main()
