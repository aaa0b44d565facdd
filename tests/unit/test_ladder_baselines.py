"""Majority class and TF-IDF give what scikit-learn gives on the same rows."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier

from hftune.errors import DataError, UsageError
from hftune.ladder.baselines import STRENGTHS, fit_majority, fit_tfidf, save_fitted
from hftune.ladder.rows import Rows, choose_metric, load_rows
from hftune.recipe.load import parse_recipe

THINGS = ("film", "movie", "plot", "story", "ending", "scene", "music", "actor")
WORDS = {
    "positive": ("good", "great", "lovely"),
    "negative": ("bad", "dull", "awful"),
    "neither": ("long", "new", "odd"),
}


def drawn(count: int, seed: int) -> list[tuple[str, str]]:
    """Sentences with their label, of which a fifth is wrong and the first class the most frequent."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        label = str(random.choice(list(WORDS), p=[0.5, 0.3, 0.2]))
        said = label if random.random() < 0.8 else str(random.choice(list(WORDS)))
        words = [random.choice(WORDS[said]), random.choice(THINGS), random.choice(THINGS)]
        rows.append(("the " + " ".join(map(str, words)), label))
    return rows


def rows_of(label: Any, task: Any = "text-classification", **data: Any) -> Rows:
    """Load rows whose label is made by `label(text, name)`."""
    splits = {
        split: [{"text": text, "label": label(text, name)} for text, name in drawn(count, seed)]
        for split, count, seed in (("train", 120, 0), ("validation", 60, 1), ("test", 80, 2))
    }
    recipe = {"name": "rows", "task": task, "model": "some/model", "data": {"rows": splits, **data}}
    return load_rows(parse_recipe(recipe), lambda text: None)


def texts(rows: Rows) -> tuple[list[str], list[str], list[str]]:
    return rows.texts["train"], rows.texts["validation"], rows.texts["test"]


def test_majority_class_is_scikit_learns_prior() -> None:
    rows = rows_of(lambda text, name: name)
    fitted = fit_majority(rows)
    true = rows.targets["test"]
    dummy = DummyClassifier(strategy="prior").fit(rows.texts["train"], rows.targets["train"])
    found = rows.figures("test", fitted.logits)
    assert found["accuracy"] == pytest.approx(dummy.score(rows.texts["test"], true))
    assert found["loss"] == pytest.approx(sk.log_loss(true, dummy.predict_proba(rows.texts["test"])))
    assert found["matthews_correlation"] == 0.0
    assert fitted.parameters == 3


def test_tfidf_is_scikit_learns_with_the_strength_that_is_best_on_validation() -> None:
    rows = rows_of(lambda text, name: name)
    fitted = fit_tfidf(rows, "loss", greater=False)
    train, validation, test = texts(rows)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    x = vectorizer.fit_transform(train)
    models = [LogisticRegression(C=strength, max_iter=1000).fit(x, rows.targets["train"]) for strength in STRENGTHS]
    losses = [
        sk.log_loss(rows.targets["validation"], each.predict_proba(vectorizer.transform(validation))) for each in models
    ]
    best = models[int(np.argmin(losses))]
    assert fitted.detail["strength"] == STRENGTHS[int(np.argmin(losses))]
    assert [one["loss"] for one in fitted.detail["validation"]] == pytest.approx(losses)
    found, true, z = rows.figures("test", fitted.logits), rows.targets["test"], vectorizer.transform(test)
    assert found["accuracy"] == pytest.approx(best.score(z, true))
    assert found["loss"] == pytest.approx(sk.log_loss(true, best.predict_proba(z)))
    assert found["f1"] == pytest.approx(sk.f1_score(true, best.predict(z), average="macro"))
    assert fitted.parameters == best.coef_.size + 3


def test_another_metric_chooses_another_strength_and_test_has_no_say() -> None:
    rows = rows_of(lambda text, name: name)
    by_accuracy = fit_tfidf(rows, "accuracy", greater=True)
    values = [one["accuracy"] for one in by_accuracy.detail["validation"]]
    assert by_accuracy.detail["strength"] == STRENGTHS[int(np.argmax(values))]
    spoiled = replace(rows, targets={**rows.targets, "test": rows.targets["test"][::-1].copy()})
    assert np.array_equal(fit_tfidf(spoiled, "accuracy", greater=True).logits, by_accuracy.logits)


def test_two_classes_and_their_weights() -> None:
    task = {"name": "text-classification", "class_weights": {"positive": 3.0, "negative": 1.0}}
    rows = rows_of(lambda text, name: name if name == "positive" else "negative", task)
    fitted = fit_tfidf(rows, "accuracy", greater=True)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    x = vectorizer.fit_transform(rows.texts["train"])
    model = LogisticRegression(C=fitted.detail["strength"], class_weight={0: 1.0, 1: 3.0}, max_iter=1000)
    model.fit(x, rows.targets["train"])
    shares = model.predict_proba(vectorizer.transform(rows.texts["test"]))
    assert np.exp(fitted.logits) == pytest.approx(shares, abs=1e-6)


def test_several_labels_are_one_logistic_regression_each() -> None:
    def labels(text: str, name: str) -> list[str]:
        return [*([name] if name != "neither" else []), *(["film"] if "film" in text else [])]

    rows = rows_of(labels, label_names=["positive", "negative", "film"])
    assert rows.kind == "multi_label_classification"
    fitted, true = fit_tfidf(rows, "loss", greater=False), rows.targets["test"]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    x = vectorizer.fit_transform(rows.texts["train"])
    logistic = LogisticRegression(C=fitted.detail["strength"], max_iter=1000)
    model = OneVsRestClassifier(logistic).fit(x, rows.targets["train"].astype(int))
    predicted = model.predict(vectorizer.transform(rows.texts["test"]))
    found = rows.figures("test", fitted.logits)
    assert found["f1_micro"] == pytest.approx(sk.f1_score(true, predicted, average="micro"))
    assert found["exact_match"] == pytest.approx(sk.accuracy_score(true, predicted))
    majority = fit_majority(rows).logits[0]
    assert np.array_equal(majority > 0, rows.targets["train"].mean(axis=0) > 0.5)


def test_numbers_get_the_mean_and_ridge_regression_and_the_median_for_absolute_errors() -> None:
    def number(text: str, name: str) -> float:
        return {"positive": 2.0, "negative": -2.0, "neither": 0.0}[name] + 0.25 * text.count("film")

    rows = rows_of(number)
    true, dummy = rows.targets["test"], DummyRegressor().fit(rows.texts["train"], rows.targets["train"])
    found = rows.figures("test", fit_majority(rows).logits)
    assert found["mse"] == pytest.approx(sk.mean_squared_error(true, dummy.predict(rows.texts["test"])))
    fitted = fit_tfidf(rows, "mse", greater=False)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    ridge = Ridge(alpha=1 / fitted.detail["strength"])
    ridge.fit(vectorizer.fit_transform(rows.texts["train"]), rows.targets["train"])
    predicted = ridge.predict(vectorizer.transform(rows.texts["test"]))
    assert fitted.logits[:, 0] == pytest.approx(predicted)
    assert rows.figures("test", fitted.logits)["mae"] == pytest.approx(sk.mean_absolute_error(true, predicted))
    absolute = rows_of(number, {"name": "text-classification", "loss": "mae"})
    assert fit_majority(absolute).logits[0, 0] == np.median(rows.targets["train"])


def test_a_class_that_train_lacks_is_never_answered_and_costs_a_finite_loss() -> None:
    rows = rows_of(lambda text, name: name, label_names=["negative", "unseen", "neither", "positive"])
    for fitted in (fit_majority(rows), fit_tfidf(rows, "loss", greater=False)):
        assert fitted.logits.shape == (80, 4)
        assert not (fitted.logits.argmax(axis=1) == 1).any()
        assert np.isfinite(fitted.logits).all()


def test_texts_without_spaces_are_read_by_characters() -> None:
    rows = rows_of(lambda text, name: name)
    glued = {split: [text.replace(" ", "") for text in found] for split, found in rows.texts.items()}
    unparted = replace(rows, texts=glued)
    assert (rows.has_words, unparted.has_words) == (True, False)
    assert fit_tfidf(rows, "loss", greater=False).detail["analyzer"] == "word"
    assert fit_tfidf(unparted, "loss", greater=False).detail["analyzer"] == "char"


def test_what_is_kept_of_a_baseline_gives_its_answers_again(tmp_path: Path) -> None:
    rows = rows_of(lambda text, name: name if name == "positive" else "negative")
    fitted = fit_tfidf(rows, "loss", greater=False)
    size = save_fitted(fitted, "tfidf", tmp_path)
    assert size == sum(path.stat().st_size for path in tmp_path.iterdir())
    kept, vocabulary = load_file(tmp_path / "tfidf.safetensors"), json.loads((tmp_path / "tfidf.json").read_text())
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, vocabulary=vocabulary)
    vectorizer.idf_ = kept["idf"]
    odds = vectorizer.transform(rows.texts["test"]) @ kept["weight"].T + kept["bias"]
    assert odds[:, 0] == pytest.approx(fitted.logits[:, 1] - fitted.logits[:, 0])


def test_without_scikit_learn_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(lambda text, name: name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UsageError, match="needs scikit-learn") as caught:
        fit_tfidf(rows, "loss", greater=False)
    assert f"{sys.executable} -m pip install 'scikit-learn>=1.5'" in caught.value.hint


def test_data_that_a_ladder_cannot_be_made_of_are_refused() -> None:
    with pytest.raises(DataError, match="every train text has the same label"):
        rows_of(lambda text, name: "same")
    for split, why in (("validation", "to choose on"), ("test", "to be judged by")):
        data = {"rows": [{"text": text, "label": name} for text, name in drawn(20, 0)], f"{split}_share": 0.0}
        recipe = parse_recipe({"name": "rows", "task": "text-classification", "model": "some/model", "data": data})
        with pytest.raises(DataError, match=f"needs a {split} split {why}") as caught:
            load_rows(recipe, lambda text: None)
        assert f"data.{split}_share" in caught.value.hint


def test_the_metric_is_the_recipes_or_what_people_ask_first() -> None:
    rows = rows_of(lambda text, name: name)
    assert choose_metric(None, rows) == ("accuracy", True)
    assert choose_metric("loss", rows) == ("loss", False)
    with pytest.raises(DataError, match="no metric 'mse'"):
        choose_metric("mse", rows)
    training = rows.recipe.training.model_copy(update={"metric_for_best_model": "f1"})
    chosen = replace(rows, recipe=rows.recipe.model_copy(update={"training": training}))
    assert choose_metric(None, chosen) == ("f1", True)
