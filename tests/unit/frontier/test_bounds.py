"""Shares and sizes as people write them, and errors that teach."""

from __future__ import annotations

import pytest

from hftune.errors import UsageError
from hftune.frontier.bounds import parse_bytes, parse_share


@pytest.mark.parametrize(
    ("text", "value"),
    [("1%", 0.01), ("0.01", 0.01), (" 2.5 % ", 0.025), ("0", 0.0), ("0%", 0.0), (".5%", 0.005), ("150%", 1.5)],
)
def test_a_share_is_per_cent_or_a_number_below_one(text: str, value: float) -> None:
    assert parse_share(text, "--max-loss") == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10MB", 10_000_000), ("10 MiB", 10_485_760), ("1.5gb", 1_500_000_000), ("500k", 500_000), ("2GiB", 2 << 30),
        ("20m", 20_000_000), ("123456", 123_456), ("2048 B", 2048),
    ],
)  # fmt: skip
def test_a_size_is_decimal_unless_its_unit_has_an_i(text: str, size: int) -> None:
    assert parse_bytes(text, "--max-size") == size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1", "Write --max-loss 1% if that is meant"),
        ("3.0", "Write --max-loss 3% if that is meant"),
        ("little", "as --max-loss 1% or --max-loss 0.01"),
        ("-1%", "is no share"),
        ("1%%", "is no share"),
        ("1 MB", "is no share"),
        ("", "is no share"),
        ("1e400", "is no share"),
        ("nan", "is no share"),
    ],
)
def test_a_wrong_share_says_how_one_is_written(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_share(text, "--max-loss")
    assert "--max-loss" in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10", "Write --max-size 10MB if megabytes are meant"),
        ("10 apples", "Write --max-size 10MB, or --max-size 10MiB"),
        ("10%", "is no size"),
        ("-5MB", "is no size"),
        ("0MB", "is no size"),
        ("1e400MB", "is no size"),
        ("", "is no size"),
    ],
)
def test_a_wrong_size_says_how_one_is_written(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_bytes(text, "--max-size")
    assert "--max-size" in str(caught.value) and said in str(caught.value)
