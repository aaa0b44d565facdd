"""What a server takes at most, and for how long. Every limit is a flag of `hftune serve`."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from hftune.errors import UsageError

MAX_BODY = 1 << 20
MAX_TOKENS = 4096
MAX_TEXTS = 256
QUEUE = 64
TIMEOUT_SECONDS = 120.0
MAX_BATCH = 32
GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Limits:
    """Raises UsageError naming the flag when a limit makes no sense.

    `max_body`: bytes of a request. `max_tokens`: of a prompt and its answer together. `max_texts`: texts to label, or
    prompts, in a request. `queue`: requests for a model that wait or are being answered. `timeout`: seconds from a
    request's last byte to its answer's. `max_batch`: texts in a forward pass. `grace`: seconds that requests have left
    when the server is told to stop.
    """

    max_body: int = MAX_BODY
    max_tokens: int = MAX_TOKENS
    max_texts: int = MAX_TEXTS
    queue: int = QUEUE
    timeout: float = TIMEOUT_SECONDS
    max_batch: int = MAX_BATCH
    grace: float = GRACE_SECONDS

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "grace" else 1 if isinstance(field.default, int) else math.ulp(0.0)
            if not least <= value < math.inf:
                expected = "0 or more" if least == 0 else "1 or more" if least == 1 else "above 0"
                flag = "--" + field.name.replace("_", "-")
                raise UsageError(f"{flag} {value} cannot be used", hint=f"It must be {expected}.")
