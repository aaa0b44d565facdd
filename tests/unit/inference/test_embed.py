"""hftune embed: vectors against plain transformers, neighbours against numpy, files read back, what cannot be asked."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

from hftune import cli
from hftune.data.load import load_splits
from hftune.inference import text_sources
from hftune.inference.embedding import embed_texts, unit, usual_pooling, word_table
from hftune.inference.loading import load_run
from hftune.inference.predictor import Predictor
from hftune.inference.text_sources import NearestTexts, Numbered, spread
from hftune.runs import layout

TEXTS = ["the film was good", "fine", "we loved the very warm and clever ending of it all !"]


def embed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[Any], str]:
    """Run `hftune embed --json`; return exit code, records, stderr."""
    code = cli.run(["embed", *map(str, words), "--json"])
    shown = capsys.readouterr()
    return code, [json.loads(line) for line in shown.out.splitlines()], shown.err


def said(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    """Run `hftune embed` and return the lines for people, all at most 80 columns wide."""
    assert cli.run(["embed", *map(str, words)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    return lines


def plain_states(folder: Path, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return last hidden states and mask of one padded batch, by transformers alone."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    tokenizer.padding_side = "right"
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    return states, batch["attention_mask"]


# Texts


@pytest.mark.parametrize("kind", ["full_run", "mask_run", "language_run"])
def test_vectors_are_those_of_sentence_transformers_formula(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    run = request.getfixturevalue(kind)
    states, mask = plain_states(run / "model", TEXTS)
    # https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2: mean_pooling, then normalize
    wide = mask.unsqueeze(-1).expand(states.size()).float()
    mean = torch.sum(states * wide, 1) / torch.clamp(wide.sum(1), min=1e-9)
    code, records, _ = embed(capsys, run, *TEXTS)
    assert code == 0
    np.testing.assert_allclose([record["vector"] for record in records], mean.numpy(), rtol=1e-4, atol=1e-5)
    assert [record["tokens"] for record in records] == mask.sum(1).tolist()
    _, records, _ = embed(capsys, run, *TEXTS, "--normalize")
    expected = torch.nn.functional.normalize(mean, p=2, dim=1).numpy()
    np.testing.assert_allclose([record["vector"] for record in records], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["full_run", "language_run"])
def test_the_first_and_the_last_token_can_stand_for_a_text(kind: str, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue(kind)
    states, mask = plain_states(run / "model", TEXTS)
    loaded = load_run(run)
    first, last = (embed_texts(loaded, TEXTS, how).vectors for how in ("first", "last"))  # type: ignore[arg-type]
    np.testing.assert_allclose(first, states[:, 0].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(last, states[torch.arange(3), mask.sum(1) - 1].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["full_run", "lora_run", "language_run", "lstm_run"])
def test_a_text_alone_has_the_vector_that_it_has_among_others(kind: str, request: pytest.FixtureRequest) -> None:
    loaded = load_run(request.getfixturevalue(kind))
    together = embed_texts(loaded, TEXTS, batch_size=2).vectors
    alone = np.concatenate([embed_texts(loaded, [text]).vectors for text in TEXTS])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_an_lstm_text_is_the_state_that_its_classifier_reads(lstm_run: Path) -> None:
    loaded = load_run(lstm_run)
    assert usual_pooling(loaded.model) == "last"
    vectors = torch.from_numpy(embed_texts(loaded, TEXTS).vectors)
    logits = loaded.model.classifier(vectors)
    expected = [prediction.logits for prediction in Predictor(loaded).classify(TEXTS)]
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert usual_pooling(load_run(lstm_run).model) != "mean"


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft asks transformers for it
def test_an_adapter_has_its_part_in_the_vectors(lora_run: Path, tiny_bert_folder: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    loaded = load_run(lora_run)
    plain = AutoModelForSequenceClassification.from_pretrained(tiny_bert_folder, num_labels=2)
    adapted = PeftModel.from_pretrained(plain, lora_run / "model").eval()
    batch = AutoTokenizer.from_pretrained(tiny_bert_folder)(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        expected = adapted.base_model.model.bert(**batch).last_hidden_state.mean(1)
        bare = plain_states(tiny_bert_folder, TEXTS[:1])[0].mean(1)
    found = embed_texts(loaded, TEXTS[:1]).vectors
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert not np.allclose(found, bare.numpy(), atol=1e-3)


def test_windows_of_a_long_text_count_by_their_tokens(runs: Any, tmp_path: Path) -> None:
    data = {"max_length": 8, "too_long": "window", "window": {"stride": 2}}
    run = runs.classifier_run(tmp_path / "windows", data=data)
    loaded, text = load_run(run), "the film was good . " * 4
    words = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = [[2, *words[start : start + 6], 3] for start in range(0, len(words) - 2, 4)]
    states = []
    for window in windows:
        with torch.no_grad():
            states.append(loaded.model.bert(torch.tensor([window])).last_hidden_state[0])
    mean = torch.cat(states).mean(0, keepdim=True).numpy()
    found = embed_texts(loaded, [text])
    np.testing.assert_allclose(found.vectors, mean, rtol=1e-4, atol=1e-5)
    assert (found.tokens, found.truncated) == ([len(words) + 2], [False])
    np.testing.assert_allclose(embed_texts(loaded, [text], "last").vectors[0], states[-1][-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(embed_texts(loaded, [text], "first").vectors[0], states[0][0], rtol=1e-4, atol=1e-5)
    cut = embed_texts(load_run(runs.classifier_run(tmp_path / "cut", data={"max_length": 8})), [text])
    assert (cut.tokens, cut.truncated) == ([len(words) + 2], [True])


def test_a_checkpoint_can_be_embedded(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = layout.checkpoint_step(layout.checkpoints(full_run)[0])
    _, (early,), _ = embed(capsys, f"{full_run}@{step}", TEXTS[0])
    _, (final,), _ = embed(capsys, full_run, TEXTS[0])
    assert len(early["vector"]) == len(final["vector"]) == 32


def test_people_see_how_near_texts_are(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, full_run, *TEXTS, "film " * 60)
    vectors = unit(embed_texts(load_run(full_run), TEXTS).vectors)
    row = next(line for line in lines if line.startswith("1  the film was good"))
    assert [float(value) for value in row.split()[-4:-1]] == pytest.approx((vectors @ vectors[0]).tolist(), abs=6e-4)
    assert sum("32 numbers of length" in line for line in lines) == 4
    assert any("only the beginning was read" in line for line in lines)
    lines = said(capsys, full_run, *(f"film {word}" for word in "abcdefghij"))
    assert lines[-1] == "(cosines of the first 8 of 10)"


def test_lines_of_standard_input_are_texts(
    full_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one film\n\na good \ud800 plot\n"))
    _, records, _ = embed(capsys, full_run)
    assert [record["row"] for record in records] == [1, 3]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert cli.run(["embed", str(full_run)]) == 2
    assert "no text" in capsys.readouterr().err


# Texts of files and splits


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    rows = [f"{word},a {word} film" for word in ("good", "bad", "dull", "fine", "warm", "cold", "weak", "funny")]
    path.write_text("label,text\n" + "\n".join(rows) + "\nnone,\n")
    return path


def test_nearest_texts_of_a_file_are_those_of_numpy(
    full_run: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text_sources, "CHUNK", 3)
    code, records, errors = embed(
        capsys, full_run, "--input", file, "--near", "a lovely film", "--near", "bad", "--top", "4"
    )
    assert code == 0
    assert "new.csv:10: 'text' is empty; left out" in errors
    texts = [line.split(",")[1] for line in file.read_text().splitlines()[1:9]]
    loaded = load_run(full_run)
    table = unit(embed_texts(loaded, texts).vectors)
    for record in records:
        cosines = table @ unit(embed_texts(loaded, [record["near"]]).vectors)[0]
        order = np.argsort(-cosines, kind="stable")[:4]
        assert [one["text"] for one in record["neighbours"]] == [texts[place] for place in order]
        assert [one["row"] for one in record["neighbours"]] == [place + 2 for place in order]  # the header is line 1
        assert [one["cosine"] for one in record["neighbours"]] == pytest.approx(cosines[order].tolist(), rel=1e-4)


def test_nearest_texts_of_a_split_are_found(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = load_splits(load_run(full_run).recipe.data)["train"]
    lines = said(capsys, full_run, "--split", "train", "--near", train["text"][5], "--top", "3")
    assert lines[0] == train["text"][5]
    assert lines[2].split()[:2] == ["1.000", "5"]
    assert len(lines) == 5


def test_equal_texts_come_in_the_order_of_their_rows() -> None:
    vectors = np.ones((4, 3), dtype=np.float32)
    search = NearestTexts(vectors[:1], 2)
    for row in range(0, 4, 2):
        search.show([Numbered(row, "a"), Numbered(row + 1, "b")], vectors[:2])
    assert [one["row"] for one in search.result()[0]] == [0, 1]


def test_rows_are_spread_evenly() -> None:
    assert spread(10, 4) == [0, 2, 5, 7]
    assert spread(3, 5) == spread(3, None) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["language_run", "lora_run"])
def test_vectors_of_a_split_are_written_with_their_texts(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = request.getfixturevalue(kind)
    loaded = load_run(run)
    texts = load_splits(loaded.recipe.data)["test"]["text"][:]
    code, (record,), errors = embed(capsys, run, "--split", "test", "--output", tmp_path / "v.parquet")
    assert code == 0
    assert record == {"output": [str(tmp_path / "v.parquet")], "rows": len(texts), "width": 32}
    assert f"{len(texts)} texts, 32 numbers each" in errors
    table = parquet.read_table(tmp_path / "v.parquet")
    assert table["text"].to_pylist() == texts
    assert table["row"].to_pylist() == list(range(len(texts)))
    expected = embed_texts(loaded, texts).vectors
    np.testing.assert_allclose(np.stack(table["vector"].to_pylist()), expected, rtol=1e-5, atol=1e-6)


def test_a_numpy_file_has_its_names_beside_it(
    full_run: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text_sources, "CHUNK", 3)
    code, (record,), _ = embed(capsys, full_run, "--input", file, "--output", tmp_path / "v.npy")
    assert code == 0
    array = np.load(tmp_path / "v.npy")
    names = [json.loads(line) for line in (tmp_path / "v.names.jsonl").read_text().splitlines()]
    assert (array.shape, array.dtype) == ((8, 32), np.float32)
    expected = embed_texts(load_run(full_run), [name["text"] for name in names]).vectors
    np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-6)
    assert names[0] == {"row": 2, "text": "a good film"}
    assert record["output"] == [str(tmp_path / "v.npy"), str(tmp_path / "v.names.jsonl")]
    assert sorted(path.name for path in tmp_path.iterdir() if "v." in path.name) == ["v.names.jsonl", "v.npy"]


def test_many_bad_rows_are_counted(full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine"}\n' + '{"text": ""}\n' * 25)
    code, records, errors = embed(capsys, full_run, "--input", path)
    assert (code, len(records)) == (0, 1)
    assert errors.count("left out") == 20
    assert "and 5 more" in errors


# Words


def test_the_table_is_written_as_it_is(full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import load_file
    from transformers import AutoTokenizer

    assert embed(capsys, full_run, "--words", "--output", tmp_path / "w.parquet")[0] == 0
    assert embed(capsys, full_run, "--words", "--normalize", "--output", tmp_path / "w.npy")[0] == 0
    table = parquet.read_table(tmp_path / "w.parquet")
    weights = load_file(full_run / "model" / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(np.stack(table["vector"].to_pylist()).astype(np.float32), weights)
    tokenizer = AutoTokenizer.from_pretrained(full_run / "model")
    assert table["word"].to_pylist() == tokenizer.convert_ids_to_tokens(range(len(weights)))
    lengths = np.linalg.norm(np.load(tmp_path / "w.npy"), axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(weights, axis=1) > 0, rtol=1e-5)  # [PAD] is 0 and stays so


def test_single_words_are_shown_and_written(full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = word_table(load_run(full_run).model)
    code, records, _ = embed(capsys, full_run, "--words", "Good", "goods")
    assert code == 0
    tokenizer = load_run(full_run).tokenizer
    assert records[0]["pieces"] == ["good"]
    np.testing.assert_allclose(records[0]["vector"], table[tokenizer.convert_tokens_to_ids("good")], rtol=1e-6)
    assert len(records[1]["pieces"]) == 2
    mean = table[tokenizer.convert_tokens_to_ids(records[1]["pieces"])].mean(0)
    np.testing.assert_allclose(records[1]["vector"], mean, rtol=1e-6)
    lines = said(capsys, full_run, "--words", "good", "goods", "bad")
    assert "mean of its 2 pieces: good ##s" in lines[2]
    assert lines[-3].startswith("1  good")
    assert embed(capsys, full_run, "--words", "good", "bad", "--output", tmp_path / "two.npy")[0] == 0
    assert np.load(tmp_path / "two.npy").shape == (2, 32)


def test_an_adapted_table_is_read_through_its_adapter(lora_run: Path, tiny_bert_folder: Path) -> None:
    from transformers import AutoModel

    weights = AutoModel.from_pretrained(tiny_bert_folder).get_input_embeddings().weight.detach().numpy()
    np.testing.assert_array_equal(word_table(load_run(lora_run).model), weights)


# What cannot be


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input", "a.csv", "--split", "train"], "--input and --split at once"),
        (["--words", "--split", "train"], "--words goes with words"),
        (["--near", "good", "--changed"], "--near and --changed at once"),
        (["a text", "--split", "train"], "texts beside"),
        (["--near", "good", "--output", "v.npy"], "--output is for vectors"),
        (["a", "--output", "v.csv"], "vectors go into .parquet or .npy"),
        (["a", "--output", "nowhere/v.npy"], "there is no folder"),
        (["a", "--top", "0"], "--top 0"),
        (["--changed", "--rows", "5"], "--rows is for --contextual"),
        (["--words"], "the table has 135 rows"),
        (["--near", "a good film"], "'a good film' is more than one word"),
        (["--near", " "], "is no word"),
        (["--near", "坏"], "the vocabulary does not know '坏'"),
        (["--input", "missing.csv"], "no such file"),
        (["--split", "dev2"], "no dev2 split"),
    ],
)
def test_what_cannot_be_asked_is_said(
    full_run: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["embed", str(full_run), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_file_without_the_column_names_those_it_has(
    full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path := tmp_path / "other.csv").write_text("texts,label\na,b\n")
    assert cli.run(["embed", str(full_run), "--input", str(path)]) == 2
    assert "no column 'text'" in (shown := capsys.readouterr().err)
    assert "'texts'" in shown
    (empty := tmp_path / "empty.csv").write_text("text\n")
    assert cli.run(["embed", str(full_run), "--input", str(empty), "--output", str(tmp_path / "v.npy")]) == 2
    assert "no text" in capsys.readouterr().err
    assert not list(tmp_path.glob("v.*"))


def test_a_terminal_without_texts_gets_told_how_to_ask(
    full_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert cli.run(["embed", str(full_run)]) == 2
    assert "--near WORD" in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_of_a_file(
    full_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hftune.inference import vector_files

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vector_files, "fsync_file", full)
    for name in ("v.npy", "v.parquet"):
        assert cli.run(["embed", str(full_run), "a film", "--output", str(tmp_path / name)]) == 1
        assert "No space left on device" in capsys.readouterr().err
        assert not list(tmp_path.glob("v.*"))
    (tmp_path / "d.npy").mkdir()
    assert cli.run(["embed", str(full_run), "a", "--output", str(tmp_path / "d.npy")]) == 2
    assert "d.npy is there and no file" in capsys.readouterr().err
