"""Masked words guessed: as plain transformers does, for people and programs, on the command line and in the worker."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hftune import cli
from hftune.asking.answers import filling_lines
from hftune.asking.conversation import Conversation
from hftune.asking.decoding import Decoding
from hftune.asking.protocol import Events
from hftune.commands.bars import drawable
from hftune.errors import UsageError
from hftune.inference.filling import word
from hftune.inference.predictor import Predictor, TaskError
from hftune.inference.worker import Worker

TEXTS = ["the film was [MASK]", "[MASK] loved the very warm [MASK] ."]


def predict(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[Any], str]:
    """Run `hftune predict --json`; return exit code, records, stderr."""
    code = cli.run(["predict", *map(str, words), "--json"])
    shown = capsys.readouterr()
    return code, [json.loads(line) for line in shown.out.splitlines()], shown.err


def test_guesses_are_those_of_plain_transformers(mask_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    code, records, _ = predict(capsys, mask_run, *TEXTS, "--top", "3")
    assert code == 0
    model = AutoModelForMaskedLM.from_pretrained(mask_run / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(mask_run / "model")
    for record, text in zip(records, TEXTS, strict=True):
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            shares = model(**inputs).logits[inputs["input_ids"] == tokenizer.mask_token_id].softmax(-1)
        best = shares.topk(3)
        assert record["text"] == text
        assert len(record["masks"]) == text.count("[MASK]")
        for guesses, values, tokens in zip(record["masks"], best.values, best.indices, strict=True):
            assert [guess["token"] for guess in guesses] == tokenizer.convert_ids_to_tokens(tokens)
            assert [guess["probability"] for guess in guesses] == pytest.approx(values.tolist(), rel=1e-4)
        assert (record["tokens"], record["truncated"]) == (inputs["input_ids"].shape[1], False)


def test_a_batch_gives_the_guesses_of_each_text_alone(mask_run: Path) -> None:
    predictor = Predictor.load(mask_run)
    together = predictor.fill(TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = predictor.fill([text])
        for mine, other in zip(found.masks, alone.masks, strict=True):
            assert [token for token, _ in mine] == [token for token, _ in other]
            assert [share for _, share in mine] == pytest.approx([share for _, share in other], rel=1e-4)
    assert predictor.fill(TEXTS, cancelled=lambda: True) == []
    assert predictor.describe()["mask"] == "[MASK]"


def test_people_get_bars_for_each_mask(mask_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["predict", str(mask_run), TEXTS[1]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines if "mask " in line] == ["mask 1", "mask 2"]
    assert sum("░" in line for line in lines) == 10
    assert max(map(len, lines)) <= 80


def test_an_ascii_terminal_gets_an_ascii_bar() -> None:
    filling = {"masks": [[{"token": "a" * 60, "probability": 0.5}]], "tokens": 4, "truncated": True}
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    shown = drawable(filling_lines(filling), stream)
    assert "#" in shown[0]
    assert "only the beginning was read" in shown[1]
    assert len("  " + shown[0]) <= 80


def test_a_text_without_a_mask_gets_an_error_in_its_place(mask_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, records, errors = predict(capsys, mask_run, "the film", TEXTS[0])
    assert code == 0
    assert "no [MASK] in 'the film'" in records[0]["error"]
    assert "no [MASK]" in errors
    assert records[1]["masks"]


def test_lines_from_standard_input_are_filled(
    mask_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(TEXTS) + "\n"))
    _, records, _ = predict(capsys, mask_run)
    assert [record["text"] for record in records] == TEXTS


def test_a_mask_beyond_what_is_read_is_said(mask_run: Path) -> None:
    predictor = Predictor.load(mask_run)
    long = "film " * 40
    (found,) = predictor.fill(["[MASK] " + long + "[MASK]"])
    assert (len(found.masks), found.truncated, found.tokens) == (1, True, 44)
    with pytest.raises(UsageError, match="masks stand after its first 32 tokens"):
        predictor.fill([long + "[MASK]"])


def test_what_cannot_be_asked_says_what_can(mask_run: Path, full_run: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(mask_run)
    with pytest.raises(TaskError, match="guesses masked words") as caught:
        predictor.classify(["a"])
    assert "hftune predict" in caught.value.hint
    with pytest.raises(TaskError, match="writes no text"):
        predictor.generate("a")
    with pytest.raises(TaskError, match=r"gives labels.*it guesses no masked words"):
        Predictor.load(full_run).fill(TEXTS)
    with pytest.raises(UsageError, match="top 0"):
        predictor.fill(TEXTS, top=0)
    (file := tmp_path / "a.csv").write_text("text\na\n")
    assert cli.run(["predict", str(mask_run), "--input", str(file)]) == 2
    assert cli.run(["predict", str(mask_run), "a", "--top", "0"]) == 2


def test_a_piece_of_a_character_is_shown_as_the_vocabulary_has_it(runs: Any) -> None:
    tokenizer = runs.byte_tokenizer()
    piece = tokenizer("坏")["input_ids"][0]
    assert word(tokenizer, piece) == tokenizer.convert_ids_to_tokens(piece)
    assert word(tokenizer, tokenizer(" film")["input_ids"][0]).strip() == word(
        tokenizer, tokenizer(" film")["input_ids"][0]
    )


def test_the_worker_fills_texts(mask_run: Path) -> None:
    asked = [
        {"id": 1, "op": "fill", "texts": TEXTS, "top": 2},
        {"id": 2, "op": "fill", "texts": ["no mask"]},
        {"id": 3, "op": "fill", "texts": TEXTS, "top": 0},
        {"id": 4, "op": "classify", "texts": TEXTS},
    ]
    out = io.BytesIO()
    lines = "\n".join(map(json.dumps, asked)).encode()
    Worker(io.BytesIO(lines), Events(out), lambda reference: (Path(reference), None), (mask_run, None)).serve()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    (result,) = [event["data"] for event in events if event["id"] == 1 and event["event"] == "result"]
    assert [[len(guesses) for guesses in one["masks"]] for one in result["fillings"]] == [[2], [2, 2]]
    codes = {event["id"]: event["code"] for event in events if event["event"] == "error"}
    assert codes == {2: "bad-request", 3: "bad-request", 4: "task"}


def test_chat_fills_lines_and_remembers_nothing(mask_run: Path) -> None:
    command = [sys.executable, "-m", "hftune", "chat", str(mask_run)]
    lines = f"{TEXTS[0]}\nno mask here\n{TEXTS[1]}\n"
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "[MASK] stands for a word to be guessed" in done.stderr
    assert "no [MASK] in 'no mask here'" in done.stderr
    assert done.stdout.count("mask 1") == 1
    assert sum("░" in line for line in done.stdout.splitlines()) == 15


def test_a_conversation_asks_for_fillings() -> None:
    class Client:
        asked: list[Any] = []  # noqa: RUF012

        def request(self, op: str, **fields: Any) -> int:
            self.asked.append((op, fields))
            return 1

        def next_event(self, id: Any) -> dict[str, Any]:
            return {"id": 1, "event": "done", "cancelled": False}

    conversation = Conversation(Client(), Decoding())  # type: ignore[arg-type]
    conversation.model = {"task": "fill-mask"}
    conversation.ask("a [MASK]", lambda event: None)
    assert Client.asked == [("fill", {"model": "main", "texts": ["a [MASK]"]})]
    assert conversation.messages == []
