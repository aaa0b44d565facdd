"""From the command line's flags to `Decoding`: what generate and chat share."""

from __future__ import annotations

import argparse

from hftune.asking.decoding import Decoding


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
