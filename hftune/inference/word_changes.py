"""What tuning did to the words: each word's vector before and after, and who its neighbours were and are.

In the table: the rows of the embedding table, of the model that the run began with and of the run's own. In context:
the mean of a word's last hidden states over its occurrences in the train texts, by both models over the same texts;
so also what LoRA does, which leaves the table as it is, can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from hftune.errors import DataError, ModelError
from hftune.inference.classification import length_batches
from hftune.inference.embedding import token_states, unit, word_table
from hftune.inference.words import Vocabulary, nearest, whole_words

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from transformers import PreTrainedModel

    from hftune.inference.loading import LoadedRun

    Floats = npt.NDArray[np.float32]
    Counts = npt.NDArray[np.int64]

NEIGHBOURS = 10
FEWEST_IN_CONTEXT = 5  # occurrences from which on a mean over them says something
BATCH_SIZE = 32
_CHUNK = 1024


@dataclass(frozen=True)
class Change:
    """One word: how often it occurs in the texts read, cosine and distance of its vectors before and after.

    `gained` and `lost`: whole words that are among its ten nearest only after or only before, nearest first.
    """

    word: str
    count: int
    cosine: float
    distance: float
    gained: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Changes:
    """What happened to all words that occur in train, and the `most` moved of them (largest distance first).

    `rows` counts vectors compared, `moved` those of them that are not bit for bit as before. Means are over them.
    """

    where: str
    texts: int
    rows: int
    moved: int
    mean_cosine: float
    mean_distance: float
    most: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the changes as JSON holds them."""
        return asdict(self)


def table_changes(loaded: LoadedRun, base: PreTrainedModel, texts: Sequence[str], top: int) -> Changes:
    """Compare the rows of both embedding tables that stand for whole words of the texts."""
    vocabulary = whole_words(loaded.tokenizer)
    counts = _counts(loaded, texts)
    before, after = word_table(base, len(counts)), word_table(loaded.model, len(counts))
    return _compare("table", vocabulary, counts, before, after, len(texts), top)


def context_changes(loaded: LoadedRun, base: PreTrainedModel, texts: Sequence[str], top: int) -> Changes:
    """Compare words' mean last hidden states over the texts, of words that occur five times or more."""
    import numpy as np

    vocabulary = whole_words(loaded.tokenizer)
    (before, counts), (after, _) = (_mean_states(loaded, model, texts) for model in (base, loaded.model))
    counts = np.where(counts >= FEWEST_IN_CONTEXT, counts, 0)
    return _compare("context", vocabulary, counts, before, after, len(texts), top)


def _compare(
    where: str, vocabulary: Vocabulary, counts: Counts, before: Floats, after: Floats, texts: int, top: int
) -> Changes:
    """Compare vectors [tokens, width] of the vocabulary's words that have a count; raises ModelError for two widths."""
    import numpy as np

    if before.shape[1] != after.shape[1]:
        numbers = f"{before.shape[1]} numbers, the run's own {after.shape[1]}"
        hint = "`hftune embed RUN --near WORD` shows the neighbours that each of the two knows."
        raise ModelError(f"vectors of the model before have {numbers}: they cannot be compared", hint)

    ids = np.array(vocabulary.ids, dtype=np.int64)
    present = counts[ids] > 0
    if not present.any():
        raise DataError("none of the vocabulary's words occurs in the texts often enough to compare")
    # Neighbours in the table are sought among all words; in context only those that occur have a vector.
    ids, words = (ids, vocabulary.words) if where == "table" else (ids[present], _picked(vocabulary.words, present))
    present = counts[ids] > 0
    first, second = before[ids], after[ids]
    cosines = (unit(first) * unit(second)).sum(axis=1)
    distances = np.linalg.norm(second - first, axis=1)
    order = np.argsort(np.where(present, -distances, 1), kind="stable")[: min(top, int(present.sum()))]
    units = unit(first), unit(second)
    most = []
    for place in order.tolist():
        old, new = ([near.place for near in nearest(table, table[place], NEIGHBOURS, {place})] for table in units)
        most.append(
            Change(
                words[place], int(counts[ids[place]]), float(cosines[place]), float(distances[place]),
                tuple(words[one] for one in new if one not in old), tuple(words[one] for one in old if one not in new),
            )
        )  # fmt: skip
    moved = int((first != second).any(axis=1)[present].sum())
    return Changes(
        where, texts, int(present.sum()), moved, float(cosines[present].mean()), float(distances[present].mean()),
        tuple(most),
    )  # fmt: skip


def _picked(words: Sequence[str], present: Any) -> tuple[str, ...]:
    return tuple(word for word, here in zip(words, present.tolist(), strict=True) if here)


def _counts(loaded: LoadedRun, texts: Sequence[str]) -> Counts:
    """Return how often each token occurs in the texts [tokens]."""
    import numpy as np

    size = max(loaded.tokenizer.get_vocab().values()) + 1
    counts = np.zeros(size, dtype=np.int64)
    for part in _chunks(texts):
        encoded = loaded.tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
        counts += np.bincount([index for ids in encoded for index in ids], minlength=size)
    return counts


def _mean_states(loaded: LoadedRun, model: Any, texts: Sequence[str]) -> tuple[Floats, Counts]:
    """Return the mean last hidden state of each token over its occurrences [tokens, width], and how many there are."""
    import numpy as np
    import torch

    from hftune.tasks import _encoding

    limit, _ = _encoding.token_limit(loaded.recipe.data, loaded.model.config, loaded.tokenizer)
    collate = _encoding.padded_batch(loaded.tokenizer, "int64")
    size = max(loaded.tokenizer.get_vocab().values()) + 1
    sums: torch.Tensor | None = None
    counts = torch.zeros(size, dtype=torch.int64)
    for part in _chunks(texts):
        examples = _encoding.encode(loaded.tokenizer, part, None, loaded.recipe.data, limit).examples
        for indices in length_batches([example["length"] for example in examples], BATCH_SIZE):
            batch = collate([examples[index] for index in indices])
            del batch["row"], batch["window"]
            read = batch["attention_mask"].bool()
            states, ids = token_states(model, batch).cpu()[read].double(), batch["input_ids"][read]
            if sums is None:
                sums = torch.zeros(size, states.shape[1], dtype=torch.float64)
            sums.index_add_(0, ids, states)
            counts.index_add_(0, ids, torch.ones_like(ids))
    if sums is None:
        raise DataError("there are no texts to read")
    means: Floats = (sums / counts.clamp(min=1)[:, None]).numpy().astype(np.float32)
    return means, counts.numpy()


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while part := list(islice(iterator, _CHUNK)):
        yield part
