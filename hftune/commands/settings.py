"""What generate and chat share: from the command line's flags to `Decoding`, and what is said of an answer."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from hftune.figures import many
from hftune.inference.decoding import Decoding


def decoding_of(arguments: argparse.Namespace) -> Decoding:
    """Return the settings that the flags of verbs.DECODING gave; raises UsageError for one out of range."""
    return Decoding(
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        top_k=arguments.top_k,
        repetition_penalty=arguments.repetition_penalty,
        stop=tuple(arguments.stop),
        ban=tuple(arguments.ban),
        seed=arguments.seed,
    )


def answer_line(answer: Mapping[str, Any]) -> str:
    """Return how an answer ended and how fast it came, as one line for people."""
    rate = f"{answer['tokens_per_second']:.1f}/s, first after {answer['time_to_first_token']:.2f} s"
    seed = "" if answer["seed"] is None else f", seed {answer['seed']}"
    return f"[{answer['finish_reason']}: {many(answer['tokens'], 'token')}, {rate}{seed}]"
