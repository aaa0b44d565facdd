"""A Hub on the loopback for tests: repositories in memory, every request on record, and faults at any of them.

    with HubServer() as hub:
        token = hub.add_user("anna")
        hub.create("anna/model", files={"README.md": b"hello"})
        hub.fail("POST", "/commit/", status=503)
        HfApi(endpoint=hub.endpoint, token=token).create_commit(...)

tests/hub/client.py says what the client's library needs to use it, in this process or in another.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from .faults import Fault, Hook, Moment, Request, made_up
from .protocol import Answer, Site
from .repos import Access, File, Repo, git_oid, goes_to_lfs
from .wire import Wire


class HubServer:
    """A Hub at `endpoint`, from when it is made until `close`.

    What a hook raises, and what goes wrong in the server itself, is answered by a 500 and raised at the end of `with`.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._requests: list[Request] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._wire = Wire(self._exchange)
        self.endpoint = f"http://127.0.0.1:{self._wire.server_address[1]}"
        self.site = Site(self.endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self.errors:
            raise self.errors[0]

    def close(self) -> None:
        """Stop at once, whatever is under way; requests that hang are cut off."""
        self._wire.close()

    @property
    def repos(self) -> dict[str, Repo]:
        """The repositories by their names: private, head, commits, files()."""
        return self.site.repos

    @property
    def requests(self) -> list[Request]:
        """All requests until now, in the order in which they came."""
        with self._lock:
            return list(self._requests)

    def asked(self, method: str, path: str) -> list[Request]:
        """Return the requests of a method ("*" for any) whose path has a match of a regular expression."""
        return [each for each in self.requests if method in ("*", each.method) and re.search(path, each.path)]

    def add_user(
        self,
        name: str,
        role: Literal["read", "write", "fineGrained"] = "write",
        orgs: Mapping[str, str] | None = None,
        scoped: Mapping[str, Sequence[str]] | None = None,
        everywhere: Sequence[str] = (),
    ) -> str:
        """Return a new token of a user; call it again for another token of the same one.

        `orgs` are roles (admin, write, contributor, read) by organization. For the role fineGrained, `scoped` are
        permissions (repo.content.read, repo.write, ...) by the name of a user, an organization or a repository, and
        `everywhere` the global ones.
        """
        with self.site.lock:
            token = "hf_" + git_oid("token", f"{name} {len(self.site.tokens)}".encode())[:34]
            self.site.tokens[token] = Access(name, role, orgs or {}, scoped or {}, everywhere)
        return token

    def create(
        self, name: str, *, private: bool = False, gated: str | bool = False, files: Mapping[str, bytes] | None = None
    ) -> Repo:
        """Make a repository as if it had always been there; its owner is who its name says."""
        repo = self.site.repos[name] = Repo(name, private, gated, creator=name.partition("/")[0])
        if files:
            self.commit(name, files, message="Upload files")
        return repo

    def commit(
        self,
        name: str,
        add: Mapping[str, bytes] | None = None,
        delete: Iterable[str] = (),
        *,
        message: str = "Somebody else's commit",
        author: str = "",
    ) -> str:
        """Put a commit on a repository's main, past the network; return its sha."""
        files = {path: File(data, goes_to_lfs(path, len(data), data[:512])) for path, data in (add or {}).items()}
        with self.site.lock:
            return self.site.repos[name].commit(message, files, delete, author=author).sha

    def fail(
        self,
        method: str,
        path: str,
        *,
        times: int | None = 1,
        skip: int = 0,
        status: int | None = None,
        error: str | None = None,
        code: str | None = None,
        json: Any = None,
        page: bool | bytes = False,
        headers: Mapping[str, str] | None = None,
        drop: Moment | None = None,
        hang: Moment | None = None,
        cut: int | None = None,
        trickle: float | None = None,
        before: Hook | None = None,
        after: Hook | None = None,
    ) -> None:
        """Let something happen to requests of `method` ("*": any) whose path and query have a match of `path`.

        It happens to `times` of them (None: to all), after the first `skip`. Of several faults that fit, the first
        counts.

        - `status`: this is the answer, and the request is not carried out: with `error` as the message and `code` as
          X-Error-Code, or with `json` as the body, or (`page`) with a page as a proxy has it; `headers` come on top.
        - `drop`, `hang`: the connection is closed, or nothing is answered until `close`; "before" the request is
          carried out, or "after" it was, so that only the answer is lost.
        - `cut`: the connection is closed after so many bytes of the answer's body.
        - `trickle`: the answer comes byte by byte, with so many seconds between two.
        - `before`, `after`: called before the request is carried out, and after it and before it is answered.
        """
        answer = None
        if status is not None or page:
            answer = made_up(status or 200, error, code, json, page, headers or {})
        fault = Fault(method, path, times, skip, answer, drop, hang, cut, trickle, before, after)
        with self._lock:
            self._faults.append(fault)

    def _exchange(self, request: Request) -> tuple[Answer | None, Fault]:
        """Carry out a request, with what is to happen to it."""
        with self._lock:
            self._requests.append(request)
            fault = next((each for each in self._faults if each.takes(request)), Fault())
        try:
            answer = self._carried_out(request, fault)
        except BaseException as error:  # an assertion of a hook, too
            self.errors.append(error)
            answer = Answer.error(500, f"the test server failed: {error!r}")
        request.status = answer.status if answer else None
        return answer, fault

    def _carried_out(self, request: Request, fault: Fault) -> Answer | None:
        if fault.before:
            fault.before()
        if self._lost("before", fault):
            return None
        answer = fault.answer or self.site.answer(
            request.method, request.path, request.query, request.headers, request.body
        )
        if fault.after:
            fault.after()
        return None if self._lost("after", fault) else answer

    def _lost(self, moment: Moment, fault: Fault) -> bool:
        if fault.hang == moment:
            self._wire.closing.wait()
        return moment in (fault.hang, fault.drop)
