"""Seconds a method takes to explain a sentence of 30 words, and what telling how far to believe it takes besides.

    python tests/benchmarks/bench_explain.py [RUN] [--turns 5]

RUN is a finished run of a classifier; without it bert_cls is trained first. The methods take turns, so that a machine
that gets busy is busy for all of them; a first turn that warms up is not counted. "values" is the attribution alone,
"with belief" is what `hftune explain --method NAME` waits for once the model is loaded: the attribution, again with a
second seed where it draws, faithfulness, and chance. Prints Markdown: medians with the fastest and slowest turn, texts
that the model read for the values, and the process's peak memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench_training import machine
from control import train

from hftune.explainers import CHANCE, methods, registry
from hftune.explainers._counterfactual import Neighbourhood, find
from hftune.explainers._explanation import explain
from hftune.explainers._question import Question
from hftune.inference.predictor import CLASSIFIES, Predictor

SENTENCE = (
    "It is a slow and tender story about two brothers who inherit a farm, and although it wanders, the acting is so "
    "honest that I forgave it."
)
COUNTERFACTUAL = "counterfactual"
MOST_SECONDS = {"integrated-gradients": 1.0}
OTHERS = 10.0  # seconds, the goal for the rest


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="default: train bert_cls")
    parser.add_argument("--turns", type=int, default=5, help="default 5")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-explain-") as folder:
        run = arguments.run or train("bert_cls", Path(folder), [])
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        compare(Predictor.load(run, device="cpu"), arguments.turns)


def compare(predictor: Predictor, turns: int) -> None:
    """Time each method `turns` times, in turn."""
    names = [name for name in methods(CLASSIFIES) if name != CHANCE]
    words = len(Question(predictor, SENTENCE).words)
    values: dict[str, list[float]] = {name: [] for name in [*names, COUNTERFACTUAL]}
    whole: dict[str, list[float]] = {name: [] for name in values}
    passes: dict[str, int] = {}
    hood = Neighbourhood(predictor, quiet)
    for turn in range(turns + 1):
        for name in names:
            question = Question(predictor, SENTENCE)
            before = question.passes
            attribution = timed(lambda name=name, question=question: registry.load(name).attribute(question, 0))
            passes[name] = question.passes - before
            belief = timed(lambda name=name: explain(Question(predictor, SENTENCE), [name], 0, quiet))
            if turn:
                values[name].append(attribution)
                whole[name].append(belief)
        seconds = timed(lambda: passes.update({COUNTERFACTUAL: flipped(predictor, hood)}))
        if turn:
            values[COUNTERFACTUAL].append(seconds)
    print(f"{machine()}; {words} words, {turns} turns\n")
    print("| method | values (s) | with belief (s) | goal (s) | texts read |\n|---|---:|---:|---:|---:|")
    for name in values:
        goal = MOST_SECONDS.get(name, OTHERS)
        print(f"| {name} | {told(values[name])} | {told(whole[name])} | {goal:g} | {passes[name]:,} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory {peak:.0f} MiB")


def flipped(predictor: Predictor, hood: Neighbourhood) -> int:
    """Look for counterfactuals; return how many texts were read for them."""
    return find(predictor, Question(predictor, SENTENCE), hood, quiet).passes


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def told(seconds: list[float]) -> str:
    """Return the median with the fastest and the slowest."""
    if not seconds:
        return ""
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def quiet(_: str) -> None:
    """Say nothing."""


if __name__ == "__main__":
    main()
