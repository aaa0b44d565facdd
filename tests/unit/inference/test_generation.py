"""Answers: the prompt's form, greedy and seeded, streamed, stopped, cut to the context."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from hftune import cli
from hftune.asking.decoding import Decoding
from hftune.errors import ModelError, UsageError
from hftune.inference.predictor import Predictor
from hftune.inference.prompts import make_prompt, running_text
from hftune.sanitize import sanitize

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
GREEDY = Decoding(temperature=0.0, repetition_penalty=1.0)


@pytest.fixture(scope="module")
def predictor(generator: Path) -> Predictor:
    return Predictor.load(generator)


def test_a_trained_language_model_goes_on_as_it_learned_and_ends(language_run: Path) -> None:
    answer = Predictor.load(language_run).generate("the film was", GREEDY)
    assert (answer.text, answer.finish_reason) == (" good and i liked it .", "eos")


def test_greedy_is_what_plain_generate_gives(predictor: Predictor) -> None:
    import torch

    ids = predictor.loaded.tokenizer("The film", return_tensors="pt")
    plain = predictor.loaded.model.generate(**ids, do_sample=False, max_new_tokens=20, pad_token_id=0)
    new = plain[0, ids["input_ids"].shape[1] :]
    text = predictor.loaded.tokenizer.decode(new, skip_special_tokens=True)
    answer = predictor.generate("The film", Decoding(temperature=0, repetition_penalty=1.0, max_new_tokens=20))
    assert text.startswith(answer.text) and answer.tokens == len(new)
    assert answer.seed is None and torch.is_tensor(new)


def test_a_seed_gives_the_same_answer_again_and_a_drawn_one_is_told(predictor: Predictor) -> None:
    first = predictor.generate("The", Decoding())
    assert predictor.generate("The", Decoding(seed=first.seed)).text == first.text
    assert predictor.generate("The", Decoding(seed=1)).text != predictor.generate("The", Decoding(seed=2)).text


def test_pieces_add_up_to_the_answer_and_its_figures_fit(predictor: Predictor) -> None:
    pieces: list[str] = []
    answer = predictor.generate("The", Decoding(seed=5), lambda piece, tokens: pieces.append(piece))
    assert "".join(pieces) == answer.text
    assert 0 < answer.time_to_first_token <= answer.seconds and answer.tokens_per_second > 0
    assert (answer.finish_reason, answer.tokens) == ("length", 60)


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(predictor: Predictor) -> None:
    whole = predictor.generate("The", Decoding(seed=5)).text
    stop = whole[10:13]
    answer = predictor.generate("The", Decoding(seed=5, stop=(stop,)))
    assert answer.finish_reason == "stop" and answer.text == whole[: whole.index(stop)]


def test_cancelling_keeps_the_text_so_far(predictor: Predictor) -> None:
    seen: list[str] = []
    answer = predictor.generate("The", Decoding(seed=5), lambda piece, _: seen.append(piece), lambda: len(seen) >= 3)
    assert answer.finish_reason == "cancelled" and answer.tokens < 60
    assert answer.text == "".join(seen)


def test_banned_words_are_not_written(predictor: Predictor) -> None:
    plain = " ".join(predictor.generate("The", Decoding(seed=seed)).text for seed in range(8))
    assert " ending" in plain and " ve" in plain
    banned = Decoding(ban=("ending", "VE"))
    for seed in range(8):
        text = predictor.generate("The", Decoding(seed=seed, ban=banned.ban)).text
        assert not re.search(r"(?<!\w)(ending|ve)(?!\w)", text, re.IGNORECASE)


def test_a_prompt_too_long_keeps_its_end_and_says_so(predictor: Predictor) -> None:
    answer = predictor.generate("The film was good. " * 60, Decoding(max_new_tokens=8, seed=1))
    assert answer.prompt_tokens == 64 - 8 and "do not fit" in answer.notes[0]
    answer = predictor.generate("The", Decoding(max_new_tokens=500, seed=1))
    assert answer.tokens <= 64 and "at most" in answer.notes[0]


def test_an_empty_prompt_begins_a_text_without_a_warning(
    predictor: Predictor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    assert predictor.generate("", Decoding(seed=1)).prompt_tokens == 1
    assert not caplog.records


def test_a_running_text_puts_each_line_on_its_own(predictor: Predictor) -> None:
    messages = [
        {"role": "user", "content": "The film"},
        {"role": "assistant", "content": " was good"},
        {"role": "user", "content": "The plot"},
        {"role": "assistant", "content": " too"},
        {"role": "user", "content": ""},
    ]
    assert running_text(messages) == "The film was good\nThe plot too"


def test_prompts_look_as_the_run_was_trained(runs: Any) -> None:
    tokenizer = runs.byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    talk = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "and"},
    ]

    def text(style: Any, asked: Any) -> str:
        return tokenizer.decode(make_prompt(tokenizer, style, asked, 5, None).ids)

    assert text("chat", "hello") == "user: hello<|endoftext|>\nassistant:"
    assert text("chat", talk).endswith("assistant: yes<|endoftext|>\nuser: and<|endoftext|>\nassistant:")
    assert text("completion", talk) == "and"
    assert text("text", talk) == "helloyes\nand"


def test_a_long_conversation_loses_its_oldest_turns_and_keeps_instructions(runs: Any) -> None:
    tokenizer = runs.byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    talk = [{"role": "system", "content": "short"}]
    for number in range(6):
        talk += [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": f"a{number}"}]
    talk.append({"role": "user", "content": "last"})
    prompt = make_prompt(tokenizer, "chat", talk, 8, 110)
    text = tokenizer.decode(prompt.ids)
    assert len(prompt.ids) <= 102 and prompt.max_new_tokens == 8
    assert text.startswith("system: short") and text.endswith("user: last<|endoftext|>\nassistant:")
    assert "q0" not in text and "left out" in prompt.notes[0]


def test_messages_without_role_or_text_are_refused(predictor: Predictor) -> None:
    for wrong in ([], [{"content": "a"}], [{"role": "user"}], [{"role": "robot", "content": "a"}], ["a"]):
        with pytest.raises(UsageError):
            predictor.generate(wrong, GREEDY)  # type: ignore[arg-type]


def test_a_chat_answer_has_no_space_before_its_first_word(tmp_path: Path, runs: Any) -> None:
    data = {"messages": "messages", "rows": [{"messages": [{"role": "user", "content": "a"}]}]}
    predictor = Predictor.load(runs.generator_run(tmp_path / "chat", data, TEMPLATE))
    for seed in range(4):
        answer = predictor.generate("hello", Decoding(seed=seed))
        assert answer.text == answer.text.lstrip()


def test_a_chat_answer_begins_a_line_and_a_text_goes_on(
    generator: Path, tmp_path: Path, runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"messages": "messages", "rows": [{"messages": [{"role": "user", "content": "a"}]}]}
    chat = runs.generator_run(tmp_path / "chat", data, TEMPLATE)
    for run, between in ((chat, "\n"), (generator, "")):
        answer = Predictor.load(run).generate("hello", Decoding(seed=1, ban=("ve",))).text
        assert cli.run(["generate", str(run), "hello", "--seed", "1", "--ban", "ve"]) == 0
        assert capsys.readouterr().out == f"hello{between}{sanitize(answer, lines=True)}\n"


def test_a_tiny_temperature_is_nearly_greedy(predictor: Predictor) -> None:
    cold = predictor.generate("The film", Decoding(temperature=1e-45, repetition_penalty=1.0, seed=1))
    assert cold.text == predictor.generate("The film", GREEDY).text


def test_a_model_whose_figures_are_no_numbers_is_said_to_be_so(tmp_path: Path, runs: Any) -> None:
    predictor = Predictor.load(runs.generator_run(tmp_path / "diverged"))
    for weight in predictor.loaded.model.parameters():
        weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="not numbers"):
        predictor.generate("The film")
