"""The nearest valid name for a key that does not exist: in its section, elsewhere, or by what people usually write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from hftune.errors import closest

# What people write (other tools' names, short forms) -> the recipe's key, and what to know when the meaning differs.
PEOPLE_WRITE: Mapping[str, tuple[str, str]] = {
    "lr": ("training.learning_rate", ""),
    "learning_rates": ("training.learning_rate", ""),
    "epochs": ("training.num_train_epochs", ""),
    "num_epochs": ("training.num_train_epochs", ""),
    "n_epochs": ("training.num_train_epochs", ""),
    "max_epochs": ("training.num_train_epochs", ""),
    "steps": ("training.max_steps", ""),
    "num_train_steps": ("training.max_steps", ""),
    "batch_size": ("training.per_device_train_batch_size", ""),
    "batch": ("training.per_device_train_batch_size", ""),
    "bs": ("training.per_device_train_batch_size", ""),
    "train_batch_size": ("training.per_device_train_batch_size", ""),
    "eval_batch_size": ("training.per_device_eval_batch_size", ""),
    "test_batch_size": ("training.per_device_eval_batch_size", ""),
    "accumulation_steps": ("training.gradient_accumulation_steps", ""),
    "grad_accum": ("training.gradient_accumulation_steps", ""),
    "warmup": ("training.warmup_steps", ""),
    "warmup_ratio": ("training.warmup_steps", "Below 1 it is a share of all steps."),
    "scheduler": ("training.lr_scheduler_type", ""),
    "lr_scheduler": ("training.lr_scheduler_type", ""),
    "schedule": ("training.lr_scheduler_type", ""),
    "optimizer": ("training.optim", ""),
    "optimiser": ("training.optim", ""),
    "wd": ("training.weight_decay", ""),
    "decay": ("training.weight_decay", ""),
    "clip": ("training.max_grad_norm", ""),
    "grad_clip": ("training.max_grad_norm", ""),
    "gradient_clipping": ("training.max_grad_norm", ""),
    "label_smoothing": ("training.label_smoothing_factor", ""),
    "log_every": ("training.logging_steps", ""),
    "save_every": ("training.save_steps", ""),
    "save_strategy": ("training.save_steps", "Leave it out to save at each epoch's end."),
    "eval_every": ("training.eval_steps", ""),
    "eval_strategy": ("training.eval_steps", "Leave it out to evaluate at each epoch's end."),
    "evaluation_strategy": ("training.eval_steps", "Leave it out to evaluate at each epoch's end."),
    "metric": ("training.metric_for_best_model", ""),
    "patience": ("training.early_stopping_patience", ""),
    "early_stopping": ("training.early_stopping_patience", ""),
    "fp16": ("training.precision", "Write precision: fp16."),
    "bf16": ("training.precision", "Write precision: bf16."),
    "mixed_precision": ("training.precision", ""),
    "dtype": ("training.precision", ""),
    "torch_dtype": ("training.precision", ""),
    "no_cuda": ("training.device", "Write device: cpu."),
    "use_cpu": ("training.device", "Write device: cpu."),
    "random_state": ("training.seed", ""),
    "checkpoint": ("model", "`checkpoint` alone means a training save."),
    "base_model": ("model", ""),
    "pretrained": ("model", ""),
    "pretrained_model": ("model", ""),
    "model_name": ("model", ""),
    "model_id": ("model", ""),
    "model_name_or_path": ("model", ""),
    "tokenizer_name": ("model.tokenizer", ""),
    "dataset": ("data.source", ""),
    "dataset_name": ("data.source", ""),
    "path": ("data.source", ""),
    "dataset_config": ("data.subset", ""),
    "config_name": ("data.subset", ""),
    "file": ("data.files", ""),
    "data_files": ("data.files", ""),
    "train_file": ("data.files", "Write files: {train: PATH}."),
    "train": ("data.files", "Write files: {train: PATH}."),
    "text_column": ("data.text", ""),
    "label_column": ("data.label", ""),
    "labels": ("data.label_names", ""),
    "classes": ("data.label_names", ""),
    "max_seq_length": ("data.max_length", ""),
    "max_len": ("data.max_length", ""),
    "block_size": ("data.max_length", ""),
    "truncation": ("data.too_long", ""),
    "val_split": ("data.validation_share", ""),
    "validation_split": ("data.validation_share", ""),
    "test_size": ("data.test_share", ""),
    "test_split": ("data.test_share", ""),
    "rank": ("method.r", ""),
    "lora_r": ("method.r", ""),
    "lora_rank": ("method.r", ""),
    "alpha": ("method.lora_alpha", ""),
    "dropout": ("method.lora_dropout", ""),
    "modules": ("method.target_modules", ""),
    "peft": ("method", "Write method: lora."),
    "lora": ("method", "Write method: lora, or method: {name: lora, r: 8}."),
    "pipeline_tag": ("task", ""),
    "task_type": ("task", ""),
}
LONGEST_LIST = 14  # a longer list of names hides the answer instead of giving it


def nearest_key(key: str, section: str, sections: Mapping[str, Iterable[str]]) -> str:
    """Return a hint for the unknown `key` of `section` (dotted, empty for the top).

    `sections` maps each section's dotted path to its keys.
    """
    here = list(sections.get(section, ()))
    word = key.strip().lower().replace("-", "_")
    if word in here:
        return f"Did you mean {word!r}?"
    if word in PEOPLE_WRITE:
        name, remark = PEOPLE_WRITE[word]
        target, _, last = name.rpartition(".")
        if last in sections.get(target, ()):
            return " ".join(filter(None, (f"Did you mean {(last if target == section else name)!r}?", remark)))
    if near := get_close_matches(word, here, n=1, cutoff=0.7):
        return f"Did you mean {near[0]!r}?"
    for other, names in sections.items():
        if other != section and word in names:
            return f"It belongs to {other!r}: {other}.{word}." if other else "It stands at the top, in no section."
    elsewhere = {f"{other}.{name}".lstrip("."): name for other, names in sections.items() for name in names}
    if near := get_close_matches(word, list(elsewhere.values()), n=1, cutoff=0.8):
        dotted = next(path for path, name in elsewhere.items() if name == near[0])
        return f"Did you mean {dotted!r}?"
    if len(here) > LONGEST_LIST:
        near = get_close_matches(word, here, n=3, cutoff=0.5)
        found = f"Near it: {', '.join(near)}. " if near else ""
        return found + "hftune recipes schema lists every key."
    return closest(word, here) if here else f"{section!r} takes no options."
