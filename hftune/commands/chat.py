"""`hftune chat RUN`: question a run line by line, through the worker that the app uses too.

With `--jsonl` both directions are JSON lines. In: `{"text": "…"}` asks; `{"op": "set", "decoding": {…}}`,
`{"op": "reset"}` and `{"op": "retry"}` do as /set, /reset and /retry; an `id` comes back with the answer (left out: the
line's number). Out: the worker's events (hftune/inference/worker.py) with that id. `--json` takes plain lines in and
gives the same events. Programs that cancel or load several models speak to `hftune worker` itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from shutil import get_terminal_size
from typing import Any

from hftune.asking.answers import answer_line, filling_lines, prediction_lines
from hftune.asking.client import WorkerClient
from hftune.asking.conversation import AskFailed, Conversation, Event, Show
from hftune.asking.decoding import parse_setting
from hftune.asking.protocol import RequestError
from hftune.commands.bars import drawable
from hftune.commands.settings import decoding_of
from hftune.commands.wrapping import Wrapping
from hftune.errors import EXIT_DONE, HftuneError, UsageError, closest
from hftune.output import Output
from hftune.sanitize import sanitize

HELP = """\
/set NAME=VALUE   change a setting (temperature=0.5, stop=###, seed=7); /set alone shows them
/retry            ask the last thing again
/reset            forget the conversation
/help             this
Ctrl-C stops an answer; twice at the prompt, or Ctrl-D, leaves. //text asks a text that begins with a slash."""
COMMANDS = ("/set", "/retry", "/reset", "/help", "/quit")
PROMPT = "› "


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Chat until the input ends; 0 then."""
    decoding = decoding_of(arguments)
    worker = [arguments.run, *(["--runs-dir", arguments.runs_dir] if arguments.runs_dir else [])]
    records = arguments.jsonl or output.json
    with WorkerClient(worker) as client:
        conversation = Conversation(client, decoding)
        if records:
            _talk_records(conversation, Output(as_json=True, stdout=output.stdout), lines_are_json=arguments.jsonl)
        else:
            _Chat(conversation, output).run()
    return EXIT_DONE


class _Chat:
    """The plain chat in a terminal or a pipe."""

    def __init__(self, conversation: Conversation, output: Output) -> None:
        self._conversation = conversation
        self._output = output
        self._tty = sys.stdin.isatty()
        self._wrapping: Wrapping | None = None

    def run(self) -> None:
        self._conversation.start(self._show_loading)
        model = self._conversation.model
        kind = ", ".join(model["labels"][:6]) if self._conversation.classifies else f"style {model['style']}"
        if self._conversation.fills:
            kind = f"{model['mask']} stands for a word to be guessed"
        self._output.note(f"{model['task']} ({sanitize(kind)}) on {model['device']}. /help says what you can do.")
        for line in self._lines():
            try:
                self._take(line)
            except (AskFailed, RequestError) as error:
                self._output.note(f"  {error}")
            except _Leave:
                return

    def _lines(self) -> Iterator[str]:
        if not self._tty:
            yield from (line.rstrip("\r\n") for line in sys.stdin)
            return
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - gives input() its editing keys
        interrupted = False
        while True:
            try:
                line = input(PROMPT)
            except EOFError:
                self._output.say()
                return
            except KeyboardInterrupt:
                if interrupted:
                    self._output.say()
                    return
                interrupted = True
                self._output.note("\nCtrl-C again, or Ctrl-D, leaves.")
                continue
            interrupted = False
            yield line

    def _take(self, line: str) -> None:
        if line.startswith("/") and not line.startswith("//"):
            try:
                self._command(line)
            except UsageError as error:
                self._output.note(f"  {error}")
            return
        text = line.removeprefix("/") if line.startswith("//") else line
        goes_on = self._conversation.model.get("style") == "text" and bool(self._conversation.messages)
        if not text.strip() and not goes_on:
            return
        self._ask(partial(self._conversation.ask, text))

    def _ask(self, ask: Callable[[Show], Event | None]) -> None:
        """Show an answer as it comes, in a terminal broken between words, and what there is to say of it."""
        self._wrapping = Wrapping(get_terminal_size().columns) if self._output.stdout.isatty() else None
        try:
            data = ask(self._show_answer)
        finally:
            if self._wrapping is not None:
                print(self._wrapping.close(), end="", file=self._output.stdout, flush=True)
        self._finish(data)

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if name == "/set":
            self._set(rest.strip())
        elif name == "/retry":
            self._ask(self._conversation.retry)
        elif name == "/reset":
            self._conversation.reset()
            self._output.note("  forgotten")
        elif name == "/help":
            self._output.note(HELP)
        elif name in ("/quit", "/exit"):
            raise _Leave
        else:
            raise UsageError(f"no command {sanitize(name)!r}", hint=closest(name, COMMANDS))

    def _set(self, rest: str) -> None:
        if rest:
            sign = "=" if "=" in rest.split(" ")[0] else " "
            key, _, value = rest.partition(sign)
            self._conversation.set({key.strip().replace("-", "_"): parse_setting(key, value.strip())})
        settings = self._conversation.decoding.to_dict()
        self._output.note("\n".join(f"  {key}={sanitize(value)}" for key, value in settings.items()))

    def _show_loading(self, event: Event) -> None:
        if event["event"] == "progress":
            self._output.note(sanitize(event["message"]))

    def _show_answer(self, event: Event) -> None:
        if event["event"] == "token":
            text = sanitize(event["text"], lines=True)
            shown = text if self._wrapping is None else self._wrapping.push(text)
            print(shown, end="", file=self._output.stdout, flush=True)

    def _finish(self, data: Event | None) -> None:
        if data is None:
            self._output.note("  stopped")
            return
        if self._conversation.classifies:
            for line in drawable(prediction_lines(data["predictions"][0]), self._output.stdout):
                self._output.say("  " + line)
            return
        if self._conversation.fills:
            for line in drawable(filling_lines(data["fillings"][0]), self._output.stdout):
                self._output.say("  " + line)
            return
        self._output.say()
        self._output.note("  " + answer_line(data))
        for note in data["notes"]:
            self._output.note(f"  {sanitize(note)}")
        if self._conversation.model["style"] == "text" and data["finish_reason"] == "eos":
            self._output.note("  the model ended the text; the next line begins a new one")


class _Leave(Exception):  # noqa: N818 - it is a request
    """The person wants to leave."""


def _talk_records(conversation: Conversation, output: Output, lines_are_json: bool) -> None:
    """Answer each line with the worker's events; a line that cannot be answered gives an `error` event."""
    conversation.start(output.emit)
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        answer_id: Any = number
        try:
            record = _record(line) if lines_are_json else {"text": line.rstrip("\r\n")}
            answer_id = record.get("id", number)
            _take_record(conversation, record, output, answer_id)
        except AskFailed:
            pass  # its error event has been given out
        except HftuneError as error:
            code = error.code if isinstance(error, RequestError) else "bad-request"
            problem = {"code": code, "message": error.message, "hint": error.hint, "line": number}
            output.emit({"v": 1, "id": answer_id, "event": "error", **problem})


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise UsageError("not an object of JSON")
    return record


def _take_record(conversation: Conversation, record: dict[str, Any], output: Output, answer_id: Any) -> None:
    def show(event: Event) -> None:
        output.emit({**event, "id": answer_id})

    op = record.get("op", "ask")
    if op == "ask" and isinstance(record.get("text"), str):
        conversation.ask(record["text"], show)
    elif op == "retry":
        conversation.retry(show)
    elif op == "set" and isinstance(record.get("decoding"), dict):
        conversation.set(record["decoding"])
        show({"v": 1, "event": "done", "cancelled": False})
    elif op == "reset":
        conversation.reset()
        show({"v": 1, "event": "done", "cancelled": False})
    else:
        raise UsageError('neither {"text": "…"} nor a known op', hint="Ops: set (with decoding), reset, retry.")
