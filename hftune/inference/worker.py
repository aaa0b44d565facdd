"""A Predictor behind JSON lines, version 1: what `hftune worker`, `hftune chat` and the app speak. FROZEN.

One JSON object a line in each direction, UTF-8, at most 1 MiB a line in. Fields and events may be added, never changed
in meaning: readers ignore what they do not know. Requests are answered one after the other, in order; only `cancel`
and `ping` are answered at once, also while another request runs.

**Requests.** Every request: `v` (1; left out: 1), `id` (text or number that its events carry; at most 200 characters;
one that is still being answered cannot be used again), `op`, and for most ops `model` (text: which loaded model;
default "main").

| op       | fields                                                                | `data` of its result          |
|----------|-----------------------------------------------------------------------|-------------------------------|
| load     | run? (path or name; default: the worker's RUN), step? (int), base?    | description of the model      |
|          | (true: the pretrained model that the run began from), model?          |                               |
| classify | texts: [text], pairs?: [text], batch_size? (32), model?               | predictions: [prediction]     |
| fill     | texts: [text], top? (5: guesses a mask), batch_size? (8), model?      | fillings: [filling]           |
| generate | prompt: text, or messages: [{role, content}]; decoding?: {…}; model?; | answer                        |
|          | most_tokens? (int: of prompt and answer, of which nothing is left out)   |                               |
| explain  | of a generator prompt or messages, answer? (text; default: its own),  | explanation                   |
|          | max_new_tokens? (20), methods?, seed?, model?; of a classifier        |                               |
|          | text, pair?, methods? ([text]; see below), target? (label; default:   |                               |
|          | the answer), seed? (0), model?                                        |                               |
| cancel   | target? (id; default: everything that runs or waits)                  | cancelled: [id]               |
| unload   | model?                                                                | unloaded: bool                |
| ping     |                                                                       | models: [text], busy: id/null |

`load` under a name that is taken replaces that model (it is let go first, so that both need not fit); several names
hold several models at once, until `unload`. The worker begins by loading its RUN as "main", as a request with the id
"start". `role`: system, user, assistant. `decoding`: max_new_tokens (null: 60, for a turn of
a chat 256), temperature (0: greedy), top_p, top_k (0: all), repetition_penalty, stop: [text], ban: [word], seed; left
out: the defaults in hftune/asking/decoding.py.

**Events.** Every event: `v` (1), `id` (of its request; null when it belongs to none), `event`, and:

| event    | fields                                                                                               |
|----------|------------------------------------------------------------------------------------------------------|
| ready    | pid, version (of hftune): the first line, id null                                                    |
| progress | phase (importing, loading, classifying, explaining), message (for people), seconds? (about how long) |
|          | done?, total? (texts)                                                                                |
| token    | text (a piece of the answer in whole characters, maybe of several tokens), tokens (so far)           |
| result   | data (above); at most one a request                                                                  |
| error    | code, message, hint, line (number of the request's line, from 1). Ends its request                   |
| done     | cancelled (bool). Ends its request                                                                   |

A request ends with exactly one `done` or `error`. A cancelled `generate` still gives its result (the text so far,
finish_reason "cancelled"); a cancelled `classify`, `fill`, `explain` or `load`, and whatever had not begun, gives none.
Then comes `done` with cancelled true.

prediction: label (name; list of names; number), probabilities {name: share}, logits [number], tokens, truncated,
windows. filling: masks: [[{token, probability}]] (a list for each mask that was read, likeliest token first), tokens,
truncated. answer: text (all `token` texts joined), finish_reason (stop, length, eos, cancelled), tokens, prompt_tokens,
seconds, tokens_per_second, time_to_first_token (s), seed (null when greedy), notes: [text] (what did not fit).
description: run, step, is_base, untrained_head (true: a base without the head that training gives it, so that its
answers come from random weights), task, labels, problem_type, style (chat, completion, text, null), mask (the token
that stands for a word to be guessed; null), pairs (takes two texts each), base, method, parameters, gradients (false:
its weights are int8), device, max_length, context, load_seconds. explanation: what `hftune explain --json` prints
(explainers/_explanation.py): text, label, share, words, spans, pieces, owners, methods: [{method, title, values,
faithfulness, …}], chance, best, agreement, notes. Asked of it by `methods`: integrated-gradients (the default), others
that `hftune explain` has, counterfactual; this adds counterfactuals: {text, label, share, found: [{text, edits, label,
share}]}, and alone gives nothing else.
Of a generator (methods: ablation, the default, integrated-gradients): kind "generation", prompt, answer, share, words,
spans, pieces, owners, answer_words, answer_spans, answer_tokens: [{piece, log_probability, owner}], methods (each with
by_token: [tokens][words]), chance, best, agreement, notes.
Numbers that are not finite are null.

**Error codes.** bad-json (not an object of JSON), too-long (a line above 1 MiB), busy (64 requests wait), bad-version,
bad-request (a field is missing or wrong), unknown-op, not-loaded, run (cannot be found or loaded), task (the model's
task cannot do this), too-many-tokens (more than most_tokens, or than the model takes), out-of-memory (the worker goes
on), not-available (a package is missing, or this worker explains nothing), internal (a bug).
No error ends the worker. It ends when stdin closes, after what was asked is answered, or when nobody reads its stdout.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hftune import __version__
from hftune.asking.decoding import decoding_from
from hftune.asking.protocol import (
    AT_ONCE,
    IMPORT_SECONDS,
    MAIN,
    MAX_WAITING,
    START,
    Events,
    Id,
    Request,
    RequestError,
    asked_field,
    flag_field,
    lines,
    parse_request,
    request_id,
    request_op,
    text_field,
    texts_field,
    whole_field,
)
from hftune.errors import HftuneError, UsageError

if TYPE_CHECKING:
    from hftune.inference.predictor import Predictor

Find = Callable[[str], tuple[Path, int | None]]
Explain = Callable[["Predictor", Mapping[str, Any], Callable[[str], None], Callable[[], bool]], dict[str, Any] | None]


class Worker:
    """Answers requests from `requests` (a binary stream of lines) on `events`.

    `find(reference)` returns the run directory and the step that a reference means. `explain(predictor, body, note,
    cancelled)` returns the data of an explanation, None when cancelled: explainers are a layer above, so it is given.
    """

    def __init__(
        self,
        requests: BinaryIO,
        events: Events,
        find: Find,
        run: tuple[Path, int | None],
        explain: Explain | None = None,
    ) -> None:
        self._lines = requests
        self._events = events
        self._find = find
        self._run = run
        self._explained = explain
        self._models: dict[str, Predictor] = {}
        self._waiting: queue.Queue[Request | None] = queue.Queue()
        self._open: dict[Id, Request] = {}  # waits or runs
        self._busy: Id = None
        self._lock = threading.Lock()
        self._imported = False

    def serve(self) -> None:
        """Load the worker's run and answer until the requests end."""
        self._events.emit(None, "ready", pid=os.getpid(), version=__version__)
        self._accept(Request(START, "load", {}, 0))
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while (request := self._waiting.get()) is not None:
            self._answer(request)

    # Reading, in a thread of its own.

    def _read(self) -> None:
        try:
            for number, line in enumerate(lines(self._lines), 1):
                self._take(number, line)
        except OSError:
            pass  # a terminal that has gone reads as an error; it means the same as an end
        finally:
            self._waiting.put(None)

    def _take(self, number: int, line: bytes | None) -> None:
        named: Id = None
        try:
            body = parse_request(line)
            named = request_id(body)
            request = Request(named, request_op(body), body, number)
            if request.op in AT_ONCE:
                self._answer_at_once(request)
            elif len(self._open) >= MAX_WAITING:
                raise RequestError("busy", f"{MAX_WAITING} requests are waiting", "Wait for `done` or `error`.")
            else:
                self._accept(request)
        except RequestError as error:
            self._events.emit(named, "error", code=error.code, message=error.message, hint=error.hint, line=number)

    def _accept(self, request: Request) -> None:
        with self._lock:
            if request.id in self._open:
                raise RequestError("bad-request", f"the id {request.id!r} is still being answered")
            self._open[request.id] = request
        self._waiting.put(request)

    def _answer_at_once(self, request: Request) -> None:
        with self._lock:
            if request.op == "ping":
                data: dict[str, Any] = {"models": sorted(self._models), "busy": self._busy}
            else:
                target = request.body.get("target")
                found = [one for one in self._open.values() if target is None or one.id == target]
                for one in found:
                    one.cancelled.set()
                data = {"cancelled": [one.id for one in found]}
            # Under the lock, so that who cancels hears what was cancelled before that ends.
            self._events.emit(request.id, "result", data=data)
            self._events.emit(request.id, "done", cancelled=False)

    # Answering, in the main thread: torch runs here and nowhere else.

    def _answer(self, request: Request) -> None:
        with self._lock:
            self._busy = request.id
        last: tuple[str, dict[str, Any]] = ("done", {"cancelled": False})
        try:
            if not request.cancelled.is_set():
                answer = {
                    "load": self._load,
                    "classify": self._classify,
                    "fill": self._fill,
                    "generate": self._generate,
                    "explain": self._explain,
                    "unload": self._unload,
                }[request.op]
                data = answer(request)
                if data is not None:
                    self._events.emit(request.id, "result", data=data)
            last = ("done", {"cancelled": request.cancelled.is_set()})
        except Exception as error:
            last = ("error", {**_problem(error), "line": request.line})
        # Free the id before the last event: who reads that event may use the id at once.
        with self._lock:
            self._busy = None
            self._open.pop(request.id, None)
        self._events.emit(request.id, last[0], **last[1])

    def _load(self, request: Request) -> dict[str, Any] | None:
        name = text_field(request.body, "model", MAIN)
        reference = request.body.get("run")
        run, step = self._run if reference is None else self._find(text_field(request.body, "run"))
        if request.body.get("step") is not None:
            step = whole_field(request.body, "step", 0)
        with self._lock:
            self._models.pop(name, None)
        release_memory()
        self._import(request)
        if request.cancelled.is_set():
            return None
        predictor = self._predictor(request, run, step)
        if request.cancelled.is_set():
            return None
        with self._lock:
            self._models[name] = predictor
        return predictor.describe()

    def _predictor(self, request: Request, run: Path, step: int | None) -> Predictor:
        from hftune.inference.predictor import Predictor

        def note(message: str) -> None:
            self._events.emit(request.id, "progress", phase="loading", message=message)

        if flag_field(request.body, "base"):
            note(f"loading the base of {run.name}")
            return Predictor.load_base(run, note=note)
        note(f"loading {run.name}" if step is None else f"loading {run.name}@{step}")
        return Predictor.load(run, step)

    def _import(self, request: Request) -> None:
        if self._imported:
            return
        message = f"loading torch, about {IMPORT_SECONDS:.0f} s"
        self._events.emit(request.id, "progress", phase="importing", message=message, seconds=IMPORT_SECONDS)
        import torch  # noqa: F401
        import transformers  # noqa: F401

        self._imported = True

    def _classify(self, request: Request) -> dict[str, Any] | None:
        predictor = self._model(request)
        texts = texts_field(request.body, "texts")
        pairs = texts_field(request.body, "pairs") if request.body.get("pairs") is not None else None
        batch_size = whole_field(request.body, "batch_size", 1, 32)
        if pairs is not None and len(pairs) != len(texts):
            raise RequestError("bad-request", f"{len(texts)} texts but {len(pairs)} pairs")
        found: list[Any] = []
        step = batch_size * 8
        for start in range(0, len(texts), step):
            some = None if pairs is None else pairs[start : start + step]
            found += predictor.classify(texts[start : start + step], batch_size, some, request.cancelled.is_set)
            if request.cancelled.is_set():
                return None
            if len(texts) > step:
                message = f"{len(found)} of {len(texts)} texts"
                self._events.emit(
                    request.id, "progress", phase="classifying", message=message, done=len(found), total=len(texts)
                )
        return {"predictions": [prediction.to_dict() for prediction in found]}

    def _fill(self, request: Request) -> dict[str, Any] | None:
        predictor = self._model(request)
        texts = texts_field(request.body, "texts")
        top, batch_size = (
            whole_field(request.body, key, 1, default) for key, default in (("top", 5), ("batch_size", 8))
        )
        found = predictor.fill(texts, top, batch_size, request.cancelled.is_set)
        return None if request.cancelled.is_set() else {"fillings": [filling.to_dict() for filling in found]}

    def _generate(self, request: Request) -> dict[str, Any]:
        predictor = self._model(request)
        settings = request.body.get("decoding") or {}
        if not isinstance(settings, Mapping):
            raise RequestError("bad-request", "decoding is not an object")
        decoding = decoding_from(settings)
        prompt = asked_field(request.body)
        limited = request.body.get("most_tokens") is not None
        most = {"most_tokens": whole_field(request.body, "most_tokens", 1)} if limited else {}

        def show(piece: str, tokens: int) -> None:
            self._events.emit(request.id, "token", text=piece, tokens=tokens)

        return predictor.generate(prompt, decoding, show, request.cancelled.is_set, **most).to_dict()

    def _explain(self, request: Request) -> dict[str, Any] | None:
        if self._explained is None:
            raise RequestError("not-available", "this worker explains nothing", "`hftune worker` starts one that does.")

        def note(message: str) -> None:
            self._events.emit(request.id, "progress", phase="explaining", message=message)

        return self._explained(self._model(request), request.body, note, request.cancelled.is_set)

    def _unload(self, request: Request) -> dict[str, Any]:
        name = text_field(request.body, "model", MAIN)
        with self._lock:
            predictor = self._models.pop(name, None)
        unloaded = predictor is not None
        del predictor
        release_memory()
        return {"unloaded": unloaded}

    def _model(self, request: Request) -> Predictor:
        name = text_field(request.body, "model", MAIN)
        if name not in self._models:
            known = ", ".join(sorted(self._models)) or "none"
            raise RequestError("not-loaded", f"no model {name!r} is loaded", f"Loaded: {known}. `load` loads one.")
        return self._models[name]


def take_over_stdout() -> BinaryIO:
    """Return the real stdout for events alone; whatever else is printed from now on, also by C code, goes to stderr."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return stream


def release_memory() -> None:
    """Give memory of models that were let go back to the accelerator's driver."""
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _problem(error: Exception) -> dict[str, Any]:
    """Return code, message and hint of whatever went wrong with a request."""
    from hftune.inference.predictor import OutOfMemoryError, TaskError, is_out_of_memory
    from hftune.inference.prompts import TooManyTokensError

    if isinstance(error, RequestError):
        code = error.code
    elif isinstance(error, OutOfMemoryError) or is_out_of_memory(error):
        code = "out-of-memory"
        release_memory()
    elif isinstance(error, TooManyTokensError):
        code = "too-many-tokens"
    elif isinstance(error, UsageError):
        code = "task" if isinstance(error, TaskError) else "bad-request"
    else:
        code = "run" if isinstance(error, HftuneError) else "internal"
    if isinstance(error, HftuneError):
        return {"code": code, "message": error.message, "hint": error.hint}
    return {"code": code, "message": f"{type(error).__name__}: {error}"[:2000], "hint": ""}
