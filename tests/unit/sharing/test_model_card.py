"""The model card: true figures with their intervals, nothing private, nothing that a value could make of it."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from hftune.inference.predictor import Predictor
from hftune.inference.scoring import load_rows, score
from hftune.recipe.load import parse_recipe
from hftune.recipe.schema import ModelSection
from hftune.runs.consumption import read_consumed
from hftune.sharing import facts as facts_module
from hftune.sharing import usage
from hftune.sharing.base import known_licence, name_on_hub, public_base
from hftune.sharing.facts import Facts, gather, public_recipe
from hftune.sharing.model_card import Published, model_card
from hftune.sharing.push import Wish, dry_run

HOSTILE = ("{{7*7}}", "---", "<script>alert(1)</script>", "| x | y", "[a](https://evil.example)")


def quiet(_: str) -> None:
    return None


def card_of(run: Path, folder: Path, **wish: Any) -> str:
    dry_run(Wish(run, "anna/my-model", **wish), folder, quiet)
    return (folder / "README.md").read_text(encoding="utf-8")


def loading(**fields: Any) -> usage.Loading:
    return usage.Loading(**{"repo": "anna/my-model", "task": "text-classification", "weights": "whole", **fields})


@pytest.fixture(scope="session")
def facts(full_run: Path) -> Facts:
    return gather(Predictor.load(full_run), quiet)


def test_energy_is_told_with_what_was_assumed_and_the_hub_reads_its_co2(full_run: Path, tmp_path: Path) -> None:
    used = read_consumed(full_run)
    assert used is not None
    text = card_of(full_run, tmp_path / "out")
    emissions = ModelCard(text).data.co2_eq_emissions
    assert emissions["emissions"] == pytest.approx(used.used.co2_g, abs=1e-6)
    assert emissions["training_type"] == "fine-tuning"
    assert ("estimate" in emissions["source"]) is not used.used.counted
    (row,) = [line for line in text.splitlines() if line.startswith("| energy |")]
    assert used.used.tell() in row
    assert "CO2e a kWh" in row


def test_a_run_without_a_meter_has_a_card_without_energy(facts: Facts) -> None:
    card = model_card(replace(facts, consumed=None), Published("anna/my-model", "whole", None), loading())
    assert "co2_eq_emissions" not in card
    assert "| energy |" not in card


def test_the_hub_reads_the_metrics_that_evaluate_computes(full_run: Path, tmp_path: Path) -> None:
    card = ModelCard(card_of(full_run, tmp_path / "out"))
    predictor = Predictor.load(full_run)
    expected = score(predictor, *load_rows(predictor, None, None, quiet)).metrics
    results = {result.metric_type: result for result in card.data.eval_results}
    assert set(results) == set(expected)
    for name, result in results.items():
        assert result.metric_value == pytest.approx(expected[name]["value"], abs=1e-6)
        assert "95% interval" in result.metric_name
        assert (result.task_type, result.dataset_split) == ("text-classification", "test")
    assert card.data.model_name == "my-model"


def test_the_metadata_say_what_it_is(full_run: Path, lora_run: Path, tmp_path: Path) -> None:
    data = ModelCard(card_of(full_run, tmp_path / "full", licence="mit")).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "transformers", "text-classification")
    assert data.tags == ["hftune"]
    assert data.base_model is None, "a folder of this machine is no name on the Hub"
    assert ModelCard(card_of(lora_run, tmp_path / "lora")).data.tags == ["hftune", "lora"]


@pytest.mark.parametrize(
    ("weights", "relation"), [("adapter", "adapter"), ("merged", "finetune"), ("whole", "finetune")]
)
def test_a_base_on_the_hub_is_linked(facts: Facts, weights: usage.Weights, relation: str) -> None:
    model = facts.recipe.model.model_copy(update={"id": "acme/tiny-bert"})
    known = replace(facts, recipe=facts.recipe.model_copy(update={"model": model}))
    data = ModelCard(model_card(known, Published("anna/my-model", weights, None), loading())).data
    assert (data.base_model, data.base_model_relation) == ("acme/tiny-bert", relation)


def test_the_card_tells_all_that_is_asked_of_one(full_run: Path, tmp_path: Path) -> None:
    card = card_of(full_run, tmp_path / "out")
    environment = json.loads((full_run / "environment.json").read_text())
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert headings == [
        "# my-model",
        "## How to load it",
        "## How good it is",
        "## Data",
        "## Training",
        "## Limits",
        "## Recipe",
    ]
    for told in (environment["data"], environment["model"], environment["versions"]["torch"], full_run.name):
        assert told in card
    assert "| negative |" in card, "the report of each label"
    assert "num_train_epochs: 12" in card


def test_figures_without_rows_come_from_training_and_have_no_intervals(
    full_run: Path, copied: Callable[[Path], Path], tmp_path: Path
) -> None:
    run = copied(full_run)
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("reviews.csv", "gone.csv"))
    notes: list[str] = []
    dry_run(Wish(run, "anna/my-model"), tmp_path / "out", notes.append)
    card = (tmp_path / "out" / "README.md").read_text()
    assert any("no intervals" in note for note in notes)
    assert "were not at hand" in card
    assert ModelCard(card).data.eval_results is None
    figures = json.loads((run / "metrics.json").read_text())
    assert f"{figures['test']['accuracy']:.4g}" in card
    assert str(tmp_path) not in card, "what could not be read is nobody else's business"


def test_other_data_in_the_place_of_the_runs_own_give_no_figures(
    full_run: Path, copied: Callable[[Path], Path], tiny_reviews: Path, tmp_path: Path
) -> None:
    run, others = copied(full_run), tmp_path / "reviews.csv"
    rows = [
        f"it was {word} {n},{label}" for n in range(20) for word, label in (("good", "negative"), ("bad", "positive"))
    ]
    others.write_text("text,label\n" + "\n".join(rows))
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace(str(tiny_reviews), str(others)))
    notes: list[str] = []
    found = gather(Predictor.load(run), notes.append)
    assert found.score is None
    assert any("not those that the model was trained on" in note for note in notes)
    card = model_card(found, Published("anna/my-model", "whole", None), loading())
    assert "in training it had" in card
    assert ModelCard(card).data.eval_results is None


def test_a_checkpoint_without_rows_has_no_figures(full_run: Path, copied: Callable[[Path], Path]) -> None:
    """Those of metrics.json are of the finished model."""
    run = copied(full_run)
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("reviews.csv", "gone.csv"))
    step = min(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").iterdir())
    found = gather(Predictor.load(run, step), quiet)
    card = model_card(found, Published("anna/my-model", "whole", None), loading())
    quality = card[card.index("## How good") : card.index("## Data")]
    assert "it has no figures" in quality
    assert "|" not in quality


@pytest.mark.parametrize(
    ("too_long", "what"),
    [("truncate", "cut there"), ("window", "read in windows of as many"), ("error", "not taken")],
)
def test_what_becomes_of_long_texts_is_told(facts: Facts, too_long: str, what: str) -> None:
    data = facts.recipe.data.model_copy(update={"too_long": too_long})
    told = replace(facts, recipe=facts.recipe.model_copy(update={"data": data}))
    card = model_card(told, Published("anna/my-model", "whole", None), loading())
    assert f"Texts of more than 32 tokens were {what}." in card
    assert ("hftune alone does" in card) == (too_long == "window")


def hostile(facts: Facts) -> Facts:
    """The facts of a run in which every name is an attack."""
    names = ("{{7*7}}", "<script>alert(1)</script>")
    assert facts.score is not None
    rows = dict(zip(names, (facts.score.per_class or {}).values(), strict=True))
    confusion = {**(facts.score.confusion or {}), "labels": list(names)}
    recipe = facts.recipe.model_copy(
        update={
            "description": "---\n# {{7*7}} <script>alert(1)</script> [a](https://evil.example)",
            "data": facts.recipe.data.model_copy(update={"source": "# a | b\n---\n{{x}}", "files": None}),
        }
    )
    found = replace(facts.score, per_class=rows, confusion=confusion, split="<b>test</b>")
    return replace(
        facts,
        recipe=recipe,
        labels=names,
        score=found,
        run="x\n\n# y",
        warnings=("`a` <img src=x> {{7*7}}", "---", "# head", "1. one", "- item"),
    )


def test_hostile_values_stay_text(facts: Facts) -> None:
    card = model_card(hostile(facts), Published("anna/my-model", "whole", None), loading())
    assert ModelCard(card).data.pipeline_tag == "text-classification", "the metadata end where they should"
    body = ModelCard(card).text
    tokens = MarkdownIt("gfm-like", {"html": True}).parse(body)
    kinds = {child.type for token in tokens for child in (token.children or [token])}
    assert kinds.isdisjoint({"html_inline", "html_block", "link_open", "image", "hr"})
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1", *["h2"] * 6]
    assert [token.type for token in tokens if token.type.endswith("list_open")] == ["bullet_list_open"], "Limits"
    text = " ".join(child.content for token in tokens for child in (token.children or []))
    assert "{{7*7}}" in text
    assert "<script>alert(1)</script>" in text


def test_rows_and_folders_of_the_recipe_are_not_published(classifier: Path, tmp_path: Path) -> None:
    card = card_of(classifier, tmp_path / "out")
    assert "the movie was" not in card, "the rows of the recipe"
    assert str(classifier) not in card
    recipe = Predictor.load(classifier).loaded.recipe
    public = public_recipe(recipe)
    assert public.data.rows == ({"text": "not published"},)
    assert public.model.id == classifier.name


def test_a_recipe_with_files_tells_their_names_alone(facts: Facts) -> None:
    public = public_recipe(facts.recipe)
    assert public.data.files == Path(str(facts.recipe.data.files)).name
    splits = facts.recipe.data.model_copy(update={"files": {"train": "/home/anna/a.csv", "test": "/home/anna/b.csv"}})
    public = public_recipe(facts.recipe.model_copy(update={"data": splits}))
    assert public.data.files == {"train": "a.csv", "test": "b.csv"}
    assert facts_module.data_name(splits) == "a.csv, b.csv"


@pytest.mark.parametrize(
    ("reference", "hub", "public", "licence"),
    [
        ("google-bert/bert-base-uncased", "google-bert/bert-base-uncased", "google-bert/bert-base-uncased", None),
        ("sentence-transformers/all-MiniLM-L6-v2",) * 3 + ("apache-2.0",),
        ("hftune:gpt2-mini", None, "hftune:gpt2-mini", "apache-2.0"),
        ("hftune:smollm2-135m-instruct-q4", None, "hftune:smollm2-135m-instruct-q4", "apache-2.0"),
        ("/home/anna/secret-project/bert", None, "bert", None),
    ],
)
def test_what_others_may_know_of_a_base(reference: str, hub: str | None, public: str, licence: str | None) -> None:
    section = ModelSection(id=reference)
    assert (name_on_hub(section), public_base(section), known_licence(section)) == (hub, public, licence)


def test_a_model_from_scratch_has_no_base(lstm_run: Path, tmp_path: Path) -> None:
    card = card_of(lstm_run, tmp_path / "out")
    assert "import hftune.modeling.lstm" in card
    assert "a new lstm with random weights" in card
    assert ModelCard(card).data.base_model is None


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, 'print(classifier("A text to judge."))'),
        ({"pairs": True}, 'print(classifier({"text": "A first text.", "text_pair": "A second text."}))'),
        ({"several_labels": True}, 'print(classifier("A text to judge.", top_k=None))'),
        ({"task": "fill-mask", "mask": "[MASK]"}, 'print(filler("This is a [MASK] text."))'),
        ({"task": "text-generation"}, 'print(generator("Once upon a time", max_new_tokens=60))'),
        ({"task": "text-generation", "prompt": "q"}, 'print(generator("Once upon a time", max_new_tokens=60))'),
        ({"task": "text-generation", "prompt": 'Say "{q}"?'}, 'print(generator("Say \\"this\\"?", max_new_tokens=60))'),
        ({"task": "text-generation", "prompt": "{{{a} {b}"}, 'print(generator("{this this", max_new_tokens=60))'),
    ],
)
def test_the_lines_ask_what_the_model_can_answer(fields: Mapping[str, Any], line: str) -> None:
    lines = usage.lines(loading(**fields))
    assert lines.splitlines()[-1] == line
    compile(lines, "card", "exec")


def test_names_in_the_lines_cannot_leave_their_quotes() -> None:
    lines = usage.lines(loading(task="text-generation", prompt='"); import os; print("{q}\n\\'))
    assert "import os" not in [statement.strip() for statement in lines.splitlines()]
    compile(lines, "card", "exec")
    assert len(lines.splitlines()) == 4


@pytest.mark.parametrize("asked", ["\U0001f600 film?", "naïve 坏电影", "\\ \" '\n\x00\x7f\u2028"])
def test_any_text_is_a_string_of_python(asked: str) -> None:
    last = usage.lines(loading(task="text-generation", prompt=asked + "{q}")).splitlines()[-1]
    assert last.isascii()
    call = ast.parse(last, mode="eval").body.args[0]  # type: ignore[attr-defined]
    assert ast.literal_eval(call.args[0]) == asked + "this"


def test_hub_in_a_recipe_is_not_part_of_what_is_published() -> None:
    recipe = parse_recipe(
        {"name": "a", "task": "text-classification", "model": "x/y", "data": {"source": "d"}, "hub": "anna/secret"}
    )
    assert public_recipe(recipe).hub is None
