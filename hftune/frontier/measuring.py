"""`python -m hftune.frontier.measuring RUN`: a model in a process of its own, asked how fast it is, by JSON lines.

One object a line in each direction, in the form of asking/protocol.py: `{id, op, …}` in; out `{v, id, event: result,
data}` and then `done`, or `error` with code, message, hint. The first event belongs to no request: the model is loaded
(`id` "start"; data: task, unit). It ends when its stdin closes.

| op         | fields                     | data of its result                                                        |
|------------|----------------------------|---------------------------------------------------------------------------|
| questions  | texts, pairs?, prompts?    | count: how many there are now, these added                                |
| latency    | count, first? (0)          | seconds: [of a text, of a generator of a token], total (seconds), answers |
| throughput | count, first? (0)          | units: texts (tokens), seconds, wh (null: no meter), counted, how         |
| memory     |                            | peak_bytes: the most that the process ever held                           |
| meter      |                            | works: is energy told from now on                                         |

`count` questions from the `first` on are asked, again from the beginning where there are too few: by latency one at a
time, by throughput many at once. A generator writes as many tokens to every prompt, whose seconds are divided by them:
one that likes to end early is charged with no more of the prompt. Who wants a warm model asks it once before; who
wants the memory of the model alone asks for it before the meter, which needs some, too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hftune.asking.decoding import Decoding
from hftune.asking.protocol import START, Events, Id, RequestError, lines, parse_request, request_id, whole_field
from hftune.errors import HftuneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hftune.energy.usage import Usage
    from hftune.inference.predictor import Predictor

TOKEN = "token"
BATCH = 32  # texts at once
SCORED_AT_ONCE = 8  # of a generator: its logits are large, tokens x vocabulary
ANSWER_TOKENS = 16
GREEDY = Decoding(max_new_tokens=ANSWER_TOKENS, temperature=0, repetition_penalty=1.0)
EARLY = 10  # the word that a text's mask takes the place of, where it has more: later ones may not be read
OPS = ("questions", "latency", "throughput", "memory", "meter")
Question = tuple[str, str | None, Any]  # text, second text, prompt


class Measuring:
    """A predictor with questions to ask it. `held` keeps its meter of energy open."""

    def __init__(self, predictor: Predictor, held: ExitStack) -> None:
        self.predictor = predictor
        self._held = held
        self._spent: Callable[[], Usage | None] = _nothing
        self._questions: list[Question] = []
        if self.unit == TOKEN:
            predictor.loaded.model.generation_config.min_new_tokens = ANSWER_TOKENS

    @property
    def unit(self) -> str:
        """What is counted: text, or of a generator token."""
        from hftune.inference.predictor import GENERATES

        return TOKEN if self.predictor.task == GENERATES else "text"

    def answer(self, op: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data of a request's result; raises RequestError for one that is none."""
        if op == "questions":
            return self._take(body)
        if op == "latency":
            return self._latency(self._asked(body))
        if op == "throughput":
            return self._throughput(self._asked(body))
        if op == "memory":
            return {"peak_bytes": peak_bytes()}
        if op == "meter":
            self._spent = self._held.enter_context(self.predictor.metered())
            return {"works": self._spent() is not None}
        raise RequestError("unknown-op", f"no op {op!r}", "One of: " + ", ".join(OPS) + ".")

    def _take(self, body: Mapping[str, Any]) -> dict[str, Any]:
        texts = body["texts"]
        several = [body.get(name) or [None] * len(texts) for name in ("pairs", "prompts")]
        self._questions += zip([self._masked(text) for text in texts], *several, strict=True)
        return {"count": len(self._questions)}

    def _asked(self, body: Mapping[str, Any]) -> list[Question]:
        """Return the questions that a request means."""
        count, first = whole_field(body, "count", 1), whole_field(body, "first", 0, 0)
        if not self._questions:
            raise RequestError("bad-request", "there is no question yet")
        return [self._questions[place % len(self._questions)] for place in range(first, first + count)]

    def _latency(self, questions: list[Question]) -> dict[str, Any]:
        seconds, answers = [], []
        began = time.perf_counter()
        for question in questions:
            before = time.perf_counter()
            units, answer = self._ask(question)
            seconds.append((time.perf_counter() - before) / units)
            answers.append(answer)
        return {"seconds": seconds, "total": time.perf_counter() - began, "answers": answers}

    def _throughput(self, questions: list[Question]) -> dict[str, Any]:
        used_before = self._spent()
        before = time.perf_counter()
        units = self._ask_many(questions)
        seconds = time.perf_counter() - before
        used = self._spent()
        known = used is not None and used_before is not None
        return {
            "units": units,
            "seconds": seconds,
            "wh": used.since(used_before).wh if known else None,  # type: ignore[union-attr, arg-type]
            "counted": used is not None and used.counted,
            "how": used.how if used is not None else "",
        }

    def _ask(self, question: Question) -> tuple[int, Any]:
        """Return how many units a question asked alone is, and the answer."""
        from hftune.inference.predictor import CLASSIFIES, FILLS

        text, pair, prompt = question
        if self.predictor.task == CLASSIFIES:
            (prediction,) = self.predictor.classify([text], 1, None if pair is None else [pair])
            return 1, prediction.answer
        if self.predictor.task == FILLS:
            (filling,) = self.predictor.fill([text], 1, 1)
            return 1, filling.masks[0][0][0]
        written = self.predictor.generate(prompt, GREEDY)
        return max(1, written.tokens), written.text

    def _ask_many(self, questions: list[Question]) -> int:
        """Ask many at once; return how many units they are."""
        from hftune.inference.predictor import CLASSIFIES, FILLS

        texts = [text for text, _, _ in questions]
        if self.predictor.task == CLASSIFIES:
            pairs = [pair for _, pair, _ in questions if pair is not None]
            return len(self.predictor.classify(texts, BATCH, pairs or None))
        if self.predictor.task == FILLS:
            return len(self.predictor.fill(texts, 1, BATCH))
        return score_tokens(self.predictor, texts)

    def _masked(self, text: str) -> str:
        """Return the text with a mask for one of its words, where the model guesses words."""
        mask = self.predictor.mask
        if mask is None:
            return text
        words = text.split()
        if len(words) > 1:
            place = min(len(words) // 2, EARLY)
            return " ".join([*words[:place], mask, *words[place + 1 :]])
        place = min(len(text) // 2, EARLY)
        return text[:place] + mask + text[place + 1 :]


def _nothing() -> None:
    return None


def score_tokens(predictor: Predictor, texts: list[str]) -> int:
    """Tell how likely a generator finds every token of some texts; return how many tokens that were."""
    import torch

    from hftune.modeling.loading import without_cache
    from hftune.tasks import _encoding
    from hftune.tasks._streams import next_tokens, token_scores

    loaded = predictor.loaded
    model, tokenizer = loaded.model, loaded.tokenizer
    data = loaded.recipe.data.model_copy(update={"too_long": "truncate"})
    limit, _ = _encoding.token_limit(data, model.config, tokenizer)
    examples = _encoding.encode(tokenizer, texts, None, data, limit).examples
    examples = sorted(examples, key=lambda one: one["length"])
    collate = _encoding.padded_batch(tokenizer, "int64")
    found = 0
    for start in range(0, len(examples), SCORED_AT_ONCE):
        batch = collate(examples[start : start + SCORED_AT_ONCE])
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = {name: batch[name].to(model.device) for name in names if name in batch}
        wanted = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
        with torch.inference_mode():
            logits = model(**inputs, **without_cache(model)).logits
            found += len(token_scores(*next_tokens(logits, wanted)).nll.tolist())
    return found


def peak_bytes() -> int:
    """Return the most memory that this process ever held, an accelerator's included."""
    held = _resident()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        held += int(torch.cuda.max_memory_allocated())
    return held


def _resident() -> int:
    try:
        # getrusage's would be that of the process that started this one, where it was larger.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def serve(requests: BinaryIO, events: Events, measuring: Measuring) -> None:
    """Answer until the requests end."""
    for line in lines(requests):
        named: Id = None
        try:
            body = parse_request(line)
            named = request_id(body)
            events.emit(named, "result", data=measuring.answer(str(body.get("op")), body))
            events.emit(named, "done")
        except Exception as error:
            _tell(events, named, error)


def main(arguments: list[str]) -> int:
    """Load the run and serve."""
    from hftune.inference.worker import take_over_stdout

    events = Events(take_over_stdout())  # before anything else is imported
    from hftune.inference.predictor import Predictor

    with ExitStack() as held:
        try:
            predictor = Predictor.load(Path(arguments[0]))
            measuring = Measuring(predictor, held)
            events.emit(START, "result", data={"task": predictor.task, "unit": measuring.unit})
        except Exception as error:
            _tell(events, START, error)
            return 1
        serve(os.fdopen(os.dup(0), "rb"), events, measuring)
    return 0


def _tell(events: Events, named: Id, error: Exception) -> None:
    known = isinstance(error, HftuneError)
    code = error.code if isinstance(error, RequestError) else "failed" if known else "internal"
    message = error.message if isinstance(error, HftuneError) else f"{type(error).__name__}: {error}"
    events.emit(named, "error", code=code, message=message, hint=error.hint if isinstance(error, HftuneError) else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
