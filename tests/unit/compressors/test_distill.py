"""A student is a run of its own: made of its parent, trained as any run, compared with its parent, and asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import binomtest

from hftune import cli
from hftune.compressors._comparison import mcnemar
from hftune.compressors._recipes import compress_recipe
from hftune.errors import RecipeError, RunError, UsageError
from hftune.inference.loading import load_run
from hftune.inference.predictor import Predictor
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.reader import list_runs, read_events, read_state
from tests.conftest import WORDS
from tests.unit.compressors.runs import compress, compressed, train, write_recipe

SENTENCES = ["the film was good and i found it very fine", "the plot was awful , dull", "a movie"]
ANY_LOSS = "compress.max_loss=9"


@pytest.fixture(autouse=True)
def no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HFTUNE_NO_QUEUE", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, tiny_reviews: Path) -> dict[str, Any]:
    path = shutil.copy(tiny_reviews, tmp_path_factory.mktemp("data") / "reviews.csv")
    return {"files": str(path), "max_length": 32, "validation_share": 0.2, "test_share": 0.4}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, tiny_bert_folder: Path, data: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    return train(write_recipe(folder, "tiny", str(tiny_bert_folder), data), folder / "runs")


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2_folder: Path, data: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("writer")
    recipe = write_recipe(folder, "writer", str(tiny_gpt2_folder), data, task="text-generation")
    return train(recipe, folder / "runs")


def comparison(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / layout.COMPRESSION).read_text(encoding="utf-8"))
    return found


def test_a_student_is_an_ordinary_run_that_names_its_parent(parent: Path) -> None:
    before = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    run = compressed(parent, "distill", "compress.layers=1", ANY_LOSS)
    recipe = load_recipe(run / layout.RECIPE)
    assert recipe.compress is not None and recipe.compress.options["parent"] == str(parent)
    assert (recipe.name, recipe.method.name, read_state(run).status) == ("tiny-distill", "full", "done")
    assert load_run(run).model.config.num_hidden_layers == 1
    best = next(event.data["best_step"] for event in read_events(run) if event.kind == "result")
    assert Predictor.load(run, best).classify(SENTENCES) == Predictor.load(run).classify(SENTENCES)
    assert before == {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}


def test_it_loads_without_hftune_and_answers_the_same(parent: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    run = compressed(parent, "distill", "compress.layers=1", ANY_LOSS)
    model = AutoModelForSequenceClassification.from_pretrained(run / layout.MODEL)
    tokenizer = AutoTokenizer.from_pretrained(run / layout.MODEL)
    with torch.inference_mode():
        logits = model(**tokenizer(SENTENCES, padding=True, return_tensors="pt")).logits
    ours = torch.tensor([one.logits for one in Predictor.load(run).classify(SENTENCES)], dtype=torch.float32)
    torch.testing.assert_close(logits, ours, rtol=0, atol=1e-5)


def test_it_begins_with_its_parents_layers(parent: Path) -> None:
    run = compressed(parent, "distill", "compress.layers=[1]", "training.learning_rate=1e-12", ANY_LOSS)
    student, teacher = load_run(run).model, load_run(parent).model
    torch.testing.assert_close(
        student.bert.encoder.layer[0].output.dense.weight, teacher.bert.encoder.layer[1].output.dense.weight
    )
    torch.testing.assert_close(student.classifier.weight, teacher.classifier.weight)


def test_what_is_said_of_it_is_what_evaluate_says(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = compressed(parent, "distill", "compress.layers=1", ANY_LOSS)
    found = comparison(run)
    scores = {}
    for name in (run, parent):
        capsys.readouterr()
        assert cli.run(["evaluate", str(name), "--json"]) == 0
        scores[name] = json.loads(capsys.readouterr().out)
    assert found["value"] == scores[run]["metrics"]["accuracy"]
    assert found["parent_value"] == scores[parent]["metrics"]["accuracy"]
    assert found["loss"]["value"] == pytest.approx(found["parent_value"]["value"] - found["value"]["value"])
    assert (found["rows"], found["split"]) == (scores[run]["rows"], "test")
    assert 0 < found["parameters"] < found["parent_parameters"] and 0 < found["bytes"] < found["parent_bytes"]
    rows = Predictor.load(run), Predictor.load(parent)
    from hftune.inference.scoring import load_rows

    texts = load_rows(rows[0], "test", None, lambda _: None)[1]["text"][:]
    same = [a.label == b.label for a, b in zip(*(one.classify(texts) for one in rows), strict=True)]
    assert found["agreement"]["value"] == pytest.approx(sum(same) / len(same))


def test_a_student_that_was_stopped_goes_on_to_the_same_weights(parent: Path) -> None:
    from hftune.errors import InterruptedRun
    from hftune.pipeline import train as carry_out
    from hftune.recipe.load import dump_recipe
    from hftune.runs.writer import RunWriter

    recipe = compress_recipe(parent, "distill", ["compress.layers=1", ANY_LOSS])
    with RunWriter.create(Path("runs"), "whole", dump_recipe(recipe)) as run:
        carry_out(recipe, run)
    with RunWriter.create(Path("runs"), "stopped", dump_recipe(recipe)) as stopped:
        stopped.subscribe(lambda event: stopped.ask("stop") if event.data.get("step") == 5 else None)
        with pytest.raises(InterruptedRun):
            carry_out(recipe, stopped)
    with RunWriter.open(stopped.path) as again:
        carry_out(recipe, again)
    weights = [(one.path / layout.MODEL / "model.safetensors").read_bytes() for one in (run, stopped)]
    assert weights[0] == weights[1]
    assert comparison(run.path) == comparison(stopped.path)


def test_a_student_of_another_architecture_learns_from_its_parent(parent: Path) -> None:
    student = "compress.student={architecture: lstm, config: {embedding_size: 8, hidden_size: 8}}"
    run = compressed(parent, "distill", student, ANY_LOSS)
    assert load_run(run).model.config.model_type == "lstm"
    assert len(Predictor.load(run).classify(SENTENCES)) == 3
    best = next(event.data["best_step"] for event in read_events(run) if event.kind == "result")
    finished, saved = (Predictor.load(run, step).classify(SENTENCES) for step in (None, best))
    assert [one.logits for one in saved] == [pytest.approx(one.logits, abs=1e-6) for one in finished]


def test_a_writer_is_distilled_token_by_token(writer: Path) -> None:
    run = compressed(writer, "distill", "compress.layers=1", ANY_LOSS)
    found = comparison(run)
    assert (found["metric"], found["relative"], found["p_value"]) == ("perplexity", True, None)
    expected = found["value"]["value"] / found["parent_value"]["value"] - 1
    assert found["loss"]["value"] == pytest.approx(expected)
    assert 0 <= found["agreement"]["value"] <= 1
    assert Predictor.load(run).generate("the film").tokens > 0


def test_an_adapter_is_merged_before_it_is_a_parent(
    tiny_bert_folder: Path, data: dict[str, Any], tmp_path: Path
) -> None:
    lora = train(write_recipe(tmp_path, "lora", str(tiny_bert_folder), data, method="lora"), tmp_path / "loras")
    run = compressed(lora, "distill", "compress.layers=[0]", "training.learning_rate=1e-12", ANY_LOSS)
    assert (run / layout.MODEL / "model.safetensors").is_file()
    merged = load_run(lora).model.merge_and_unload()
    student = load_run(run).model
    torch.testing.assert_close(
        student.bert.encoder.layer[0].attention.self.query.weight,
        merged.bert.encoder.layer[0].attention.self.query.weight,
    )


def test_texts_without_labels_are_learned_as_well(parent: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.txt"
    more.write_text("\n".join(["the ending was great", "a dull story", "", "never boring"]), encoding="utf-8")
    plain = compressed(parent, "distill", "compress.layers=1", ANY_LOSS)
    run = compressed(parent, "distill", "compress.layers=1", f"compress.unlabelled={more}", ANY_LOSS)
    plans = [next(event.data for event in read_events(one) if event.kind == "plan") for one in (plain, run)]
    assert plans[1]["train_examples"] == plans[0]["train_examples"] + 3
    assert plans[1]["examples"]["test"] == plans[0]["examples"]["test"]


def more_texts(folder: Path) -> Path:
    path = folder / "more.txt"
    lines = [f"the {one} was {other} and {two} was not" for one in WORDS[:6] for two in WORDS[3:6] for other in WORDS]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def prepared_with(recipe: Any, file: Path) -> tuple[Any, Any]:
    """The train split of a recipe's data, and the same with a file of texts behind it."""
    from hftune import tasks
    from hftune.compressors._parent import load_parent
    from hftune.compressors._unlabelled import with_unlabelled
    from hftune.data.load import load_splits

    parent = load_parent(recipe, torch.device("cpu"))
    task = tasks.registry.load(recipe.task.name)
    splits = load_splits(recipe.data, lambda _: None)
    prepared = task.prepare(recipe, splits, parent.loaded.tokenizer, parent.model.config)
    return prepared, with_unlabelled(prepared, recipe, task, parent, file, lambda _: None)


def test_texts_of_a_masked_model_are_masked_anew_in_each_epoch(
    tiny_bert_folder: Path, data: dict[str, Any], tmp_path: Path
) -> None:
    guesser = train(write_recipe(tmp_path, "masks", str(tiny_bert_folder), data, task="fill-mask"), tmp_path / "masks")
    before, after = prepared_with(compress_recipe(guesser, "distill", ["compress.layers=1"]), more_texts(tmp_path))
    mask = before.tokenizer.mask_token_id
    added = after.splits["train"].select(range(len(before.splits["train"]), len(after.splits["train"])))
    assert len(added) > 100
    assert not any(mask in ids for ids in added["input_ids"]), "what may be hidden is hidden when it is drawn"
    hidden = [[place for place, label in enumerate(after.draw(added[0], epoch)["labels"]) if label != -100] for epoch in
              range(8)]  # fmt: skip
    assert len({tuple(places) for places in hidden}) > 1


def test_texts_of_a_packed_writer_are_packed(tiny_gpt2_folder: Path, data: dict[str, Any], tmp_path: Path) -> None:
    packed = {**data, "pack": True, "too_long": "window", "window": {"stride": 8}}
    recipe = write_recipe(tmp_path, "packed", str(tiny_gpt2_folder), packed, task="text-generation")
    run = train(recipe, tmp_path / "packs")
    before, after = prepared_with(compress_recipe(run, "distill", ["compress.layers=1"]), more_texts(tmp_path))
    assert "position_ids" in after.splits["train"].column_names
    assert len(after.splits["train"]) > len(before.splits["train"])


def test_a_file_of_texts_is_found_from_anywhere_and_must_be_there(parent: Path, tmp_path: Path) -> None:
    file = more_texts(tmp_path)
    recipe = compress_recipe(parent, "distill", ["compress.layers=1", "compress.unlabelled=more.txt"])
    assert recipe.compress is not None and recipe.compress.options["unlabelled"] == str(file)
    file.unlink()
    from hftune.compressors._parent import check_parent

    with pytest.raises(RecipeError, match="there is no file"):
        check_parent(recipe)


def test_a_file_of_texts_that_changed_is_no_exact_resume(parent: Path, tmp_path: Path) -> None:
    from hftune.errors import InterruptedRun
    from hftune.pipeline import train as carry_out
    from hftune.recipe.load import dump_recipe
    from hftune.runs.writer import RunWriter

    file = more_texts(tmp_path)
    recipe = compress_recipe(parent, "distill", ["compress.layers=1", f"compress.unlabelled={file}", ANY_LOSS])
    with RunWriter.create(Path("runs"), "stopped", dump_recipe(recipe)) as run:
        run.subscribe(lambda event: run.ask("stop") if event.data.get("step") == 3 else None)
        with pytest.raises(InterruptedRun):
            carry_out(recipe, run)
    file.write_text("the film was good", encoding="utf-8")
    with RunWriter.open(run.path) as again, pytest.raises(RunError, match="unlabelled"):
        carry_out(recipe, again)


def test_a_writer_that_reads_less_is_compared_on_what_it_reads(writer: Path) -> None:
    run = compressed(writer, "distill", "compress.layers=1", "data.max_length=6", ANY_LOSS)
    assert comparison(run)["rows"] > 0


def test_without_held_out_rows_nothing_is_trained(
    tiny_bert_folder: Path, data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = {**data, "validation_share": 0, "test_share": 0}
    run = train(write_recipe(tmp_path, "alone", str(tiny_bert_folder), alone), tmp_path / "alone")
    assert compress(run, "distill", "compress.layers=1") == 2
    assert "no rows are held out" in capsys.readouterr().err
    assert not any(event.kind == "train" for event in read_events(list_runs()[0].path))


def test_an_adapters_rate_is_never_that_of_all_weights(
    tiny_bert_folder: Path, data: dict[str, Any], tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, "lora", str(tiny_bert_folder), data, method="lora")
    lora = train(recipe, tmp_path / "loras")
    half = compressed(lora, "quantize", "compress.format=bf16", ANY_LOSS)
    assert [compress_recipe(one, "distill").training.learning_rate for one in (lora, half)] == [5e-5, 5e-5]
    found = comparison(half)
    base = (tiny_bert_folder / "model.safetensors").stat().st_size
    assert found["parent_bytes"] > base > found["bytes"] - base


def test_a_student_must_have_room_for_its_parents_texts(parent: Path) -> None:
    from hftune.compressors._parent import check_parent

    small = "{architecture: bert, config: {hidden_size: 16, num_attention_heads: 2, max_position_embeddings: 8}}"
    with pytest.raises(RecipeError, match="it reads 8 tokens, and its parent's texts have up to 32"):
        check_parent(compress_recipe(parent, "distill", [f"compress.student={small}"]))


def test_a_student_from_scratch_knows_as_many_tokens_as_its_parents_table(parent: Path) -> None:
    from hftune.compressors.distill import Student, _section

    student = Student(architecture="lstm", config={"hidden_size": 8})
    config = load_run(parent).model.config
    config.vocab_size += 5  # padded, as tables often are
    assert _section(student, config).config == {"hidden_size": 8, "vocab_size": config.vocab_size}


def test_runs_that_were_copied_together_find_each_other(parent: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    shutil.copytree(parent, here / parent.name)
    run = compressed(here / parent.name, "distill", "compress.layers=1", ANY_LOSS)
    shutil.move(run, here / run.name)
    elsewhere = tmp_path / "elsewhere"
    here.rename(elsewhere)
    theirs = Predictor.load_base(elsewhere / run.name)
    assert theirs.loaded.path == elsewhere / parent.name
    assert theirs.classify(SENTENCES) == Predictor.load(parent).classify(SENTENCES)
    shutil.rmtree(elsewhere / parent.name)
    with pytest.raises(RunError, match="no longer there"):
        Predictor.load_base(elsewhere / run.name)


def test_a_model_that_lost_too_much_is_an_error_and_is_kept(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ruined = ["compress.layers=1", "training.learning_rate=3.0", "training.max_grad_norm=0", "compress.max_loss=0"]
    assert compress(parent, "distill", *ruined) == 1
    run = list_runs()[0].path
    said = capsys.readouterr().err
    assert "worse than its parent on test" in said and "compress.max_loss allows 0 points" in said
    assert read_state(run).status == "failed"
    assert len(Predictor.load(run).classify(SENTENCES)) == 3
    assert comparison(run)["loss"]["value"] > 0
    assert cli.run(["resume", str(run), "--allow-inexact", "-s", "compress.max_loss=1", "--json"]) == 0
    assert read_state(run).status == "done"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("compress.layers=[7]", "there is no layer 7: the model has 2, counted from 0"),
        ("compress.layers=[]", "no layer is kept"),
        ("compress.layers=2", "2 layers are no fewer than the 2 that there are"),
        ("compress.layers=0", "compress.layers"),
        ("compress.layer=1", "unknown key"),
        ("compress.student={architecture: lstn}", "no architecture 'lstn'"),
        ("compress.student={architecture: lstm, config: {width: 3}}", "lstm has no such setting"),
        ("compress.temperature=0", "compress.temperature"),
    ],
)
def test_what_cannot_be_made_is_said_before_a_run_is(
    parent: Path, override: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compress(parent, "distill", override) == 2
    assert expected in capsys.readouterr().err
    assert list_runs() == []


def test_a_student_is_layers_or_a_network_of_its_own(parent: Path) -> None:
    both = ["compress.layers=1", "compress.student={architecture: lstm}"]
    with pytest.raises(RecipeError, match="give either"):
        compress_recipe(parent, "distill", both)


def test_a_parent_must_be_finished_and_the_way_known(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no compressor named 'destill'"):
        compress_recipe(parent, "destill")
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    with pytest.raises(RunError, match="no finished model yet"):
        compress_recipe(unfinished, "distill")


def test_a_parent_that_is_gone_ends_the_run_with_an_error(parent: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(parent, elsewhere)
    recipe = compress_recipe(elsewhere, "distill", ["compress.layers=1"])
    shutil.rmtree(elsewhere)
    from hftune.compressors._parent import check_parent

    with pytest.raises(RunError, match="the parent is gone or not finished"):
        check_parent(recipe)


def test_without_a_way_the_command_says_which_there_are(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["compress", str(parent)]) == 2
    assert "distill, prune or quantize" in capsys.readouterr().err


def test_a_checkpoint_is_no_parent(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["compress", f"{parent}@12", "--method", "distill"]) == 2
    assert "a checkpoint cannot be made smaller" in capsys.readouterr().err


def test_its_recipe_can_be_checked(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hftune.recipe.load import dump_recipe

    file = tmp_path / "smaller.yaml"
    file.write_text(dump_recipe(compress_recipe(parent, "distill", ["compress.layers=1"])), encoding="utf-8")
    assert cli.run(["check", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert f"makes {parent.name} smaller (distill)" in said["summary"]
    assert "no-estimate" in [one["code"] for one in said["findings"]]
    file.write_text(file.read_text().replace("layers: 1", "layers: 9"), encoding="utf-8")
    assert cli.run(["check", str(file)]) == 2
    assert "9 layers are no fewer than the 2 that there are" in capsys.readouterr().out


def test_other_methods_go_with_no_compressor(parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compress(parent, "distill", "method=lora") == 2
    assert "method: full" in capsys.readouterr().err


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 9), (12, 1), (40, 60)])
def test_mcnemars_test_is_the_exact_binomial_one(first: int, second: int) -> None:
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)
