"""The tiny models and data that all tests share are what they say they are."""

import csv


def test_tiny_bert_reads_its_words_whole(tiny_bert_folder):
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert_folder)
    assert tokenizer.tokenize("The film was AWFUL zq.") == ["the", "film", "was", "awful", "z", "##q", "."]
    assert tokenizer.pad_token_id == 0
    model = AutoModel.from_pretrained(tiny_bert_folder)
    assert model(**tokenizer("good film", return_tensors="pt")).last_hidden_state.shape == (1, 4, 32)


def test_tiny_gpt2_has_no_pad_token_and_returns_its_text(tiny_gpt2_folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2_folder)
    assert tokenizer.pad_token is None
    assert tokenizer.decode(tokenizer("the film, né 1 was good")["input_ids"]) == "the film, né 1 was good"
    model = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder)
    assert model(**tokenizer("good film", return_tensors="pt")).logits.shape[-1] == len(tokenizer)


def test_tiny_reviews_are_balanced_and_distinct(tiny_reviews):
    with tiny_reviews.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["text"] for row in rows}) == len(rows) == 60
    assert sum(row["label"] == "positive" for row in rows) == 30
