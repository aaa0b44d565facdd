"""`hftune check --fast`: the recipe alone, with nothing heavy loaded."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap
from argparse import Namespace
from pathlib import Path

import pytest

from hftune.cli import run
from hftune.commands import check
from hftune.errors import RecipeError
from hftune.output import Output

RECIPE = """
name: reviews
task: text-classification
model: sentence-transformers/all-MiniLM-L6-v2
data:
  source: hftune:movie-reviews
training:
  num_train_epochs: 1
"""

HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate", "evaluate", "numpy", "pyarrow", "pandas")


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.yaml"
    path.write_text(RECIPE)
    return path


def _check(path: Path, *overrides: str, as_json: bool = False) -> tuple[int, str]:
    stdout = io.StringIO()
    output = Output(as_json=as_json, stdout=stdout, stderr=io.StringIO())
    code = check.execute(Namespace(recipe=str(path), set=list(overrides), fast=True), output)
    return code, stdout.getvalue()


def test_a_good_recipe_is_told_in_a_paragraph_of_80_columns(recipe_file: Path) -> None:
    code, text = _check(recipe_file)
    assert code == 0
    paragraph, verdict = text.strip().split("\n\n")
    assert verdict == "OK"
    assert max(map(len, text.splitlines())) <= 80
    told = " ".join(paragraph.split())
    for fact in (
        "the best by loss",
        "all-MiniLM-L6-v2",
        "text-classification",
        "hftune:movie-reviews",
        "1 epoch",
        "5e-05",
        "128 tokens",
    ):
        assert fact in told


def test_overrides_are_part_of_what_is_told(recipe_file: Path) -> None:
    _, text = _check(recipe_file, "training.max_steps=7", "training.gradient_accumulation_steps=2")
    assert "7 steps in batches of 16 × 2 accumulated" in " ".join(text.split())


def test_json_is_one_object(recipe_file: Path) -> None:
    code, text = _check(recipe_file, as_json=True)
    report = json.loads(text)
    assert (code, report["ok"], report["recipe"], report["findings"]) == (0, True, "reviews", [])


def test_all_problems_come_at_once(recipe_file: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        _check(recipe_file, "training.learning_rat=1", "data.max_length=0", "task=text-clasification")
    assert caught.value.exit_code == 2
    assert len(caught.value.problems) == 3


def test_a_broken_recipe_exits_with_2(recipe_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(recipe_file), "--fast", "-s", "training.seed=x"]) == 2
    assert "training.seed" in capsys.readouterr().err


def test_fast_loads_nothing_heavy(recipe_file: Path) -> None:
    program = textwrap.dedent(
        f"""
        import sys
        from hftune.cli import run
        code = run(["check", {str(recipe_file)!r}, "--fast"])
        print(code, [name for name in {HEAVY!r} if name in sys.modules])
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
