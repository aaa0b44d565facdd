"""A worker without a model: it speaks the protocol, and does what the texts it gets tell it to.

Its run is a folder with `fake.json`: {"task": …, "pairs": …, and what goes wrong at the start: "dies" or "refuses"}.
What is written: `count N` N tokens, `gate PATH` one once there is such a file, `endless` tokens until it is cancelled,
`hang` nothing, whatever comes; `die` kills the process. Of what is labelled `good` in a text is positive, and `gate
PATH` waits as well; each prediction says how many texts came with it (`tokens`).
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

WRITING = threading.Lock()
CANCELLED: set[Any] = set()
WAKE = threading.Condition()
WAITING: queue.Queue[dict[str, Any] | None] = queue.Queue()
OPEN: list[Any] = []
PARENT = os.getppid()


def emit(number: Any, event: str, **data: Any) -> None:
    with WRITING:
        print(json.dumps({"v": 1, "id": number, "event": event, **data}), flush=True)


def read() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["op"] == "cancel":
            found = [number for number in OPEN if number == asked["target"]]
            with WAKE:
                CANCELLED.update(found)
                WAKE.notify_all()
            emit(asked["id"], "result", data={"cancelled": found})
            emit(asked["id"], "done", cancelled=False)
        else:
            OPEN.append(asked["id"])
            WAITING.put(asked)
    WAITING.put(None)


def share(text: str) -> float:
    """A figure of its own for each text."""
    part = zlib.crc32(text.encode()) / 2**33
    return 0.5 + part if "good" in text else 0.5 - part


def prediction(text: str, together: int) -> dict[str, Any]:
    positive = share(text)
    label = "positive" if positive >= 0.5 else "negative"
    shares = {"negative": 1 - positive, "positive": positive}
    return {"label": label, "probabilities": shares, "logits": [], "tokens": together, "truncated": False, "windows": 1}


def wait_for(path: Path) -> None:
    while not path.exists() and os.getppid() == PARENT:
        time.sleep(0.005)


def classify(asked: dict[str, Any]) -> dict[str, Any]:
    texts = asked["texts"]
    for text in texts:
        if text.startswith("gate "):
            wait_for(Path(text.removeprefix("gate ")))
        if text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
    joined = texts if "pairs" not in asked else [" ".join(pair) for pair in zip(texts, asked["pairs"], strict=True)]
    return {"predictions": [prediction(text, len(texts)) for text in joined]}


def generate(asked: dict[str, Any]) -> dict[str, Any]:
    number = asked["id"]
    text = asked["messages"][-1]["content"] if "messages" in asked else asked["prompt"]
    word, _, rest = text.partition(" ")
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while word == "hang":
        signal.pause()
    if word == "long":
        raise ValueError("too-many-tokens")
    if word == "gate":
        wait_for(Path(rest))
        rest = "1"
    said = []
    for index in range(10**9 if word == "endless" else int(rest.split()[0])):
        with WAKE:
            if word == "endless" and index:
                WAKE.wait_for(lambda: number in CANCELLED, 0.01)
            if number in CANCELLED:
                break
        said.append(f" {index}")
        emit(number, "token", text=said[-1], tokens=len(said))
    reason = "cancelled" if number in CANCELLED else "length"
    return {"text": "".join(said), "finish_reason": reason, "tokens": len(said), "prompt_tokens": 3, "asked": asked}


def main() -> None:
    settings = json.loads((Path(sys.argv[-1]) / "fake.json").read_text())
    for number, line in enumerate(settings.get("starts", [])):
        mark = Path(sys.argv[-1]) / f"start-{number}"
        if not mark.exists():
            mark.touch()
            if line == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            break
    emit(None, "ready", pid=os.getpid(), version="0")
    if settings.get("refuses"):
        emit("start", "error", code="run", message="the run is broken", hint="Mend it.", line=0)
        return
    task = settings.get("task", "text-classification")
    described = {
        "task": task,
        "pairs": settings.get("pairs", False),
        "load_seconds": 0.1,
        "labels": [],
        "style": "text",
    }
    emit("start", "result", data=described)
    emit("start", "done", cancelled=False)
    threading.Thread(target=read, daemon=True).start()
    while (asked := WAITING.get()) is not None:
        number = asked["id"]
        try:
            if number not in CANCELLED:
                emit(number, "result", data=classify(asked) if asked["op"] == "classify" else generate(asked))
            last: tuple[str, dict[str, Any]] = ("done", {"cancelled": number in CANCELLED})
        except ValueError as error:
            last = ("error", {"code": str(error), "message": "it cannot be done", "hint": "Ask less.", "line": 1})
        OPEN.remove(number)
        emit(number, last[0], **last[1])


if __name__ == "__main__":
    main()
