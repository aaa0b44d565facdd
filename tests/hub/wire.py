"""HTTP for a test server: requests off the connections, answers and faults onto them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from .faults import Fault, Request
from .protocol import Answer

POLL_SECONDS = 0.02  # how long close() waits at most

Exchange = Callable[[Request], tuple[Answer | None, Fault]]


class Wire(ThreadingHTTPServer):
    """The loopback's end: each request goes through `exchange`; no answer from it means to close the connection."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True).start()

    def close(self) -> None:
        """Stop at once, and cut off what clients keep open: a handler would go on answering there."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        body = self._body()
        if body is None:  # the client went away in the middle of it
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer, fault = cast(Wire, self.server).exchange(Request(self.command, path, query, headers, body))
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer, fault)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _body(self) -> bytes | None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _chunks(self) -> bytes | None:
        chunks: list[bytes] = []
        while size := self.rfile.readline():
            length = int(size.split(b";")[0], 16)
            chunk = self.rfile.read(length + 2)  # with the end of its line
            if len(chunk) < length + 2:
                return None
            if length == 0:
                return b"".join(chunks)
            chunks.append(chunk[:-2])
        return None

    def _send(self, answer: Answer, fault: Fault) -> None:
        reason = HTTPStatus(answer.status).phrase
        headers = {**answer.headers, "Content-Length": str(len(answer.body))}
        lines = [f"HTTP/1.1 {int(answer.status)} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        body = b"" if self.command == "HEAD" else answer.body
        if fault.cut is not None:
            body = body[: fault.cut]
            self.close_connection = True
        with contextlib.suppress(OSError):  # the client did not wait for it
            if fault.trickle is None:
                self.wfile.write(head + body)
                return
            for byte in head + body:
                self.wfile.write(bytes([byte]))
                if cast(Wire, self.server).closing.wait(fault.trickle):
                    self.close_connection = True
                    return
