"""What every test has: folders of its own, no network, one thread; and tiny real models and data."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Read when transformers, datasets and torch are imported, so they are set before any test module is.
SESSION_HOME = Path(tempfile.mkdtemp(prefix="hftune-tests-"))
REAL_CACHE = os.environ.get("HFTUNE_TEST_CACHE")  # a model cache to share between sessions, when someone has one
OFFLINE = {
    "HOME": str(SESSION_HOME),
    "XDG_CACHE_HOME": str(SESSION_HOME / "cache"),
    "XDG_CONFIG_HOME": str(SESSION_HOME / "config"),
    "XDG_DATA_HOME": str(SESSION_HOME / "data"),
    "XDG_STATE_HOME": str(SESSION_HOME / "state"),
    "HF_HOME": str(SESSION_HOME / "huggingface"),
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HFTUNE_CACHE_DIR": REAL_CACHE or str(SESSION_HOME / "cache" / "hftune"),
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "COLUMNS": "80",
}
UNSET = ("HFTUNE_RUNS_DIR", "HF_ENDPOINT", "HF_TOKEN", "NO_COLOR", "FORCE_COLOR", "XDG_RUNTIME_DIR")
os.environ.update(OFFLINE)
for variable in UNSET:
    os.environ.pop(variable, None)
# Who starts the tests in the background (nohup, a shell's &) has these ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A busy machine must not fail a test, and what fails must fail again: no deadlines, the same examples each time.
settings.register_profile("hftune", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hftune")

VOCABULARY = (
    "a an the this that it was is not very film movie plot story actor ending scene music good great fine lovely "
    "warm funny clever bad poor awful dull cold boring weak with and but of in to for i we they liked hated loved "
    "found watched all some more most never always one two three . , ! ?"
)
WORDS = VOCABULARY.split()
POSITIVE = ("good", "great", "fine", "lovely", "warm", "funny", "clever")
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{{ message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NEGATIVE = ("bad", "poor", "awful", "dull", "cold", "boring", "weak")


def pytest_sessionfinish() -> None:
    """Leave nothing behind."""
    shutil.rmtree(SESSION_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own runs folder, device queue and working folder."""
    monkeypatch.setenv("HFTUNE_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("HFTUNE_QUEUE_DIR", str(tmp_path / "queue"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this machine fails at once."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host is not None and host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests have no network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the processes that a test starts out of the coverage.

    For one that Ctrl-C ends by KeyboardInterrupt: raised while coverage holds its lock (at every first call of a
    function), the interrupt leaves it locked, and the process hangs at the next one.
    """
    for variable in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def tiny_bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A BERT of 2 layers, 32 wide, with random weights and a WordPiece vocabulary of about 150 entries."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = list(dict.fromkeys([*special, *WORDS, *letters, *(f"##{letter}" for letter in letters)]))
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab={piece: index for index, piece in enumerate(pieces)}, do_lower_case=True)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(folder)
    yield folder


@pytest.fixture(scope="session")
def tiny_gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A GPT-2 of 2 layers, 32 wide, with random weights and a byte-level BPE; as in the original, no pad token."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-gpt2")
    pieces = ByteLevelBPETokenizer()
    lines = [f"the {word} was {other}" for word in WORDS for other in (*POSITIVE, *NEGATIVE)]
    pieces.train_from_iterator(lines, vocab_size=320, min_frequency=2, special_tokens=["<|endoftext|>"])
    pieces.save(str(folder / "tokenizer.json"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), bos_token="<|endoftext|>", eos_token="<|endoftext|>",
        unk_token="<|endoftext|>", model_max_length=64,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=end, eos_token_id=end
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    yield folder


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's kind of GGUF file: a Llama of 2 layers, 64 wide, in Q4_1 and Q8_0, random; a byte-level BPE; ChatML."""
    gguf = pytest.importorskip("gguf", reason="the package gguf, an extra, reads and writes GGUF")
    import numpy as np
    from tokenizers import ByteLevelBPETokenizer

    pieces = ByteLevelBPETokenizer()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    lines = [f"user the {word} was {other} assistant" for word in WORDS for other in (*POSITIVE, *NEGATIVE)]
    pieces.train_from_iterator(lines, vocab_size=320, min_frequency=2, special_tokens=special)
    model = json.loads(pieces.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    path = tmp_path_factory.mktemp("tiny-gguf") / "tiny.Q4_1.gguf"
    file = gguf.GGUFWriter(path, "llama")
    file.add_context_length(1024)
    file.add_embedding_length(64)
    file.add_block_count(2)
    file.add_feed_forward_length(96)
    file.add_head_count(4)
    file.add_head_count_kv(2)
    file.add_rope_freq_base(1e5)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("smollm")
    file.add_token_list(tokens)
    file.add_token_types([3] * len(special) + [1] * (len(tokens) - len(special)))
    file.add_token_merges([" ".join(merge) for merge in model["merges"]])
    file.add_bos_token_id(1)
    file.add_eos_token_id(2)
    file.add_unk_token_id(0)
    file.add_pad_token_id(2)
    file.add_chat_template(CHATML)
    random = np.random.default_rng(0)
    shapes = {"attn_q": (64, 64), "attn_k": (32, 64), "attn_v": (32, 64), "attn_output": (64, 64)}
    shapes |= {"ffn_gate": (96, 64), "ffn_up": (96, 64), "ffn_down": (64, 96), "attn_norm": (64,), "ffn_norm": (64,)}
    named = {f"blk.{layer}.{part}": shape for layer in range(2) for part, shape in shapes.items()}
    for name, shape in {**named, "token_embd": (len(tokens), 64), "output_norm": (64,)}.items():
        values = random.normal(0, 0.1, shape).astype(np.float32)
        kinds = gguf.GGMLQuantizationType
        kind = kinds.F32 if len(shape) == 1 else kinds.Q8_0 if name == "token_embd" else kinds.Q4_1
        data = values if kind == kinds.F32 else gguf.quantize(values, kind)
        file.add_tensor(f"{name}.weight", data, raw_dtype=kind)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


@pytest.fixture(scope="session")
def tiny_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of 60 distinct rows with columns text and label (positive, negative), half of each."""
    path = tmp_path_factory.mktemp("tiny-reviews") / "reviews.csv"
    things = ("film", "movie", "plot", "story", "ending")
    rows = []
    for index in range(60):
        words, label = (POSITIVE, "positive") if index % 2 == 0 else (NEGATIVE, "negative")
        first, second = words[index // 2 % len(words)], words[(index // 2 + 1 + index // 20) % len(words)]
        more = " and i found it very " + second if index % 3 else " , " + second
        rows.append((f"the {things[index // 2 % 5]} was {first}{more} " + "! " * (index // 14), label))
    assert len({text for text, _ in rows}) == len(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path
