"""How far explanations can be believed: each method beside chance over many texts of a run's test split.

    python tests/benchmarks/faithfulness.py RUN [--texts 200] [--longest WORDS] [--counterfactuals 100]

For each text the model's own answer is explained; the deletion AUC of a method (the mean probability of the answer
while words go, the most important first) is compared with the mean over draws of chance on the same text. Prints a
Markdown table: mean deletion and insertion AUC, chance less the method's deletion AUC with its 95% interval (bootstrap
over texts), completeness, passes. Then: what share of the texts that are answered with at least 0.9 are answered
otherwise with at most three changed words. Texts are taken evenly from the split.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hftune.explainers import CHANCE, methods, registry
from hftune.explainers._counterfactual import MOST_EDITS, Neighbourhood, find
from hftune.explainers._explanation import CHANCE_DRAWS
from hftune.explainers._faithfulness import deletion, measure
from hftune.explainers._question import Question
from hftune.inference.predictor import CLASSIFIES, Predictor
from hftune.inference.scoring import load_rows
from hftune.inference.statistics import bootstrap

RESAMPLES = 2000
CONFIDENT = 0.9


@dataclass
class Tally:
    """One method's figures, a number a text."""

    deletion: list[float] = field(default_factory=list)
    insertion: list[float] = field(default_factory=list)
    gained: list[float] = field(default_factory=list)  # chance's deletion AUC less the method's
    errors: list[float] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)


def main() -> None:
    """Explain, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--texts", type=int, default=200, help="texts whose explanations are measured (default 200)")
    parser.add_argument("--counterfactuals", type=int, default=100, help="texts to flip (default 100)")
    parser.add_argument("--longest", type=int, metavar="WORDS", help="of those of at most so many words")
    arguments = parser.parse_args()
    predictor = Predictor.load(arguments.run, device="cpu")
    print("| method | deletion ↓ | insertion ↑ | better than chance by (95%) | completeness error | passes |")
    print("|---|---:|---:|---|---:|---:|")
    for name, tally in faithfulness(predictor, texts_of(predictor, arguments.texts, arguments.longest)).items():
        print(row(name, tally), flush=True)
    print(f"\n{flipped(predictor, texts_of(predictor, None), arguments.counterfactuals)}")


def texts_of(predictor: Predictor, most: int | None, longest: int | None = None) -> list[str]:
    """Return texts of the test split, evenly from all of it, or from those of at most `longest` words."""
    _, rows = load_rows(predictor, "test", None, lambda _: None)
    texts = [str(text) for text in rows[predictor.loaded.recipe.data.text] if text]
    texts = [text for text in texts if longest is None or len(text.split()) <= longest]
    count = min(most or len(texts), len(texts))
    return [texts[index * len(texts) // count] for index in range(count)]


def faithfulness(predictor: Predictor, texts: list[str], insertion: bool = True) -> dict[str, Tally]:
    """Return each method's figures over the texts; without `insertion` fewer texts are read."""
    tallies = {name: Tally() for name in methods(CLASSIFIES) if name != CHANCE}
    for text in texts:
        draws = Question(predictor, text)
        orders = [registry.load(CHANCE).attribute(draws, seed).values for seed in range(CHANCE_DRAWS)]
        chance = float(np.mean([deletion(draws, order) for order in orders]))
        for name, tally in tallies.items():
            question = Question(predictor, text)
            before = question.passes
            found = registry.load(name).attribute(question, 0)
            tally.passes.append(question.passes - before)
            tally.deletion.append(deletion(question, found.values))
            tally.gained.append(chance - tally.deletion[-1])
            if insertion:
                tally.insertion.append(measure(question, found.values).insertion)
            if found.completeness_error is not None:
                tally.errors.append(found.completeness_error)
    return tallies


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95% interval of the mean (bootstrap over texts)."""
    rows = np.column_stack([values, np.ones(len(values))])
    found = bootstrap(rows, lambda sums: {"mean": sums[..., 0] / sums[..., 1]}, RESAMPLES)["mean"]
    assert found.low is not None and found.high is not None
    return found.low, found.high


def row(name: str, tally: Tally) -> str:
    """Return a method's line of the table."""
    low, high = interval(tally.gained)
    errors = (
        f"{100 * float(np.median(tally.errors)):.2f}%, at most {100 * max(tally.errors):.2f}%" if tally.errors else ""
    )
    return (
        f"| {registry.load(name).TITLE} | {np.mean(tally.deletion):.3f} | {np.mean(tally.insertion):.3f} "
        f"| {np.mean(tally.gained):.3f} ({low:.3f} to {high:.3f}) | {errors} | {np.mean(tally.passes):.0f} |"
    )


def flip_counts(predictor: Predictor, texts: list[str], most: int) -> list[int]:
    """Return for each confidently answered text (`most` of them) how many words had to change; 0: none was found."""
    shares = [max(one.to_dict()["probabilities"].values()) for one in predictor.classify(texts)]
    sure = [text for text, share in zip(texts, shares, strict=True) if share >= CONFIDENT][:most]
    hood = Neighbourhood(predictor, lambda _: None)
    found = [find(predictor, Question(predictor, text), hood, lambda _: None).found for text in sure]
    return [len(one[0].edits) if one else 0 for one in found]


def flipped(predictor: Predictor, texts: list[str], most: int) -> str:
    """Return what came of changing words, as a sentence."""
    counts = flip_counts(predictor, texts, most)
    by_size = ", ".join(f"{counts.count(size)} with {size}" for size in range(1, MOST_EDITS + 1))
    return (
        f"{sum(map(bool, counts))} of {len(counts)} texts answered with {CONFIDENT} or more are answered otherwise "
        f"with at most {MOST_EDITS} changed words ({by_size})"
    )


if __name__ == "__main__":
    main()
