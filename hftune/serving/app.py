"""The HTTP interface: which address answers what. OpenAI's words, so that OpenAI's clients can ask.

transformers' own server (`transformers serve`) is not used: it knows no /v1/classify, no limits, no key and none of
the styles that runs are trained in, and loads a model on request.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from hftune.serving import requests, shapes
from hftune.serving.access import Access
from hftune.serving.exchange import STATUS_GONE, Exchange
from hftune.serving.limits import Limits
from hftune.serving.model import CLASSIFIES, GENERATES
from hftune.serving.models import Models, Served
from hftune.serving.problems import ApiError, ClientGone, bug

Answer = Callable[[dict[str, Any], Exchange], Coroutine[Any, Any, None]]
HEALTH = "/health"


class Api:
    """What each address does."""

    def __init__(self, models: Models, limits: Limits) -> None:
        self._models, self._limits = models, limits

    async def chat(self, body: dict[str, Any], exchange: Exchange) -> None:
        """POST /v1/chat/completions."""
        await self._write(requests.chat(body, self._limits), shapes.Chat, exchange)

    async def completions(self, body: dict[str, Any], exchange: Exchange) -> None:
        """POST /v1/completions."""
        await self._write(requests.completion(body, self._limits), shapes.Completion, exchange)

    async def classify(self, body: dict[str, Any], exchange: Exchange) -> None:
        """POST /v1/classify."""
        asked = requests.classify(body, self._limits)
        served = self._models.find(asked.model)
        model = served.model
        exchange.notes += [model.name, f"{len(asked.texts)} texts"]
        with model.admitted():
            await model.require(CLASSIFIES)
            if model.description["pairs"] != (asked.pairs is not None):
                wanted = 'pairs of texts: [["first", "second"], …]' if asked.pairs is None else "single texts"
                raise ApiError(400, f"input: {model.name} takes {wanted}", param="input")
            found = await served.labeller.label(asked.texts, asked.pairs)
        await exchange.json(shapes.labels(model.name, found))

    async def _write(self, asked: requests.Writing, shape_kind: type[shapes.Shape], exchange: Exchange) -> None:
        served = self._models.find(asked.model)
        shape = shape_kind(served.model.name)
        exchange.notes.append(served.model.name)
        results: list[dict[str, Any]] = []
        with served.model.admitted():
            await served.model.require(GENERATES)
            for index, prompt in enumerate(asked.asked):
                results.append(await self._answer(served, asked, index, prompt, shape, exchange))
        used = shapes.usage(results)
        exchange.notes.append(f"{used['prompt_tokens']} + {used['completion_tokens']} tokens")
        if not asked.stream:
            await exchange.json(shape.whole(results))
            return
        if asked.include_usage:
            await exchange.event(shape.used(results))
        await exchange.end_events()

    async def _answer(
        self,
        served: Served,
        asked: requests.Writing,
        index: int,
        prompt: dict[str, Any],
        shape: shapes.Shape,
        exchange: Exchange,
    ) -> dict[str, Any]:
        """Return the result of one answer; its pieces go out as they come when it is streamed."""
        result: dict[str, Any] = {}
        begun = False
        async with aclosing(served.writer.write(prompt, asked.decoding)) as events:
            async for event in events:
                if asked.stream and not begun:
                    # Not before there is something: an error until then has a status of its own.
                    begun = True
                    for chunk in shape.begin(index):
                        await exchange.event(chunk)
                if event["event"] == "token" and asked.stream:
                    await exchange.event(shape.piece(index, event["text"]))
                elif event["event"] == "result":
                    result = event["data"]
        if asked.stream:
            await exchange.event(shape.end(index, result))
        return result

    def list_models(self) -> dict[str, Any]:
        """Return the answer of GET /v1/models."""
        return {"object": "list", "data": [describe(served) for served in self._models.all.values()]}

    def health(self, *, details: bool) -> tuple[int, dict[str, Any]]:
        """Return status and answer of GET /health: 200 once every model is ready."""
        models = [served.model for served in self._models.all.values()]
        ready = all(model.state == "ready" for model in models)
        states = {
            model.name: {
                "state": model.state,
                "requests": model.inside,
                "restarts": model.restarts,
                **({"reason": model.reason} if model.reason else {}),
            }
            for model in models
        }
        status = "ready" if ready else "failed" if any(model.state == "failed" for model in models) else "loading"
        return 200 if ready else 503, {"status": status, **({"models": states} if details else {})}

    def model(self, name: str) -> dict[str, Any]:
        """Return the answer of GET /v1/models/{name}."""
        return describe(self._models.find(name))


class Endpoint:
    """An address that takes JSON: read, answered within limits, and left when nobody waits for it any more."""

    def __init__(self, path: str, answer: Answer, limits: Limits, stopping: asyncio.Future[None]) -> None:
        self.path = path
        self._answer, self._limits, self._stopping = answer, limits, stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange: Exchange = scope["exchange"]
        body = await exchange.json_body(self._limits, self._stopping)
        await exchange.attended(self._answer(body, exchange), self._limits, self._stopping)


class Page:
    """An address that is only read: `show(scope)` is a status and an object."""

    def __init__(self, path: str, show: Callable[[Scope], tuple[int, dict[str, Any]]]) -> None:
        self.path, self._show = path, show

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        status, record = self._show(scope)
        await scope["exchange"].json(record, status)


class Door:
    """Around everything: who may come in, errors in one shape, and a line of log for each request."""

    def __init__(self, app: ASGIApp, access: Access, log: Callable[[str], None], *, debug: bool = False) -> None:
        self._app, self._access, self._log, self._debug = app, access, log, debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        scope["exchange"] = exchange
        scope["app"] = self  # so that the router raises what it does not find
        began = time.monotonic()
        try:
            self._access.check_host(exchange.headers)
            if scope["path"] != HEALTH:
                self._access.check_key(exchange.headers)
            await self._app(scope, receive, send)
        except ApiError as error:
            await self._refuse(exchange, error)
        except HTTPException as error:
            await self._refuse(exchange, _not_here(error))
        except ClientGone:
            exchange.status = STATUS_GONE
        except Exception as error:
            await self._refuse(exchange, bug(error))
        # Nor the path, but where it is one of ours. What asks for the health does so every few seconds.
        path = getattr(scope.get("endpoint"), "path", "-")
        if path == HEALTH:
            return
        notes = ", ".join(exchange.notes)
        self._log(f"{exchange.method} {path} {exchange.status} {time.monotonic() - began:.3f} s {notes}".rstrip())

    async def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        if self._debug and error.__cause__ is not None:
            self._log("".join(traceback.format_exception(error.__cause__)))
        await exchange.error(error)


def make_app(
    models: Models,
    limits: Limits,
    access: Access,
    log: Callable[[str], None],
    stopping: asyncio.Future[None],
    *,
    debug: bool = False,
) -> ASGIApp:
    """Return the application; when `stopping` is done, whatever still runs is answered with an error."""
    api = Api(models, limits)
    asked: dict[str, Answer] = {
        "/v1/chat/completions": api.chat,
        "/v1/completions": api.completions,
        "/v1/classify": api.classify,
    }
    shown: dict[str, Callable[[Scope], tuple[int, dict[str, Any]]]] = {
        HEALTH: lambda scope: api.health(details=access.knows(scope["exchange"].headers)),
        "/v1/models": lambda scope: (200, api.list_models()),
        "/v1/models/{name:path}": lambda scope: (200, api.model(scope["path_params"]["name"])),
    }
    routes = [
        *(Route(path, Endpoint(path, answer, limits, stopping), methods=["POST"]) for path, answer in asked.items()),
        *(Route(path, Page(path, show), methods=["GET"]) for path, show in shown.items()),
    ]
    return Door(Router(routes, redirect_slashes=False), access, log, debug=debug)


def describe(served: Served) -> dict[str, Any]:
    """Return what a list of models says of one; `task`, `labels` and `style` are known once it is loaded."""
    model = served.model
    known = {key: model.description.get(key) for key in ("task", "labels", "style", "context")}
    return {"id": model.name, "object": "model", "created": model.created, "owned_by": "hftune", **known}


def _not_here(error: HTTPException) -> ApiError:
    if error.status_code == 405:
        return ApiError(405, f"use {(error.headers or {}).get('Allow', 'another method')}", code="method_not_allowed")
    return ApiError(error.status_code, "there is nothing at this address", code="not_found")
