"""Why a generator goes on so: scores are plain transformers', words are the user's, methods find what is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hftune.errors import ModelError, UsageError
from hftune.explainers import CHANCE, methods, registry
from hftune.explainers._asked import Stopped
from hftune.explainers._continuation import Continuation
from hftune.explainers._explanation import explain_answer
from hftune.explainers._faithfulness import measure, rank_correlation
from hftune.inference.loading import LoadedRun
from hftune.inference.predictor import Predictor, TaskError
from hftune.inference.prompts import TooManyTokensError
from hftune.recipe.load import parse_recipe
from tests.conftest import CHATML
from tests.unit.explainers.conftest import word_tokenizer
from tests.unit.inference.conftest import byte_tokenizer, generator_run, trained

METHODS = [name for name in methods("text-generation") if name != CHANCE]
PROMPT = "the plot was bad not awful very good film lovely"


class SumOfEmbeddings(nn.Module):
    """A next-token model whose only two likely tokens are told apart by the sum of what stands before.

    The logit of the token `good` at a place is w · (sum of the vectors up to it); all others' are a constant c: with a
    large negative c and the answer `bad` at c', log p(good) is nearly linear, since the sum stays far below 0.
    """

    def __init__(self, size: int, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(size, width, padding_idx=0)
        self.head = nn.Linear(width, size)
        self.config = SimpleNamespace(model_type="sum", vocab_size=size, max_position_embeddings=None)
        self.generation_config = SimpleNamespace(eos_token_id=None)
        self.device = torch.device("cpu")
        with torch.no_grad():
            self.head.weight.mul_(0)
            self.head.weight[6] = torch.randn(width) / 10  # "bad"
            self.head.bias[:] = 0
            self.head.bias[6] = -20.0  # so unlikely that its log probability is its logit less log(size - 1)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def get_output_embeddings(self) -> nn.Linear:
        return self.head

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self.head(self.embedding(input_ids).cumsum(1)))


@pytest.fixture
def sums() -> Predictor:
    tokenizer = word_tokenizer()
    model = SumOfEmbeddings(len(tokenizer)).eval().requires_grad_(False)
    recipe = parse_recipe({"name": "sum", "task": "text-generation", "model": "x/y", "data": {"source": "d"}})
    return Predictor(LoadedRun(Path("sum"), None, recipe, model, tokenizer))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", METHODS)
def test_a_sum_of_embeddings_is_explained_as_it_is(name: str, sums: Predictor) -> None:
    question = Continuation(sums, PROMPT, answer="bad bad")
    model = sums.loaded.model
    expected = (model.embedding.weight[question.prompt_ids] @ model.head.weight[6]).double().numpy()
    found = registry.load(name).attribute(question)
    assert found.by_target is not None
    assert found.by_target.shape == (2, len(question.words))
    for values in (found.values, *found.by_target):
        assert rank_correlation(values, expected) >= 0.95
    np.testing.assert_allclose(found.by_target.sum(0), found.values, atol=1e-9)
    if name == "ablation":
        np.testing.assert_allclose(found.by_target[0], expected, atol=1e-4)


@pytest.fixture(scope="module")
def wrote(language_run: Path) -> Predictor:
    return Predictor.load(language_run)


def plain_scores(model: Any, prompt: list[int], answer: list[int]) -> np.ndarray:
    """One forward pass of plain transformers without padding."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    rows = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return np.array([float(logits[row, token]) for row, token in zip(rows, answer, strict=True)])


def test_scores_are_the_log_probabilities_of_plain_transformers(wrote: Predictor) -> None:
    question = Continuation(wrote, "the film was good", answer=" and i liked it .")
    expected = plain_scores(wrote.loaded.model, question.prompt_ids, question.answered.ids)
    np.testing.assert_allclose(question.target_scores(question.whole())[0], expected, atol=1e-5)
    assert question.shares(question.whole())[0] == pytest.approx(np.exp(expected.mean()), rel=1e-5)
    ids = torch.tensor([question.ids])
    for target, score in enumerate(expected):
        found = question.forward(ids[:, : question.reach(target)], target)
        assert float(found) == pytest.approx(score, abs=1e-5)


def test_ablation_is_a_plain_loop_over_prompts_without_a_word(wrote: Predictor) -> None:
    question = Continuation(wrote, "the lovely film was good", max_new_tokens=4)
    whole = plain_scores(wrote.loaded.model, question.prompt_ids, question.answered.ids)
    found = registry.load("ablation").attribute(question)
    assert found.by_target is not None
    for place in range(len(question.words)):
        rest = [token for token, owner in zip(question.prompt_ids, question.owners, strict=False) if owner != place]
        without = plain_scores(wrote.loaded.model, rest, question.answered.ids)
        np.testing.assert_allclose(found.by_target[:, place], whole - without, atol=1e-4)


def test_the_answer_is_the_greedy_one(wrote: Predictor) -> None:
    from hftune.asking.decoding import Decoding

    question = Continuation(wrote, "the plot", max_new_tokens=5)
    told = wrote.generate("the plot", Decoding(temperature=0, max_new_tokens=5))
    assert question.answered.text == told.text
    assert question.targets == len(told.ids) == 5


def test_values_of_each_token_are_complete(wrote: Predictor) -> None:
    question = Continuation(wrote, "the lovely film was good", max_new_tokens=4)
    found = registry.load("integrated-gradients").attribute(question)
    ends = torch.tensor([question.ids]), question.baseline_ids()
    assert found.completeness_error is not None and found.by_target is not None
    assert found.completeness_error < 0.01
    scores = [[float(question.forward(ids[:, : question.reach(k)], k)) for ids in ends] for k in range(4)]
    differences = np.array([one - other for one, other in scores])
    np.testing.assert_allclose(found.by_target.sum(1), differences, atol=0.011 * np.abs(differences).sum())
    assert not any(parameter.requires_grad for parameter in question.model.parameters())


@pytest.mark.parametrize("name", methods("text-generation"))
def test_values_are_the_same_again(name: str, wrote: Predictor) -> None:
    first, again = (
        registry.load(name).attribute(Continuation(wrote, "the film was good", max_new_tokens=3), 3).values
        for _ in range(2)
    )
    assert first.shape == (4,)
    np.testing.assert_array_equal(first, again)


SAID = {"good": "lovely and warm", "bad": "dull and boring", "cold": "weak but funny"}


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2_folder: Path) -> Predictor:
    """A GPT-2 that has learned what to say of which label, by the real pipeline."""
    rows = [{"label": label, "text": text} for label, text in SAID.items()]
    data = {"rows": rows * 16, "prompt": "{label} review :", "completion": " {text}", "label": "label"}
    training = {"num_train_epochs": 40, "per_device_train_batch_size": 8, "learning_rate": 5e-3, "precision": "fp32"}
    data |= {"max_length": 32, "validation_share": 0, "test_share": 0}
    recipe = {"name": "tiny", "task": "text-generation", "model": str(tiny_gpt2_folder), "data": data}
    return Predictor.load(trained(tmp_path_factory.mktemp("obedient"), {**recipe, "training": training}))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("label", "answer"), SAID.items())
def test_the_word_that_an_answer_was_learned_from_is_named(
    obedient: Predictor, name: str, label: str, answer: str
) -> None:
    question = Continuation(obedient, f"{label} review :", max_new_tokens=12)
    assert question.answered.text.strip() == answer
    found = registry.load(name).attribute(question)
    assert [word.text for word in question.words][int(found.values.argmax())] == label
    assert measure(question, found.values).gain > 0
    # Both methods say so of the answer's first word.
    assert found.by_target is not None
    assert int(found.by_target[0].argmax()) == 0


def test_a_given_answer_begins_as_those_of_training(obedient: Predictor) -> None:
    own = Continuation(obedient, "good review :", max_new_tokens=12)
    given = Continuation(obedient, "good review :", answer="lovely and warm")
    assert given.answered.ids == own.answered.ids
    assert (
        given.shares(given.whole())[0] > Continuation(obedient, "good review :", answer="dull").shares(given.whole())[0]
    )


def test_faithfulness_and_tokens_are_told(obedient: Predictor) -> None:
    said: list[str] = []
    found = explain_answer(Continuation(obedient, "good review :"), METHODS, 0, said.append).to_dict()
    assert found["kind"] == "generation"
    assert found["answer_words"] == ["lovely", "and", "warm"]
    assert [found["answer"][start:end] for start, end in found["answer_spans"]] == found["answer_words"]
    owners = [token["owner"] for token in found["answer_tokens"]]
    assert sorted(set(owners)) == [0, 1, 2] == sorted(dict.fromkeys(owners))
    for one in found["methods"]:
        assert np.array(one["by_token"]).shape == (len(owners), len(found["words"]))
        assert np.sum(one["by_token"], axis=0) == pytest.approx(one["values"])
        assert 0 <= one["faithfulness"]["deletion"] <= found["share"] + 0.01
    assert found["best"] in METHODS
    assert len(found["pieces"]) == len(found["owners"])
    assert len(said) == len(METHODS)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    folder = tmp_path_factory.mktemp("chat") / "gen-20260101-000000-c3d4"
    data = {"rows": [{"messages": messages}], "messages": "messages"}
    return Predictor.load(generator_run(folder, data, CHATML, positions=256))


def test_the_templates_tokens_are_no_ones_words(chat: Predictor) -> None:
    said = [{"role": "system", "content": "be user"}, {"role": "user", "content": " the film was 坏 🙂 "}]
    question = Continuation(chat, said, max_new_tokens=3)
    assert [word.text for word in question.words] == ["be", "user", "the", "film", "was", "坏", "🙂"]
    assert [question.text[word.start : word.end] for word in question.words] == [one.text for one in question.words]
    tokenizer = chat.loaded.tokenizer
    ids, owners = question.prompt_ids, question.owners[: len(question.prompt_ids)]
    template = tokenizer.decode([token for token, owner in zip(ids, owners, strict=True) if owner is None])
    assert template == CHATML_ALONE
    own = [tokenizer.decode([t for t, o in zip(ids, owners, strict=True) if o == place]).strip() for place in range(7)]
    assert own == [word.text for word in question.words]
    kept = ~question.whole()
    expected = plain_scores(chat.loaded.model, tokenizer(CHATML_ALONE)["input_ids"], question.answered.ids)
    np.testing.assert_allclose(question.target_scores(kept)[0], expected, atol=1e-4)
    for name in METHODS:
        assert registry.load(name).attribute(question).values.shape == (7,)


CHATML_ALONE = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"


def test_a_given_answer_goes_through_the_template(chat: Predictor) -> None:
    assert Continuation(chat, "hi", answer="good film").answered.text == "good film"


def test_characters_of_several_tokens_are_one_word(chat: Predictor) -> None:
    tokenizer = byte_tokenizer()
    from hftune.explainers._spelling import spell_answer

    text = "a 坏人 🙂!"
    spelled = spell_answer(tokenizer, tokenizer(text)["input_ids"])
    assert spelled.text == text
    assert [word.text for word in spelled.words] == ["a", "坏", "人", "🙂", "!"]
    own = [[piece for piece, owner in zip(spelled.ids, spelled.owners, strict=True) if owner == k] for k in range(5)]
    assert [tokenizer.decode(ids).strip() for ids in own] == [word.text for word in spelled.words]
    assert None not in spelled.owners


def test_a_template_that_rewrites_is_refused(chat: Predictor) -> None:
    from hftune.inference.prompts import written_parts

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | replace('a', 'b') }}{% endfor %}"
    with pytest.raises(ModelError, match="rewrites"):
        written_parts(tokenizer, "chat", "a film")
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] | trim }}]{% endfor %}"
    assert written_parts(tokenizer, "chat", " a film ") == ("[a film]", [(1, 7)])


@pytest.mark.parametrize(
    ("prompt", "fields", "words"),
    [
        (" ", {}, "no word to explain"),
        ("the film " * 40, {}, "more than the 64"),
        ("the film", {"max_new_tokens": 100}, "more than the 64"),
        ("the film", {"answer": " "}, "no word"),
        ("the film", {"answer": " good" * 80}, "more than the 64"),
    ],
)
def test_what_cannot_be_explained_is_refused(wrote: Predictor, prompt: str, fields: Any, words: str) -> None:
    with pytest.raises((UsageError, TooManyTokensError), match=words):
        Continuation(wrote, prompt, **fields)


def test_a_model_of_another_task_is_refused(reviews: Predictor) -> None:
    with pytest.raises(TaskError):
        Continuation(reviews, "the film")


def test_an_answer_that_nobody_waits_for_any_more_is_given_up(wrote: Predictor) -> None:
    asked = [False]
    question = Continuation(wrote, "the film was good", max_new_tokens=3, cancelled=lambda: asked[0])
    asked[0] = True
    for name in METHODS:
        with pytest.raises(Stopped):
            registry.load(name).attribute(question)


def test_a_run_with_an_adapter_is_explained(tmp_path: Path, language_recipe: dict[str, Any]) -> None:
    training = {**language_recipe["training"], "num_train_epochs": 1}
    run = trained(tmp_path / "lora", {**language_recipe, "training": training, "method": {"name": "lora", "r": 2}})
    question = Continuation(Predictor.load(run), "the film was", answer=" good")
    for name in METHODS:
        found = registry.load(name).attribute(question)
        assert np.abs(found.values).max() > 0
    assert found.completeness_error is None or found.completeness_error < 0.01
