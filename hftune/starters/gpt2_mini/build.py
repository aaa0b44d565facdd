"""Make `hftune:gpt2-mini` again: `make corpus`, `hftune run gpt2_mini`, then this with the finished run's directory.

    python -m hftune.starters.gpt2_mini.build RUN [FOLDER]

Writes the run's model to FOLDER (default: this package) in bfloat16, which halves the file: model.safetensors,
config.json, generation_config.json and the tokenizer's files.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(run: Path, folder: Path) -> None:
    """Write the model of `run` to `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype=torch.bfloat16)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(run / "model").save_pretrained(folder)
    size = (folder / "model.safetensors").stat().st_size
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters, {size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
