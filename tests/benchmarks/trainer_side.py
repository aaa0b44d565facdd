"""One fine-tuning run with transformers.Trainer, as its documentation has it: the other side of the comparisons.

Reads the same recipe as hftune and takes from hftune only the data (the same rows, the same tokens) and the model's
folder; model, adapter, batches, loop and optimizer are transformers' and peft's own. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from hftune import tasks
from hftune.data.load import load_splits
from hftune.modeling.loading import load_config
from hftune.modeling.resolve import resolve_model
from hftune.modeling.tokenizer import load_tokenizer
from hftune.recipe.load import load_recipe
from hftune.recipe.schema import Recipe
from hftune.tasks import Prepared


def main() -> None:
    """Train, score on test, write the figures to --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", help="recipe file or the name of a shipped one")
    parser.add_argument("-s", "--set", action="append", default=[], metavar="section.key=value")
    parser.add_argument("--flags", choices=("defaults", "best"), default="defaults", help="of TrainingArguments")
    parser.add_argument(
        "--keep-best", action="store_true", help="evaluate each epoch and score the best, as hftune does"
    )
    parser.add_argument("--out", required=True, type=Path, help="where the figures go (JSON)")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, arguments.set)
    with tempfile.TemporaryDirectory() as folder:
        figures = train(
            recipe, best_flags=arguments.flags == "best", keep_best=arguments.keep_best, folder=Path(folder)
        )
    arguments.out.write_text(json.dumps(figures))


def train(recipe: Recipe, *, best_flags: bool, keep_best: bool, folder: Path) -> dict[str, Any]:
    """Return seconds from the first batch to the last optimizer step, samples and test accuracy."""
    import numpy
    import torch
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments, set_seed

    torch.set_num_threads(recipe.training.threads or len(os.sched_getaffinity(0)))
    prepared, model_folder = prepare(recipe)
    set_seed(recipe.training.seed)
    model = load(recipe, prepared, model_folder)
    clock: dict[str, float] = {}

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock["start"] = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock["end"] = time.perf_counter()

    trainer = Trainer(
        model=model,
        args=TrainingArguments(str(folder), **settings(recipe, best_flags=best_flags, keep_best=keep_best)),
        train_dataset=prepared.splits["train"],
        eval_dataset=prepared.splits["validation"],
        data_collator=DataCollatorWithPadding(prepared.tokenizer),
        compute_metrics=lambda out: {"accuracy": float((numpy.argmax(out.predictions, -1) == out.label_ids).mean())},
        callbacks=[Clock()],
    )
    trainer.train()
    scored = {
        split: trainer.predict(prepared.splits[split]).metrics["test_accuracy"] for split in ("validation", "test")
    }
    samples = len(prepared.splits["train"]) * recipe.training.num_train_epochs
    return {"seconds": clock["end"] - clock["start"], "samples": samples, **scored}


def settings(recipe: Recipe, *, best_flags: bool, keep_best: bool) -> dict[str, Any]:
    """Return TrainingArguments: the recipe's, and either nothing else or all that makes Trainer faster here."""
    training = recipe.training
    same = {
        "per_device_train_batch_size": training.per_device_train_batch_size,
        "per_device_eval_batch_size": training.per_device_eval_batch_size,
        "num_train_epochs": training.num_train_epochs,
        "learning_rate": recipe.training.learning_rate,
        "lr_scheduler_type": training.lr_scheduler_type,
        "warmup_steps": training.warmup_steps,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "seed": training.seed,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    if keep_best:
        same |= {
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "save_total_limit": 1,
            "load_best_model_at_end": True,
            "metric_for_best_model": "accuracy",
        }
    if not best_flags:
        return same
    import torch

    from hftune.modeling.processor import computes_bf16

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return same | {
        "train_sampling_strategy": "group_by_length",
        "length_column_name": "length",
        "bf16": computes_bf16(device),
        "use_cpu": device.type == "cpu",  # asked for by bf16, which Trainer otherwise takes for a GPU's
        "optim": "adamw_torch_fused",
        # Two cores are busy with matrix products: workers and pinned memory cost more than they bring.
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": device.type == "cuda",
    }


def prepare(recipe: Recipe) -> tuple[Prepared, Path]:
    """Return the rows and tokens that hftune trains on, and the model's folder."""
    folder = resolve_model(recipe.model).folder
    tokenizer = load_tokenizer(recipe.model, folder)
    config = load_config(recipe.model, folder, tokenizer)
    return tasks.registry.load(recipe.task.name).prepare(recipe, load_splits(recipe.data), tokenizer, config), folder


def load(recipe: Recipe, prepared: Prepared, folder: Path) -> Any:
    """Return the model as a person would load it: full, or with peft's LoRA."""
    from transformers import AutoModelForSequenceClassification

    fields = {name: prepared.model_config[name] for name in ("num_labels", "id2label", "label2id")}
    model = AutoModelForSequenceClassification.from_pretrained(folder, **fields)
    if recipe.method.name == "full":
        return model
    from peft import LoraConfig, get_peft_model

    options: Any = recipe.method.config
    given = options.target_modules
    targets = given if given is None or isinstance(given, str) else list(given)
    lora = LoraConfig(
        task_type="SEQ_CLS",
        r=options.r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=targets,
    )
    return get_peft_model(model, lora)


if __name__ == "__main__":
    main()
