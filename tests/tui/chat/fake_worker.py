"""A worker with the real protocol and models that need no torch: `python fake_worker.py RUN[@step]`.

What a model is stands in the run directory's fake.json: {"task", "style", "labels", "pairs", "problem_type"}. There may
be files in it: `hold` keeps loading from going on until it is gone; `broken` makes loading fail with its text;
`no-captum` holds the error of a package that explanations need. What a model is asked decides what it does, see
`FakeModel.generate` and `explain`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hftune.asking.protocol import IMPORT_SECONDS, Events, Request, RequestError
from hftune.errors import RunError, UsageError
from hftune.inference.worker import Worker, take_over_stdout
from hftune.runs.reader import split_step

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x1b[0m [bold]not bold[/bold] \u202etxt.exe\u202c [@click=app.quit]x[/]"
CHINESE = "这部电影的结尾非常糟糕，但是音乐很好听。👨‍👩‍👧 family and 🙂 more words come after it. " * 4
MARKDOWN = "# Heading\n\nSome *words* and a list:\n\n- one\n- two\n"


class Said:
    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def to_dict(self) -> dict[str, Any]:
        return self.data


class FakeModel:
    def __init__(self, run: Path, step: int | None, base: bool) -> None:
        self.run, self.step, self.base = run, step, base
        self.about = json.loads((run / "fake.json").read_text(encoding="utf-8"))

    def describe(self) -> dict[str, Any]:
        task = self.about.get("task", "text-generation")
        classifies = task == "text-classification"
        return {
            "run": str(self.run), "step": self.step, "is_base": self.base, "untrained_head": self.base and classifies,
            "task": task, "labels": self.about.get("labels", ["negative", "positive"]) if classifies else [],
            "problem_type": self.about.get("problem_type"), "style": self.about.get("style", "chat"),
            "mask": "[MASK]" if task == "fill-mask" else None, "pairs": self.about.get("pairs", False), "base": "tiny",
            "method": "full", "parameters": 1234, "gradients": self.about.get("gradients", True), "device": "cpu",
            "max_length": 64, "context": 64, "load_seconds": 1.0,
        }  # fmt: skip

    def classify(
        self, texts: list[str], size: int, pairs: list[str] | None, cancelled: Callable[[], bool]
    ) -> list[Said]:
        _misbehave(texts[0])
        cut = {"tokens": 90 if "cut" in texts[0] else 5, "truncated": "cut" in texts[0], "windows": 1}
        labels = self.about.get("labels", ["negative", "positive"])
        if self.about.get("problem_type") == "regression":
            return [Said({"label": 3.25, "probabilities": {}, "logits": [3.25], **cut})]
        shares = [0.803, *[0.197 / (len(labels) - 1)] * (len(labels) - 1)]
        if self.base:
            shares.reverse()
        if self.about.get("problem_type") == "multi_label_classification":
            shares = [0.9 - 0.3 * index for index in range(len(labels))]
            label: Any = [name for name, share in zip(labels, shares, strict=True) if share > 0.5]
        else:
            label = labels[shares.index(max(shares))]
        return [
            Said({"label": label, "probabilities": dict(zip(labels, shares, strict=True)), "logits": shares, **cut})
        ]

    def fill(self, texts: list[str], top: int, size: int, cancelled: Callable[[], bool]) -> list[Said]:
        guesses = [{"token": name, "probability": share} for name, share in (("good", 0.6), ("坏", 0.3), ("fine", 0.1))]
        masks = [guesses] * texts[0].count("[MASK]")
        return [Said({"masks": masks, "tokens": 5, "truncated": False})]

    def generate(
        self, prompt: Any, decoding: Any, show: Callable[[str, int], None], cancelled: Callable[[], bool]
    ) -> Said:
        """Say how many messages came and the last of them, or do what that says: slow, hostile, long, chinese, ..."""
        asked = prompt[-1]["content"]
        _misbehave(asked)
        who = "base" if self.base else f"step {self.step}" if self.step is not None else "tuned"
        pieces = [f"{who} ", f"[{len(prompt)}] ", asked]
        known = {"hostile": HOSTILE, "long": "a" * 1_000_000, "chinese": CHINESE, "markdown": MARKDOWN}
        if asked.split(" ")[0] in known:
            text = known[asked.split(" ")[0]]
            pieces = [text[start : start + 4096] for start in range(0, len(text), 4096)]
        elif asked.startswith("lines "):
            pieces = [f"line {number}\n" for number in range(int(asked.split(" ")[1]))]
        said, tokens = "", 0
        for piece in _endless(asked) if asked.startswith("slow") else pieces:
            if cancelled():
                break
            tokens += 1
            said += piece
            show(piece, tokens)
        reason = "cancelled" if cancelled() else "eos" if asked == "end" else "length"
        return Said({
            "text": said, "finish_reason": reason, "tokens": tokens, "prompt_tokens": 3, "seconds": 1.0,
            "tokens_per_second": 12.5, "time_to_first_token": 0.25, "seed": None if decoding.greedy else 7,
            "notes": ["the beginning did not fit"] if asked == "note" else [],
        })  # fmt: skip


def explain(
    model: FakeModel, body: Mapping[str, Any], note: Callable[[str], None], cancelled: Callable[[], bool]
) -> dict[str, Any] | None:
    """Give a word its place's value, or do what the text says: wordless, nan, cut, endless.

    Endless: until it is cancelled; `endless METHOD` by that one alone.
    """
    (method,) = body["methods"]
    text = "\n".join(body[key] for key in ("text", "pair") if key in body)
    with (model.run / "explained").open("a", encoding="utf-8") as file:
        file.write(f"{method} {text}\n")
    missing = model.run / "no-captum"
    if missing.exists():
        raise RequestError("not-available", missing.read_text(encoding="utf-8"), "pip install 'hftune[explain]'")
    note(f"{method}: words")
    while text in ("endless", f"endless {method}") and not cancelled():
        time.sleep(0.002)
    if cancelled():
        return None
    if text.startswith("wordless"):
        raise UsageError("there is no word to explain", hint="Give a text.")
    labels = model.about.get("labels", ["negative", "positive"])
    if method == "counterfactual":
        edits = [{"place": 0, "old": text.split()[0], "new": "good"}, {"place": 1, "old": "not", "new": ""}]
        flipped = {"text": f"good {text}", "edits": edits, "label": labels[-1], "share": 0.71}
        found = [] if text.startswith("sure") else [flipped]
        return {"counterfactuals": {"text": text, "label": labels[0], "share": 0.8, "found": found, "passes": 9}}
    places = [(match.start(), match.end()) for match in re.finditer(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+", text)]
    values = [float("nan") if "nan" in text else 0.9 - 0.4 * (place % 5) for place in range(len(places))]
    figures = dict.fromkeys(("deletion", "insertion", "comprehensiveness", "sufficiency"), 0.25)
    title = method.upper() if method in ("lime", "shap") else method.replace("-", " ")
    said = {"method": method, "title": title, "values": values, "faithfulness": figures, "stability": 1.0,
            "completeness_error": None, "passes": 9, "seconds": 0.1}  # fmt: skip
    words = [text[start:end] for start, end in places]
    return {
        "text": text, "label": labels[0], "share": 0.803, "words": words, "spans": places, "pieces": words,
        "owners": list(range(len(words))), "methods": [said], "chance": figures, "agreement": {},
        "best": None if method == "lime" else method, "beaten": 2 if method == "lime" else 5, "orders": 5,
        "notes": ["only the first 64 of 90 tokens are explained"] if "cut" in text else [],
    }  # fmt: skip


def _endless(asked: str):  # type: ignore[no-untyped-def]
    """One word every few milliseconds until it is cancelled."""
    for _ in range(100_000):
        yield "word "
        time.sleep(0.002)


def _misbehave(asked: str) -> None:
    if asked == "die":
        print("Traceback: something broke", file=sys.stderr, flush=True)
        os._exit(7)
    if asked == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if asked == "memory":
        raise MemoryError
    if asked == "bug":
        raise ZeroDivisionError("a bug")
    if asked == "frozen":
        while True:
            signal.pause()


class FakeWorker(Worker):
    """The real worker with models that are not loaded."""

    def _import(self, request: Request) -> None:
        if not self._imported:
            message = "loading torch, about 6 s"
            self._events.emit(request.id, "progress", phase="importing", message=message, seconds=IMPORT_SECONDS)
            self._imported = True

    def _predictor(self, request: Request, run: Path, step: int | None) -> Any:
        base = bool(request.body.get("base"))
        self._events.emit(request.id, "progress", phase="loading", message=f"loading {run.name}")
        while (run / "hold").exists():
            time.sleep(0.005)
        broken = run / ("broken-base" if base else "broken")
        if broken.exists():
            raise RunError(broken.read_text(encoding="utf-8"), hint="Mend it.")
        return FakeModel(run, step, base)


def main() -> None:
    events = Events(take_over_stdout())

    def find(reference: str) -> tuple[Path, int | None]:
        name, step = split_step(reference)
        return Path(name), step

    requests = os.fdopen(os.dup(0), "rb")
    FakeWorker(requests, events, find, find(sys.argv[1]), explain).serve()


if __name__ == "__main__":
    main()
