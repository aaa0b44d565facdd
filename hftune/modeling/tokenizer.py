"""Tokenizers: from a folder or fitted on texts, always with a pad token. Only this file knows that GPT-2 has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hftune.errors import ModelError
from hftune.modeling.from_hub import VOCABULARIES, has_tokenizer
from hftune.modeling.resolve import Note, _quiet, resolve_tokenizer_folder
from hftune.recipe.schema import FittedTokenizer, ModelSection

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


PAD, UNKNOWN = "[PAD]", "[UNK]"  # of fitted characters: tokens 0 and 1
END_OF_TEXT = "<|endoftext|>"  # of fitted bytes, as in GPT-2: token 0
VOCAB_SIZE = 8192


def load_tokenizer(
    section: ModelSection, folder: Path | None = None, note: Note = _quiet, texts: Iterable[str] = ()
) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model, or the one that `model.tokenizer` names or fits on `texts`, with a pad token.

    `folder` is the resolved model's; None looks it up. Raises ModelError when there are no tokenizer files.
    """
    if isinstance(section.tokenizer, FittedTokenizer):
        return fit_tokenizer(section.tokenizer, texts)
    if section.tokenizer is not None or folder is None:
        folder = resolve_tokenizer_folder(section, note)
    if not has_tokenizer((path.name for path in folder.iterdir()), code=section.trust_remote_code):
        raise ModelError(
            f"no tokenizer in {folder}",
            hint=f"It has none of {', '.join(VOCABULARIES[:4])} …; name another one: `model.tokenizer: ID`.",
        )
    from transformers import AutoTokenizer

    import hftune.modeling.lstm  # noqa: F401 - AutoTokenizer reads the config of the model beside it

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=section.trust_remote_code
        )
    except Exception as error:  # transformers raises ValueError, OSError, KeyError … from many places
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"cannot load the tokenizer in {folder}: {first}") from error
    if len(tokenizer) < 2:
        raise ModelError(f"the tokenizer in {folder} has no vocabulary", hint="Are vocab.json and merges.txt there?")
    _drop_saved_lengths(tokenizer)
    ensure_pad_token(tokenizer)
    return tokenizer


def fit_tokenizer(section: FittedTokenizer, texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Return the tokenizer that `section` asks for, made from `texts`; the same texts give the same one."""
    if section.fit == "characters":
        return fit_characters(texts)
    tokenizer = fit_bytes(texts, section.vocab_size or VOCAB_SIZE)
    ensure_pad_token(tokenizer)
    return tokenizer


def fit_bytes(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """Return a byte-level BPE as GPT-2's (Radford et al. 2019, 2.2) of at most `vocab_size` tokens; none is unknown."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        model_input_names=["input_ids", "attention_mask"],
    )
    return tokenizer


def fit_characters(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Return a tokenizer whose tokens are the characters of `texts`, the most frequent first; others are unknown.

    A splitter on spaces would take a Chinese sentence for one word, and every other sentence for an unknown one.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    counts = Counter(character for text in texts for character in text)
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    vocabulary = {token: index for index, token in enumerate([PAD, UNKNOWN, *ranked])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=PAD, unk_token=UNKNOWN, model_input_names=["input_ids", "attention_mask"]
    )
    return tokenizer


def ensure_pad_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a tokenizer without a pad token (GPT-2) its end-of-text token for that.

    A token of its own would grow the embedding table and change the saved model. Sharing is safe because nothing
    here tells padding by its id: batches carry an attention mask and labels of -100 where they are padded, so an
    end-of-text that stands in a text is attended to and learned.
    """
    if tokenizer.pad_token_id is not None:
        return
    if tokenizer.eos_token is None:
        raise ModelError(
            "the tokenizer has neither a pad token nor an end-of-text token",
            hint="Add `pad_token` to its tokenizer_config.json.",
        )
    tokenizer.pad_token = tokenizer.eos_token


def _drop_saved_lengths(tokenizer: PreTrainedTokenizerBase) -> None:
    """Forget truncation and padding that some tokenizer.json files carry (MiniLM: 128, always): the recipe decides."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
