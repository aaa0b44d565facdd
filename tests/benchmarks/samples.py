"""Texts that a language model writes, as they come: none is drawn again.

    python tests/benchmarks/samples.py MODEL PROMPT [--count 10]
    python tests/benchmarks/samples.py MODEL --openings FILE [--count 10]

MODEL is a folder, a starter or a Hub id. With --openings it goes on with the first eight words of each of the first
documents in a Parquet file (column `text`). Sampled at temperature 0.8 from the 95% nucleus, up to end-of-text or 60
tokens.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hftune.modeling.resolve import resolve_model
from hftune.recipe.schema import ModelSection

SAMPLING = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "max_new_tokens": 60}
SEED = 0


def main() -> None:
    """Print the texts as a Markdown list, what was given in bold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("prompt", nargs="?", metavar="PROMPT")
    parser.add_argument("--openings", type=Path, metavar="FILE")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="default: 10")
    arguments = parser.parse_args()
    if (arguments.prompt is None) == (arguments.openings is None):
        parser.error("give either PROMPT or --openings FILE")
    model, tokenizer = load(arguments.model)
    prompts = [(arguments.prompt, arguments.count)]
    if arguments.openings is not None:
        prompts = [(opening, 1) for opening in openings(arguments.openings, arguments.count)]
    for seed, (prompt, count) in enumerate(prompts):
        for text in write(model, tokenizer, prompt, count, seed):
            print(f"- **{prompt}**{text}")


def openings(file: Path, count: int) -> list[str]:
    """Return the first eight words of each of the first `count` documents."""
    import pyarrow.parquet as pq

    return [" ".join(text.split()[:8]) for text in pq.read_table(file, columns=["text"])["text"].to_pylist()[:count]]


def load(model: str) -> tuple[Any, Any]:
    """Return a causal language model in fp32 and its tokenizer, through plain transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = resolve_model(ModelSection(id=model)).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval(), tokenizer


def write(model: Any, tokenizer: Any, prompt: str, count: int, seed: int = SEED) -> list[str]:
    """Return `count` continuations of `prompt` in the order drawn, each on one line; the same ones each time."""
    import torch

    torch.manual_seed(seed)
    end = tokenizer.eos_token_id
    start = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([start] * count)
    with torch.no_grad():
        mask = torch.ones_like(ids)
        written = model.generate(input_ids=ids, attention_mask=mask, pad_token_id=end, eos_token_id=end, **SAMPLING)
    texts = tokenizer.batch_decode(written[:, len(start) :], skip_special_tokens=True)
    return [" ".join(text.splitlines()) for text in texts]


if __name__ == "__main__":
    main()
