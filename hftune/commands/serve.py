"""`hftune serve RUN…`: runs over HTTP as OpenAI's clients ask them, and /v1/classify for classifiers."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from hftune.errors import UsageError
from hftune.output import Output
from hftune.sanitize import sanitize

REQUIREMENTS = ("starlette>=1,<2", "uvicorn>=0.40,<1")  # as the extra `serve` has them


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Serve until told to stop; 0 when everything that was asked was answered."""
    require_server()
    from hftune.serving.access import KEY_VARIABLE, access_for, find_address, listen
    from hftune.serving.limits import Limits
    from hftune.serving.models import find_runs
    from hftune.serving.server import Server

    limits = Limits(
        max_body=arguments.max_body,
        max_tokens=arguments.max_tokens,
        max_texts=arguments.max_texts,
        queue=arguments.queue,
        timeout=arguments.timeout,
        max_batch=arguments.max_batch,
        grace=arguments.grace,
    )
    runs = find_runs(arguments.runs, arguments.runs_dir)
    address = find_address(arguments.host, arguments.port)
    # Taken out of the environment: the workers, and what they load, have no use for it.
    access = access_for(address, os.environ.pop(KEY_VARIABLE, None))
    listening = listen(address)
    names = [run.name for run in runs]

    def greet() -> None:
        host, port = listening.getsockname()[:2]
        url = url_of(host, port)
        served = {"url": f"{url}/v1", "host": host, "port": port, "pid": os.getpid(), "models": names}
        output.emit({**served, "key": access.key is not None})
        for line in greeting(url, names, KEY_VARIABLE if access.key else ""):
            output.say(line)

    return Server(runs, listening, access, limits, output.note, debug=arguments.debug).run(greet)


def require_server() -> None:
    """Raise UsageError with the command that installs what is missing."""
    missing = [each for each in REQUIREMENTS if find_spec(each.partition(">")[0]) is None]
    if missing:
        names = " and ".join(each.partition(">")[0] for each in missing)
        command = " ".join(shlex.quote(each) for each in missing)
        raise UsageError(
            f"hftune serve needs {names}, which {'is' if len(missing) == 1 else 'are'} not installed",
            hint=f"{shlex.quote(sys.executable)} -m pip install {command}",
        )


def url_of(host: str, port: int) -> str:
    """Return the URL of an address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def greeting(url: str, names: Sequence[str], variable: str) -> list[str]:
    """Return what is said once the server listens."""
    key = f", with the key of ${variable}" if variable else ""
    return [f"{sanitize(name)}  {url}/v1{key}" for name in names] + ["Ctrl-C stops it"]
