"""The one table of commands: name, help, arguments. The command line and the app both read it.

Each verb lives in `hftune/commands/<module>.py`, which has one function
`execute(arguments: argparse.Namespace, output: Output) -> int` (the exit code).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Completes = Literal["recipe", "run", "file", "split", ""]


@dataclass(frozen=True)
class Argument:
    """One argument: a positional name (`recipe`) or flags (`-s`, `--set`)."""

    flags: tuple[str, ...]
    help: str
    type: Callable[[str], Any] = str
    default: Any = None
    nargs: str | None = None  # "?", "*", "+": as argparse has them
    switch: bool = False  # takes no value
    repeat: bool = False  # may be given several times; the values make a list
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    completes: Completes = ""  # what a prompt can suggest here

    @property
    def positional(self) -> bool:
        return not self.flags[0].startswith("-")


@dataclass(frozen=True)
class Verb:
    """One command. `streams`: with --json it prints JSON lines rather than one object."""

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()
    streams: bool = False
    subverbs: tuple[Verb, ...] = ()
    hidden: bool = False

    @property
    def module(self) -> str:
        return "hftune.commands." + self.name.replace("-", "_")


RUN = Argument(
    ("run",), "a run: path, unique start of its name, unique end of it, or latest", completes="run", metavar="RUN"
)
RECIPE = Argument(("recipe",), "recipe file; a shipped recipe's name works too", completes="recipe", metavar="RECIPE")
SET = Argument(("-s", "--set"), "override a key of the recipe", repeat=True, metavar="section.key=value")
SEED = Argument(("--seed",), "seed of the sampling", type=int, metavar="N")

ROWS = Argument(("--rows",), "held-out texts that both are asked (default 500)", type=int, default=500, metavar="N")
TIMEOUT = Argument(("--timeout",), "wait so many seconds at most (default: until it is done)", type=float, metavar="S")

# On every command.
COMMON = (
    Argument(
        ("--runs-dir",),
        "folder with the run directories (default: runs, or $HFTUNE_RUNS_DIR)",
        metavar="DIR",
        completes="file",
    ),
    Argument(("--json",), "machine-readable output on stdout, everything else on stderr", switch=True),
    Argument(("--debug",), "show tracebacks", switch=True),
)

DECODING = (
    Argument(
        ("--max-new-tokens",), "longest answer in tokens (default 60, a turn of a chat 256)", type=int, metavar="N"
    ),
    Argument(
        ("--temperature",),
        "0: always the likeliest token; higher: more varied (default 0.8)",
        type=float,
        default=0.8,
        metavar="T",
    ),
    Argument(
        ("--top-p",),
        "sample from the likeliest tokens that make up this share (default 0.95)",
        type=float,
        default=0.95,
        metavar="P",
    ),
    Argument(
        ("--top-k",), "sample from so many likeliest tokens; 0: all (default 50)", type=int, default=50, metavar="K"
    ),
    Argument(
        ("--repetition-penalty",),
        "above 1: repeats become less likely (default 1.1)",
        type=float,
        default=1.1,
        metavar="R",
    ),
    Argument(("--stop",), "end the answer at this text", repeat=True, metavar="TEXT"),
    Argument(("--ban",), "a word that must not be written", repeat=True, metavar="WORD"),
    SEED,
)

VERBS: tuple[Verb, ...] = (
    Verb(
        "run",
        "train what a recipe says",
        (
            RECIPE,
            SET,
            Argument(("--name",), "name of the run (default: the recipe's)", metavar="NAME"),
            Argument(("--detach",), "train in the background and return at once", switch=True),
            Argument(("--processes",), "train with so many processes (default 1)", type=int, default=1, metavar="N"),
            Argument(("--skip-check",), "do not look at the data before training", switch=True),
        ),
        streams=True,
    ),
    Verb(
        "check",
        "find what is wrong with a recipe, its data and its model before training",
        (RECIPE, SET, Argument(("--fast",), "the recipe only: reads no data and no weights", switch=True)),
    ),
    Verb(
        "columns",
        "tell what the columns of a data file hold, and what each could be used for",
        (Argument(("file",), "CSV, TSV, JSON Lines, JSON, Parquet or text file", metavar="FILE", completes="file"),),
    ),
    Verb(
        "lr-find",
        "find a learning rate: a range test, then short runs of the best candidates",
        (
            RECIPE,
            SET,
            Argument(("--steps",), "steps of the range test (default 100)", type=int, default=100, metavar="N"),
            Argument(
                ("--trial-steps",), "steps of each short run; 0: none (default 80)", type=int, default=80, metavar="N"
            ),
            Argument(
                ("--rows",), "validation rows they are judged by (default 400)", type=int, default=400, metavar="N"
            ),
            Argument(("--min-rate",), "smallest rate tested (default: the method's)", type=float, metavar="R"),
            Argument(("--max-rate",), "largest rate tested (default: the method's)", type=float, metavar="R"),
            Argument(("--png",), "also draw the curve (needs matplotlib)", metavar="FILE", completes="file"),
        ),
    ),
    Verb(
        "ladder",
        "tell when the large model is worth it: majority class, TF-IDF, LSTM, frozen head, LoRA, full, side by side",
        (
            RECIPE,
            Argument(
                ("-s", "--set"),
                "override a key of the recipe, or (RUNG.section.key=value) of one rung alone",
                repeat=True,
                metavar="section.key=value",
            ),
            Argument(("--seeds",), "train with these seeds (default 0,1,2)", default="0,1,2", metavar="N,N"),
            Argument(
                ("--rungs",),
                "climb these alone: majority,tfidf,lstm,head,lora,full (default: all)",
                metavar="NAME,NAME",
            ),
            Argument(
                ("--metric",), "judge by this figure on test (default: accuracy, f1_micro or mse)", metavar="NAME"
            ),
            Argument(
                ("--within",),
                "good enough is what is certainly not worse than the best by more than this (default: what cannot be "
                "told from the best)",
                type=float,
                metavar="X",
            ),
        ),
    ),
    Verb(
        "recipes",
        "the shipped recipes",
        subverbs=(
            Verb("list", "names and what each is for"),
            Verb("show", "print one", (RECIPE, SET)),
            Verb(
                "copy",
                "copy one to edit it",
                (RECIPE, Argument(("to",), "file or folder", nargs="?", metavar="PATH", completes="file")),
            ),
            Verb("schema", "print the JSON Schema, for editors"),
        ),
    ),
    Verb(
        "resume",
        "go on with a stopped, paused, failed or killed run",
        (
            RUN,
            Argument(
                ("--allow-inexact",), "go on although recipe, data, model, threads or versions changed", switch=True
            ),
            Argument(("--detach",), "train in the background and return at once", switch=True),
            Argument(("--processes",), "train with so many processes (default: as before)", type=int, metavar="N"),
            SET,
        ),
        streams=True,
    ),
    Verb("stop", "end a run after saving its state", (RUN, TIMEOUT)),
    Verb("pause", "save a run's state and let its process go", (RUN, TIMEOUT)),
    Verb("runs", "list the runs"),
    Verb(
        "watch",
        "follow a run: the app's screen of it in a terminal, lines elsewhere",
        (RUN, Argument(("--plain",), "plain lines, for screen readers and pipes", switch=True)),
        streams=True,
    ),
    Verb(
        "evaluate",
        "score a run with intervals, per class, and its worst mistakes",
        (
            RUN,
            Argument(("--split",), "train, validation or test (default test)", metavar="SPLIT", completes="split"),
            Argument(("--data",), "a labelled file instead", metavar="FILE", completes="file"),
            Argument(("--worst",), "how many mistakes to show (default 10)", type=int, default=10, metavar="N"),
        ),
    ),
    Verb(
        "predict",
        "label texts or a file of them; guess masked words",
        (
            RUN,
            Argument(("text",), "texts; left out: lines from standard input", nargs="*", metavar="TEXT"),
            Argument(("--input",), "CSV, JSON Lines, Parquet or text file", metavar="FILE", completes="file"),
            Argument(
                ("--output",),
                "where to write it (default: standard output, JSON Lines)",
                metavar="FILE",
                completes="file",
            ),
            Argument(("--batch-size",), "texts a forward pass (default 32)", type=int, default=32, metavar="N"),
            Argument(("--top",), "words shown for a mask (default 5)", type=int, default=5, metavar="N"),
            Argument(("--restart",), "begin at the first row, whatever is left of an interrupted one", switch=True),
            Argument(("--allow-inexact",), "go on although last digits will differ", switch=True),
        ),
        streams=True,
    ),
    Verb(
        "generate",
        "continue prompts",
        (
            RUN,
            Argument(("prompt",), "prompts; left out: lines from standard input", nargs="*", metavar="PROMPT"),
            *DECODING,
        ),
        streams=True,
    ),
    Verb(
        "chat",
        "question a run, line by line",
        (RUN, *DECODING, Argument(("--jsonl",), "JSON lines in and out, for programs", switch=True)),
        streams=True,
    ),
    Verb(
        "embed",
        "vectors of texts and words, their neighbours, and what tuning did to the words",
        (
            RUN,
            Argument(("text",), "texts; left out: lines from standard input", nargs="*", metavar="TEXT"),
            Argument(
                ("--input",), "texts of a CSV, JSON Lines, Parquet or text file", metavar="FILE", completes="file"
            ),
            Argument(("--split",), "texts of the run's train, validation or test", metavar="SPLIT", completes="split"),
            Argument(
                ("--near",),
                "what is nearest to this word, or text with --input or --split",
                repeat=True,
                metavar="WORD",
            ),
            Argument(
                ("--top",), "how many neighbours or words to show (default 10)", type=int, default=10, metavar="N"
            ),
            Argument(("--words",), "the embedding table, or the rows of the words given", switch=True),
            Argument(("--changed",), "what tuning did to the table: moved most, new neighbours", switch=True),
            Argument(("--contextual",), "what it did to the words' hidden states in the train texts", switch=True),
            Argument(("--rows",), "so many train texts for --contextual (default 1000)", type=int, metavar="N"),
            Argument(
                ("--pooling",),
                "mean of the tokens' states (default; LSTM: last), first or last",
                metavar="HOW",
                choices=("mean", "first", "last"),
            ),
            Argument(("--normalize",), "make each vector 1 long, as sentence-transformers do", switch=True),
            Argument(("--output",), "write the vectors: F.parquet or F.npy", metavar="FILE", completes="file"),
            Argument(("--batch-size",), "texts a forward pass (default 32)", type=int, default=32, metavar="N"),
        ),
        streams=True,
    ),
    Verb(
        "explain",
        "tell how much each word did for an answer, and how far to believe that",
        (
            RUN,
            Argument(("text",), "texts; left out: lines from standard input", nargs="*", metavar="TEXT"),
            Argument(
                ("--method",),
                "integrated-gradients, ablation (the default for a generator), shap, lime, counterfactual, or all",
                metavar="NAME",
            ),
            Argument(
                ("--data",),
                "explain the model over many rows: a split of the run's data (train, validation, test) or a file",
                metavar="SPLIT|FILE",
                completes="file",
            ),
            Argument(
                ("--rows",),
                "rows of --data, evenly spread (default 200; of several methods so many fewer)",
                type=int,
                metavar="N",
            ),
            Argument(("--target",), "the label to explain (default: the model's answer)", metavar="LABEL"),
            Argument(("--answer",), "a generator's answer to explain (default: its own, greedy)", metavar="TEXT"),
            Argument(("--max-new-tokens",), "of its own answer (default 20)", type=int, metavar="N"),
            Argument(
                ("--fill-mask",),
                "a fill-mask run: its guesses too are words that counterfactuals try",
                metavar="RUN",
                completes="run",
            ),
            Argument(("--html",), "write a page too, which needs nothing beside it", metavar="FILE", completes="file"),
            SEED,
        ),
        streams=True,
    ),
    Verb(
        "push",
        "put a run's model and its card on the Hub, private unless said otherwise",
        (
            RUN,
            Argument(("repo",), "where to (default: the recipe's hub.repo)", nargs="?", metavar="OWNER/NAME"),
            Argument(("--private",), "only who may see the repository (the default of a new one)", switch=True),
            Argument(("--public",), "everybody may see it", switch=True),
            Argument(("--adapter",), "the adapter alone (the default where its base is on the Hub)", switch=True),
            Argument(("--merged",), "adapter and base as one model", switch=True),
            Argument(("--license",), "as the Hub writes it, for example mit (default: the base's)", metavar="ID"),
            Argument(("--replace",), "also a README there that hftune did not write", switch=True),
            Argument(("--dry-run",), "write the exact repository to a folder, send nothing", switch=True),
            Argument(("--output",), "that folder (default: NAME-dry-run)", metavar="DIR", completes="file"),
            Argument(("--ask",), "show what would be sent, and wait for `yes` on standard input", switch=True),
            Argument(("--timeout",), "wait so many seconds for the Hub in all (default 300)", type=float, metavar="S"),
        ),
        streams=True,
    ),
    Verb(
        "merge",
        "add a run's adapter into its base model: one model, checked against the run",
        (RUN, Argument(("--output",), "folder (default: named after the run)", metavar="DIR", completes="file"), ROWS),
    ),
    Verb(
        "export",
        "write a run's model as others load it, checked against the run",
        (
            RUN,
            Argument(
                ("--to",),
                "transformers (the default; an adapter is merged), adapter (as peft reads it) or onnx",
                default="transformers",
                metavar="KIND",
                choices=("transformers", "adapter", "onnx"),
            ),
            Argument(("--output",), "folder (default: named after the run)", metavar="DIR", completes="file"),
            ROWS,
        ),
    ),
    Verb(
        "compress",
        "make a smaller model from a finished run's, compared with it; or try several ways and recommend one",
        (
            RUN,
            Argument(
                ("--method",),
                "distill (a smaller network learns its answers), prune (parts are left out) or quantize (fewer bits)",
                metavar="NAME",
            ),
            Argument(
                ("-s", "--set"),
                "override a key of the run's recipe, as compress.layers=3",
                repeat=True,
                metavar="section.key=value",
            ),
            Argument(("--name",), "name of the run (default: the run's, and the method)", metavar="NAME"),
            Argument(("--detach",), "work in the background and return at once", switch=True),
            Argument(("--frontier",), "try a grid of ways, measure them side by side, and recommend one", switch=True),
            Argument(
                ("--only",), "with --frontier: these of the grid alone (default: all that can be)", metavar="NAME,NAME"
            ),
            Argument(
                ("--max-loss",),
                "with --frontier: what it may lose, as 2%% or 0.02 (default 1%%; with --max-size anything)",
                metavar="SHARE",
            ),
            Argument(("--max-size",), "with --frontier: what it may take on disk, as 10MB", metavar="SIZE"),
            Argument(
                ("--png",), "with --frontier: also draw it there (needs matplotlib)", metavar="FILE", completes="file"
            ),
            Argument(("--again",), "with --frontier: measure anew what was measured before", switch=True),
        ),
        streams=True,
    ),
    Verb(
        "serve",
        "answer requests as OpenAI's API does, and /v1/classify for classifiers",
        (
            Argument(
                ("runs",), "runs: paths, unique starts of names, latest", nargs="+", metavar="RUN", completes="run"
            ),
            Argument(("--host",), "address to listen on (default 127.0.0.1)", default="127.0.0.1", metavar="HOST"),
            Argument(("--port",), "port; 0: any that is free (default 8000)", type=int, default=8000, metavar="N"),
            Argument(
                ("--queue",),
                "requests a model has in hand (default 64); more are a 429",
                type=int,
                default=64,
                metavar="N",
            ),
            Argument(("--timeout",), "seconds a request may take (default 120)", type=float, default=120, metavar="S"),
            Argument(("--max-batch",), "texts a forward pass (default 32)", type=int, default=32, metavar="N"),
            Argument(("--max-body",), "bytes of a request (default 1048576)", type=int, default=1 << 20, metavar="N"),
            Argument(
                ("--max-tokens",), "tokens of prompt and answer (default 4096)", type=int, default=4096, metavar="N"
            ),
            Argument(("--max-texts",), "texts of a request (default 256)", type=int, default=256, metavar="N"),
            Argument(
                ("--grace",),
                "seconds that requests have left when it stops (default 10)",
                type=float,
                default=10,
                metavar="S",
            ),
        ),
    ),
    Verb("worker", "answer JSON lines about a run: what the app and chat speak", (RUN,), streams=True),
    Verb(
        "tui",
        "the app: launch, watch, compare and question, in this terminal",
        (Argument(("folder",), "folder with the runs", nargs="?", metavar="RUNS_DIR", completes="file"),),
    ),
    Verb("doctor", "versions, devices, disk, Hub and index; what is missing and how to install it"),
    Verb(
        "job",
        "carry out a prepared run directory (what --detach, resume and the app start)",
        (
            RUN,
            Argument(("--allow-inexact",), "go on although something changed", switch=True),
            Argument(("--processes",), "processes", type=int, default=1, metavar="N"),
        ),
        streams=True,
        hidden=True,
    ),
)


def find(name: str) -> Verb | None:
    """Return the verb called `name`."""
    return next((verb for verb in VERBS if verb.name == name), None)
