"""Text classification against PyTorch's and transformers' own figures, on tiny real models.

Longer than most files: all of it works on the one small recipe and data set made on top.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hftune.errors import DataError, ModelError, RecipeError
from hftune.modeling.loading import load_config
from hftune.recipe.schema import Recipe
from hftune.tasks import Prepared, text_classification

TEXTS = ["the film was good", "the plot was bad and very boring", "we loved it", "a dull scene .", "fine", "awful !"]
LABELS = ["positive", "negative", "positive", "negative", "positive", "negative"]


def make_recipe(folder: Path | str, task: dict[str, Any] | None = None, **sections: Any) -> Recipe:
    options = task or {}
    training = sections.pop("training", {})
    data = {"rows": [{"text": "a", "label": "b"}], **sections}
    return Recipe.model_validate(
        {
            "name": "test",
            "task": {
                "name": "text-classification",
                "options": options,
                "config": text_classification.Config(**options),
            },
            "model": str(folder),
            "data": data,
            "training": training,
        }
    )


def make_splits(**columns: list[Any]) -> dict[str, Dataset]:
    train = Dataset.from_dict(columns)
    return {"train": train, "validation": train.select(range(2))}


def make_prepared(recipe: Recipe, folder: Path, splits: dict[str, Dataset]) -> Prepared:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return text_classification.prepare(recipe, splits, tokenizer, load_config(recipe.model, folder))


def whole_batch(prepared: Prepared, split: str = "train") -> dict[str, torch.Tensor]:
    return prepared.collate(list(prepared.splits[split]))


def model_inputs(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in batch.items() if name not in ("labels", "row", "window")}


def codes(prepared: Prepared) -> set[str]:
    return {notice.code for notice in prepared.notices}


def test_labels_and_columns_come_from_the_data(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=LABELS))
    assert prepared.model_config["id2label"] == {0: "negative", 1: "positive"}
    assert prepared.model_config["label2id"] == {"negative": 0, "positive": 1}
    assert prepared.model_config["problem_type"] == "single_label_classification"
    assert prepared.splits["train"]["labels"][:] == [1, 0, 1, 0, 1, 0]
    assert {"input_ids", "length", "row", "labels"} <= set(prepared.splits["train"].column_names)
    assert "problem-type" in codes(prepared)


def test_loss_equals_that_of_transformers(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=LABELS))
    torch.manual_seed(0)
    model = text_classification.load_model(recipe, tiny_bert_folder, prepared).eval()
    batch = whole_batch(prepared)
    output = model(**model_inputs(batch), labels=batch["labels"])
    ours = text_classification.loss(recipe, prepared, output.logits, batch)
    weight = text_classification.weight(recipe, prepared, batch)
    assert (ours / weight).item() == pytest.approx(output.loss.item(), abs=1e-6)


def parts_and_whole(prepared: Prepared) -> tuple[list[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    rows = list(prepared.splits["train"])
    return [prepared.collate(rows[:1]), prepared.collate(rows[1:4]), prepared.collate(rows[4:])], prepared.collate(rows)


def assert_micro_batches_equal(recipe: Recipe, prepared: Prepared, folder: Path, reference: Any) -> None:
    """Loss and gradients, summed over three unequal micro-batches, are those of `reference(logits, labels)`."""
    torch.manual_seed(0)
    model = text_classification.load_model(recipe, folder, prepared).eval()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    parts, whole = parts_and_whole(prepared)
    expected = reference(model(**model_inputs(whole)).logits, whole["labels"])
    theirs = torch.autograd.grad(expected, weights, allow_unused=True)
    summed = [text_classification.loss(recipe, prepared, model(**model_inputs(part)).logits, part) for part in parts]
    total = sum(text_classification.weight(recipe, prepared, part) for part in parts)
    ours = sum(summed) / total
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    for mine, other in zip(torch.autograd.grad(ours, weights, allow_unused=True), theirs, strict=True):
        if other is not None:
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, "balanced", {"positive": 3.0}])
def test_single_label_loss_is_pytorchs_cross_entropy(tiny_bert_folder: Path, smoothing: float, weights: Any) -> None:
    recipe = make_recipe(tiny_bert_folder, {"class_weights": weights}, training={"label_smoothing_factor": smoothing})
    labels = ["negative", "positive", "negative", "negative", "positive", "negative"]
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=labels))
    # scikit-learn's balanced weights: rows / (classes x rows of the class).
    expected = {"balanced": [6 / (2 * 4), 6 / (2 * 2)], None: None}.get(weights if isinstance(weights, str) else None)
    if isinstance(weights, dict):
        expected = [1.0, 3.0]
    reference = torch.nn.CrossEntropyLoss(
        weight=None if expected is None else torch.tensor(expected), label_smoothing=smoothing
    )
    assert_micro_batches_equal(recipe, prepared, tiny_bert_folder, reference)


MANY = [["good", "short"], [], ["short"], ["good", "loud"], ["loud"], ["good"]]


def test_multi_label_loss_is_that_of_transformers(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=MANY))
    assert prepared.model_config["problem_type"] == "multi_label_classification"
    assert prepared.model_config["id2label"] == {0: "good", 1: "loud", 2: "short"}
    assert prepared.splits["train"]["labels"][:][:3] == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    torch.manual_seed(0)
    model = text_classification.load_model(recipe, tiny_bert_folder, prepared).eval()
    batch = whole_batch(prepared)
    output = model(**model_inputs(batch), labels=batch["labels"])
    ours = text_classification.loss(recipe, prepared, output.logits, batch)
    weight = text_classification.weight(recipe, prepared, batch)
    assert (ours / weight).item() == pytest.approx(output.loss.item(), rel=1e-5)
    assert_micro_batches_equal(recipe, prepared, tiny_bert_folder, torch.nn.BCEWithLogitsLoss())


def test_balanced_multi_label_weighs_what_applies(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, {"class_weights": "balanced"})
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=MANY))
    reference = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3 / 3, 4 / 2, 4 / 2]))
    assert_micro_batches_equal(recipe, prepared, tiny_bert_folder, reference)


@pytest.mark.parametrize(("loss", "reference"), [("mse", torch.nn.MSELoss()), ("mae", torch.nn.L1Loss())])
def test_regression_loss_is_pytorchs(tiny_bert_folder: Path, loss: str, reference: Any) -> None:
    recipe = make_recipe(tiny_bert_folder, {"loss": loss})
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=[0.5, -1.25, 2.0, 0.0, 3.5, -2.0]))
    assert prepared.model_config["problem_type"] == "regression"
    assert prepared.model_config["num_labels"] == 1
    assert_micro_batches_equal(
        recipe, prepared, tiny_bert_folder, lambda logits, labels: reference(logits.squeeze(-1), labels)
    )


@pytest.mark.parametrize(
    ("label", "options", "expected", "targets"),
    [
        (["10", "9", "2", "9", "2", "10"], {}, ["2", "9", "10"], [2, 1, 0, 1, 0, 2]),
        ([3, 1, 2, 1, 2, 3], {}, ["1", "2", "3"], [2, 0, 1, 0, 1, 2]),
        ([True, False, True, False, True, False], {}, ["False", "True"], [1, 0, 1, 0, 1, 0]),
        ([1, 0, 1, 0, 1, 0], {"label_names": ["bad", "good"]}, ["bad", "good"], [1, 0, 1, 0, 1, 0]),
        (LABELS, {"label_names": ["positive", "negative"]}, ["positive", "negative"], [0, 1, 0, 1, 0, 1]),
    ],
)
def test_labels_of_any_kind_keep_their_names(
    tiny_bert_folder: Path, label: list[Any], options: dict[str, Any], expected: list[str], targets: list[int]
) -> None:
    recipe = make_recipe(tiny_bert_folder, **options)
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=label))
    assert list(prepared.model_config["id2label"].values()) == expected
    assert prepared.splits["train"]["labels"][:] == targets


def test_class_label_columns_give_names_and_order(tiny_bert_folder: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["up", "down", "never"])})
    train = Dataset.from_dict({"text": TEXTS, "label": [0, 1, 0, 1, 0, -1]}, features=features)
    prepared = make_prepared(make_recipe(tiny_bert_folder), tiny_bert_folder, {"train": train})
    assert list(prepared.model_config["id2label"].values()) == ["up", "down", "never"]
    assert prepared.splits["train"]["labels"][:] == [0, 1, 0, 1, 0]
    assert "train 1 of 6" in next(notice.message for notice in prepared.notices if notice.code == "unlabelled")


@pytest.mark.parametrize(
    ("label", "options", "names", "first"),
    [
        ([[1, 0, 1], [0, 0, 0], [1, 1, 0]] * 2, {}, ["0", "1", "2"], [1.0, 0.0, 1.0]),
        ([[0, 2], [1], [2]] * 2, {}, ["0", "1", "2"], [1.0, 0.0, 1.0]),
        ([[0, 1], [1, 0], [1, 0]] * 2, {"label_names": ["a", "b"]}, ["a", "b"], [0.0, 1.0]),
        ([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]] * 2, {}, ["0", "1"], [0.0, 1.0]),
    ],
)
def test_lists_of_labels_are_read_as_numbers_or_as_yes_and_no(
    tiny_bert_folder: Path, label: list[Any], options: dict[str, Any], names: list[str], first: list[float]
) -> None:
    prepared = make_prepared(
        make_recipe(tiny_bert_folder, **options), tiny_bert_folder, make_splits(text=TEXTS, label=label)
    )
    assert list(prepared.model_config["id2label"].values()) == names
    assert prepared.splits["train"]["labels"][0] == first


def test_list_of_class_labels(tiny_bert_folder: Path) -> None:
    features = Features({"text": Value("string"), "label": List(ClassLabel(names=["x", "y"]))})
    train = Dataset.from_dict({"text": TEXTS, "label": [[0], [1], [0, 1], [], [0], [1]]}, features=features)
    prepared = make_prepared(make_recipe(tiny_bert_folder), tiny_bert_folder, {"train": train})
    assert prepared.splits["train"]["labels"][:][:4] == [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]


def test_one_sigmoid_is_multi_label_with_one_label(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, {"problem_type": "multi_label_classification"})
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=[1, 0, 1, 0, 1, 0]))
    assert prepared.model_config["id2label"] == {0: "label"}
    assert prepared.splits["train"]["labels"][:] == [[1.0], [0.0]] * 3
    model = text_classification.load_model(recipe, tiny_bert_folder, prepared)
    assert model(**model_inputs(whole_batch(prepared))).logits.shape == (6, 1)


def test_numbers_that_look_like_classes_are_pointed_out(tiny_bert_folder: Path) -> None:
    splits = make_splits(text=TEXTS, label=[0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    prepared = make_prepared(make_recipe(tiny_bert_folder), tiny_bert_folder, splits)
    notice = next(notice for notice in prepared.notices if notice.code == "problem-type")
    assert (notice.level, "single_label_classification" in notice.hint) == ("warning", True)
    chosen = make_recipe(tiny_bert_folder, {"problem_type": "single_label_classification"})
    prepared = make_prepared(chosen, tiny_bert_folder, splits)
    assert list(prepared.model_config["id2label"].values()) == ["0", "1"]


def test_unknown_label_names_row_and_nearest(tiny_bert_folder: Path) -> None:
    train = Dataset.from_dict({"text": TEXTS, "label": LABELS})
    validation = Dataset.from_dict({"text": ["a", "b"], "label": ["positive", "negativ"]})
    with pytest.raises(DataError, match="validation, row 1") as caught:
        make_prepared(make_recipe(tiny_bert_folder), tiny_bert_folder, {"train": train, "validation": validation})
    assert caught.value.hint == "Did you mean 'negative'?"


@pytest.mark.parametrize(
    ("columns", "sections", "match"),
    [
        ({"text": [1, 2, 3, 4, 5, 6], "label": LABELS}, {}, r"row 0.*holds int, not text"),
        ({"text": TEXTS, "label": [None] * 6}, {}, "train split has no row with both"),
        ({"text": [], "label": []}, {}, "train split is empty"),
        ({"text": TEXTS, "label": LABELS}, {"problem": "regression"}, r"row 0.*'positive' is not a number"),
        ({"text": TEXTS, "label": [["a"]] * 6}, {"problem": "single_label_classification"}, "not one label"),
    ],
)  # fmt: skip
def test_bad_data_are_refused_by_row(
    tiny_bert_folder: Path, columns: dict[str, Any], sections: dict[str, Any], match: str
) -> None:
    recipe = make_recipe(tiny_bert_folder, {"problem_type": sections.get("problem")})
    with pytest.raises(DataError, match=match):
        make_prepared(recipe, tiny_bert_folder, {"train": Dataset.from_dict(columns)})


def test_a_label_of_one_file_is_known_in_another_that_holds_nothing_but_numbers(tiny_bert_folder: Path) -> None:
    train = Dataset.from_dict({"text": TEXTS, "label": ["1.0", "1.0", "2.0", "2.0", "none", "none"]})
    test = Dataset.from_dict({"text": TEXTS[:2], "label": [2.0, 1.0]})
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, {"train": train, "test": test})
    names = prepared.model_config["id2label"]
    assert [names[label] for label in prepared.splits["test"]["labels"]] == ["2.0", "1.0"]


def test_missing_columns_are_named_together(tiny_bert_folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"(?s)data\.text: no column 'text'.*data\.label: no column 'label'"):
        make_prepared(make_recipe(tiny_bert_folder), tiny_bert_folder, make_splits(texts=TEXTS, labels=LABELS))


def test_class_weights_must_name_labels_and_fit_the_problem(tiny_bert_folder: Path) -> None:
    splits = make_splits(text=TEXTS, label=LABELS)
    with pytest.raises(RecipeError, match="Did you mean 'positive'"):
        make_prepared(make_recipe(tiny_bert_folder, {"class_weights": {"positiv": 2.0}}), tiny_bert_folder, splits)
    nothing = {"positive": 0.0, "negative": 0.0}
    with pytest.raises(RecipeError, match="every class weighs 0"):
        make_prepared(make_recipe(tiny_bert_folder, {"class_weights": nothing}), tiny_bert_folder, splits)
    splits = make_splits(text=TEXTS, label=[0.5] * 6)
    with pytest.raises(RecipeError, match="regression has no classes"):
        make_prepared(make_recipe(tiny_bert_folder, {"class_weights": "balanced"}), tiny_bert_folder, splits)


def test_rows_keep_their_numbers_when_others_are_dropped(tiny_bert_folder: Path) -> None:
    splits = {"train": Dataset.from_dict({"text": [*TEXTS[:5], None], "label": [None, *LABELS[1:]]})}
    prepared = make_prepared(make_recipe(tiny_bert_folder), tiny_bert_folder, splits)
    assert prepared.splits["train"]["row"][:] == [1, 2, 3, 4]


def test_what_is_wrong_with_the_data_is_said(tiny_bert_folder: Path) -> None:
    splits = make_splits(text=TEXTS, label=["Good", "good", "g ood", "bad", "bad", "bad"])
    assert {"labels-alike", "not-held-out"} <= codes(
        make_prepared(make_recipe(tiny_bert_folder), tiny_bert_folder, splits)
    )
    splits = {"train": Dataset.from_dict({"text": TEXTS, "label": ["good"] * 6})}
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, splits)
    assert "one-class" in codes(prepared)
    assert text_classification.load_model(recipe, tiny_bert_folder, prepared).config.num_labels == 2


def test_trained_model_meets_new_data_by_its_own_labels(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert_folder)
    config = load_config(recipe.model, tiny_bert_folder)
    config.id2label, config.problem_type = {0: "x", 1: "negative", 2: "positive"}, "single_label_classification"
    test = Dataset.from_dict({"text": ["a", "b"], "label": ["positive", "positive"]})
    prepared = text_classification.prepare(recipe, {"test": test}, tokenizer, config)
    assert prepared.splits["test"]["labels"][:] == [2, 2]
    assert "one-class" not in codes(prepared)


def test_pairs_of_texts_are_told_apart(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, text_pair="other")
    splits = make_splits(text=TEXTS, other=list(reversed(TEXTS)), label=LABELS)
    prepared = make_prepared(recipe, tiny_bert_folder, splits)
    example = prepared.splits["train"][0]
    expected = prepared.tokenizer(TEXTS[0], TEXTS[-1])
    assert example["input_ids"] == expected["input_ids"]
    assert example["token_type_ids"] == expected["token_type_ids"]
    assert set(example["token_type_ids"]) == {0, 1}


LONG = "the film was good and the plot was bad " * 4


def test_cut_texts_are_counted_by_split(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, max_length=16)
    splits = make_splits(text=[LONG, *TEXTS[1:]], label=LABELS)
    prepared = make_prepared(recipe, tiny_bert_folder, splits)
    notice = next(notice for notice in prepared.notices if notice.code == "truncated")
    assert "train 1 of 6 (16.7%)" in notice.message
    assert "validation 1 of 2 (50.0%)" in notice.message
    expected = prepared.tokenizer(LONG, truncation=True, max_length=16)["input_ids"]
    assert prepared.splits["train"][0]["input_ids"] == expected


def test_long_texts_are_refused_by_row(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, max_length=16, too_long="error")
    with pytest.raises(DataError, match=r"train: 1 texts are longer than 16 tokens \(row 2: 38 tokens\)"):
        make_prepared(recipe, tiny_bert_folder, make_splits(text=[*TEXTS[:2], LONG, *TEXTS[3:]], label=LABELS))


def test_max_length_is_what_the_model_takes(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, max_length=500)
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=[LONG * 3, *TEXTS[1:]], label=LABELS))
    assert max(prepared.splits["train"]["length"][:]) == 64
    assert {"max-length-capped", "truncated"} <= codes(prepared)
    notice = next(notice for notice in prepared.notices if notice.code == "truncated")
    assert notice.hint == "Set data.too_long: window.", "the model takes no more, whatever max_length is"


def test_windows_cover_the_document_and_share_the_stride(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, max_length=16, too_long="window", window={"stride": 4})
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=[LONG, *TEXTS[1:]], label=LABELS))
    windows = [example for example in prepared.splits["train"] if example["row"] == 0]
    assert [example["window"] for example in windows] == list(range(len(windows)))
    assert {example["labels"] for example in windows} == {1}
    special = prepared.tokenizer.cls_token_id, prepared.tokenizer.sep_token_id
    inner = []
    for example in windows:
        assert (example["input_ids"][0], example["input_ids"][-1]) == special
        inner.append(example["input_ids"][1:-1])
    document = inner[0] + [token for piece in inner[1:] for token in piece[4:]]
    assert document == prepared.tokenizer(LONG, add_special_tokens=False)["input_ids"]
    assert "windowed" in codes(prepared)
    with pytest.raises(RecipeError, match=r"data\.window\.stride"):
        make_prepared(
            make_recipe(tiny_bert_folder, max_length=16, too_long="window", window={"stride": 14}),
            tiny_bert_folder,
            make_splits(text=TEXTS, label=LABELS),
        )


@pytest.mark.parametrize("pooling", ["mean", "max", "first"])
def test_documents_are_scored_once_by_pooled_windows(tiny_bert_folder: Path, pooling: str) -> None:
    recipe = make_recipe(tiny_bert_folder, max_length=16, too_long="window", window={"stride": 4, "pooling": pooling})
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=[LONG, *TEXTS[1:5], LONG], label=LABELS))
    rows = list(prepared.splits["train"])
    assert len(rows) > 6
    logits = torch.randn(len(rows), 2, generator=torch.Generator().manual_seed(0))
    by_row: dict[int, list[torch.Tensor]] = {}
    for vector, example in zip(logits, rows, strict=True):
        by_row.setdefault(example["row"], []).append(vector)
    pool = {"mean": lambda v: v.mean(0), "max": lambda v: v.max(0).values, "first": lambda v: v[0]}[pooling]
    pooled = torch.stack([pool(torch.stack(by_row[row])) for row in range(6)])
    targets = torch.tensor([1, 0, 1, 0, 1, 0])
    for order in (range(len(rows)), list(reversed(range(len(rows))))):
        stream = text_classification.metric_stream(recipe, prepared)
        for index in order:
            stream.update(logits[index : index + 1], prepared.collate([rows[index]]))
        found = stream.compute()
        assert found["loss"] == pytest.approx(torch.nn.functional.cross_entropy(pooled, targets).item(), rel=1e-5)
        assert found["accuracy"] == pytest.approx((pooled.argmax(1) == targets).float().mean().item())


def test_pair_windows_keep_the_second_text_whole(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, text_pair="other", max_length=20, too_long="window", window={"stride": 4})
    splits = make_splits(text=[LONG, *TEXTS[1:]], other=["we loved it"] * 6, label=LABELS)
    prepared = make_prepared(recipe, tiny_bert_folder, splits)
    windows = [example for example in prepared.splits["train"] if example["row"] == 0]
    assert len(windows) > 1
    assert all("we loved it" in prepared.tokenizer.decode(example["input_ids"]) for example in windows)
    splits = make_splits(text=TEXTS, other=[LONG] * 6, label=LABELS)
    with pytest.raises(DataError, match=r"row 0.*second text"):
        make_prepared(recipe, tiny_bert_folder, splits)


@pytest.mark.parametrize("folder", ["tiny_bert_folder", "tiny_gpt2_folder"])
def test_a_sentence_alone_and_in_a_padded_batch_gets_the_same_answer(
    folder: str, request: pytest.FixtureRequest
) -> None:
    base: Path = request.getfixturevalue(folder)
    recipe = make_recipe(base)
    prepared = make_prepared(recipe, base, make_splits(text=[*TEXTS[:5], ""], label=LABELS))
    torch.manual_seed(0)
    model = text_classification.load_model(recipe, base, prepared).eval()
    assert model.config.pad_token_id == prepared.tokenizer.pad_token_id
    rows = list(prepared.splits["train"])
    with torch.no_grad():
        together = model(**model_inputs(prepared.collate(rows))).logits
        for index, row in enumerate(rows):
            alone = model(**model_inputs(prepared.collate([row]))).logits[0]
            torch.testing.assert_close(alone, together[index], rtol=1e-5, atol=1e-6)


def test_head_is_new_and_loading_is_silent(
    tiny_bert_folder: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=LABELS))
    capfd.readouterr()
    torch.manual_seed(1)
    first = text_classification.load_model(recipe, tiny_bert_folder, prepared)
    torch.manual_seed(1)
    again = text_classification.load_model(recipe, tiny_bert_folder, prepared)
    assert capfd.readouterr() == ("", "")
    assert first.config.id2label == {0: "negative", 1: "positive"}
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert {weight.dtype for weight in first.parameters()} == {torch.float32}
    encoder = AutoModelForSequenceClassification.from_pretrained(tiny_bert_folder).bert.encoder.state_dict()
    assert all(torch.equal(value, encoder[name]) for name, value in first.bert.encoder.state_dict().items())


def test_checkpoint_without_its_body_is_refused(tiny_bert_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    recipe = make_recipe(tiny_bert_folder)
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=LABELS))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((tiny_bert_folder / "config.json").read_bytes())
    weights = load_file(tiny_bert_folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if ".layer.1." not in name}
    save_file(kept, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="weights are missing"):
        text_classification.load_model(make_recipe(broken), broken, prepared)


def test_head_of_another_size_is_replaced(tiny_bert_folder: Path, tmp_path: Path) -> None:
    AutoModelForSequenceClassification.from_pretrained(tiny_bert_folder, num_labels=5).save_pretrained(
        tmp_path / "five"
    )
    recipe = make_recipe(tmp_path / "five")
    prepared = make_prepared(make_recipe(tiny_bert_folder), tiny_bert_folder, make_splits(text=TEXTS, label=LABELS))
    model = text_classification.load_model(recipe, tmp_path / "five", prepared)
    assert model.classifier.weight.shape == (2, 32)


@pytest.mark.parametrize(
    ("section", "match"),
    [
        ({"architecture": "brt", "tokenizer": "x"}, "Did you mean 'bert'"),
        ({"architecture": "bert", "tokenizer": "x", "config": {"hiden_size": 3}}, "Did you mean 'hidden_size'"),
    ],
)
def test_new_models_refuse_what_transformers_would_ignore(section: dict[str, Any], match: str) -> None:
    from hftune.recipe.schema import ModelSection

    with pytest.raises(RecipeError, match=match):
        load_config(ModelSection.model_validate(section), None)


def test_figures_are_the_same_however_batches_are_cut(tiny_bert_folder: Path) -> None:
    recipe = make_recipe(tiny_bert_folder, {"class_weights": "balanced"})
    labels = ["a", "b", "a", "c", "a", "b"]
    prepared = make_prepared(recipe, tiny_bert_folder, make_splits(text=TEXTS, label=labels))
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    rows = list(prepared.splits["train"])
    found = []
    for cuts in ([range(6)], [range(2), range(2, 6)], [[5], [3, 0], [1, 2, 4]]):
        stream = text_classification.metric_stream(recipe, prepared)
        for cut in cuts:
            stream.update(logits[list(cut)], prepared.collate([rows[index] for index in cut]))
        found.append(stream.compute())
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0] == pytest.approx(found[2], rel=1e-6)
    with pytest.raises(ValueError, match="nothing to measure"):
        text_classification.metric_stream(recipe, prepared).compute()
