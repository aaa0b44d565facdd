"""The rungs' recipes: what each takes over from the one recipe, and what is refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hftune.errors import RecipeError, UsageError
from hftune.ladder.rungs import RUNGS, choose_rungs, choose_seeds, make_trials, rung_recipe, split_overrides
from hftune.recipe.load import load_recipe, parse_recipe
from hftune.recipe.schema import Recipe


def parsed(**sections: Any) -> Recipe:
    recipe = {
        "name": "abc",
        "task": "text-classification",
        "model": "some/model",
        "data": {"rows": [{"text": "a", "label": "b"}], "max_length": 20},
        "training": {"learning_rate": 1e-4, "num_train_epochs": 1, "warmup_steps": 6, "logging_steps": 3},
    }
    return parse_recipe({**recipe, **sections})


def test_the_recipes_own_method_keeps_its_settings_and_others_are_scaled() -> None:
    recipe = parsed()
    full, lora, head = (rung_recipe(recipe, rung, seed=7) for rung in ("full", "lora", "head"))
    assert full.training == recipe.training.model_copy(update={"seed": 7})
    assert [each.method.name for each in (full, lora, head)] == ["full", "lora", "head"]
    assert [each.training.learning_rate for each in (full, lora, head)] == [1e-4, 1e-3, 4e-2]
    assert [each.training.num_train_epochs for each in (full, lora, head)] == [1, 2, 4]
    assert [each.training.warmup_steps for each in (full, lora, head)] == [6, 12, 24]
    assert {each.training.logging_steps for each in (full, lora, head)} == {3}
    assert {each.name for each in (full, lora, head)} == {"abc-full", "abc-lora", "abc-head"}
    assert all((each.data, each.model) == (recipe.data, recipe.model) for each in (full, lora, head))


def test_an_adapters_recipe_keeps_its_options_and_full_is_scaled_back() -> None:
    recipe = parsed(method={"name": "lora", "r": 3}, training={"learning_rate": 1e-3, "max_steps": 10})
    assert rung_recipe(recipe, "lora", 0).method.options["r"] == 3
    full = rung_recipe(recipe, "full", 0)
    assert (full.training.learning_rate, full.training.max_steps) == (1e-4, 5)
    assert rung_recipe(recipe, "head", 0).method.options == {}


def test_the_rungs_of_bert_cls_are_the_shipped_recipes() -> None:
    recipe = load_recipe("bert_cls")
    for rung in ("lora", "head"):
        shipped, own = load_recipe(f"bert_cls_{rung}"), rung_recipe(recipe, rung, 0)
        same = ("learning_rate", "num_train_epochs", "warmup_steps", "per_device_train_batch_size")
        assert [getattr(own.training, key) for key in same] == [getattr(shipped.training, key) for key in same]


def test_the_lstm_is_new_has_the_same_data_and_stops_early() -> None:
    recipe = parsed(training={"device": "cpu", "threads": 3, "eval_steps": 5, "metric_for_best_model": "accuracy"})
    lstm = rung_recipe(recipe, "lstm", 1)
    assert (lstm.model.id, lstm.model.architecture, lstm.method.name) == (None, "lstm", "full")
    assert lstm.data == recipe.data
    training = lstm.training
    assert (training.device, training.threads, training.seed) == ("cpu", 3, 1)
    assert (training.metric_for_best_model, training.early_stopping_patience, training.eval_steps) == (
        "accuracy",
        2,
        None,
    )


def test_where_words_have_no_spaces_the_lstm_reads_characters() -> None:
    fitted = [rung_recipe(parsed(), "lstm", 0, words=words).model.tokenizer for words in (True, False)]
    assert [tokenizer.fit for tokenizer in fitted if not isinstance(tokenizer, str | None)] == [
        "byte-level-bpe", "characters"
    ]  # fmt: skip


def test_overrides_that_begin_with_a_rung_are_its_own() -> None:
    shared, own = split_overrides(["training.seed=3", "lora.training.learning_rate=2e-3", "lora.method.r=4"])
    assert shared == ["training.seed=3"]
    trials = make_trials(parsed(), ["majority", "lora", "full"], [0, 1], own)
    assert [trial.key for trial in trials] == [("majority", None), ("lora", 0), ("lora", 1), ("full", 0), ("full", 1)]
    recipes = [trial.recipe for trial in trials[1:] if trial.recipe is not None]
    assert [each.training.learning_rate for each in recipes] == [2e-3, 2e-3, 1e-4, 1e-4]
    assert recipes[0].method.options["r"] == 4
    with pytest.raises(UsageError, match="tfidf has no recipe"):
        split_overrides(["tfidf.C=1"])
    with pytest.raises(UsageError, match="lora is not climbed"):
        make_trials(parsed(), ["full"], [0], own)
    with pytest.raises(RecipeError, match="lerning_rate"):
        make_trials(parsed(), ["lora"], [0], {"lora": ["training.lerning_rate=1"]})


def test_a_long_name_still_names_runs() -> None:
    recipe = parsed(name="a" * 64)
    assert len(rung_recipe(recipe, "full", 0).name) == 64


def test_all_rungs_that_the_model_allows_are_climbed_from_the_bottom() -> None:
    assert choose_rungs(None, parsed()) == (list(RUNGS), [])
    assert choose_rungs("full, majority", parsed())[0] == ["majority", "full"]
    scratch = parsed(model={"architecture": "lstm", "tokenizer": {"fit": "characters"}})
    rungs, left_out = choose_rungs(None, scratch)
    assert rungs == ["majority", "tfidf", "lstm", "full"]
    assert [reason.split()[0] for reason in left_out] == ["head", "lora"]
    with pytest.raises(UsageError, match="lora needs pretrained weights"):
        choose_rungs("lora", scratch)


@pytest.mark.parametrize(("wanted", "hint"), [("ful", "Did you mean 'full'"), (" , ", "Choose one of: majority")])
def test_rungs_that_are_none_are_refused(wanted: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_rungs(wanted, parsed())
    assert hint in caught.value.hint


def test_what_no_ladder_can_be_made_of_is_refused() -> None:
    with pytest.raises(RecipeError, match="compares classifiers and regressors"):
        choose_rungs(None, parsed(task="text-generation"))
    pairs = {"rows": [{"text": "a", "other": "c", "label": "b"}], "text_pair": "other"}
    with pytest.raises(RecipeError, match="of one text"):
        choose_rungs(None, parsed(data=pairs))
    for compress in ({"name": "distill"}, {"name": "quantize"}):
        with pytest.raises(RecipeError, match="makes a finished run's model smaller") as caught:
            choose_rungs(None, parsed(compress={**compress, "parent": "/runs/abc"}))
        assert caught.value.problems[0].key == "compress"


def test_seeds_are_whole_numbers_once_each() -> None:
    assert choose_seeds("2,0,2") == [2, 0]
    for wrong in ("", "a", "-1", "1.5", str(2**32)):
        with pytest.raises(UsageError, match="--seeds"):
            choose_seeds(wrong)


def test_each_rungs_recipe_is_one_that_loads(tmp_path: Path) -> None:
    from hftune.recipe.load import dump_recipe

    for rung in ("lstm", "head", "lora", "full"):
        recipe = rung_recipe(parsed(), rung, 0)
        (path := tmp_path / f"{rung}.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
        assert load_recipe(path) == recipe
