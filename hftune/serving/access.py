"""Who may ask: a key that is needed beyond this machine, and on it no page of a browser."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hftune.errors import UsageError
from hftune.serving.problems import ApiError

KEY_VARIABLE = "HFTUNE_API_KEY"
BACKLOG = 1024  # connections that may wait to be accepted
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """Where to listen: `host` as it was asked for, the IP address it means, and both with the port as sockets want."""

    host: str
    ip: str
    family: socket.AddressFamily
    place: Any


@dataclass(frozen=True)
class Access:
    """`key`: what requests must carry, None for nothing. `hosts`: the names they may call this server by, None: any.

    A name that a page's own server gave this address (DNS rebinding) is not among them, so no page can read an answer.
    The port is not compared: an ssh tunnel gives the same server another one.
    """

    key: str | None
    hosts: frozenset[str] | None

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Refuse a request that calls this server by a name that is not its own."""
        if self.hosts is not None and host_name(headers.get("host", "")) not in self.hosts:
            names = ", ".join(sorted(self.hosts))
            raise ApiError(403, f"this server is to be called {names}", code="wrong_host")

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request carries the key, where one is needed."""
        if self.key is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Both as bytes: compare_digest takes no other text than ASCII.
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.key.encode("utf-8"))
        return same and scheme.lower() == "bearer"

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Refuse a request without the key."""
        if not self.knows(headers):
            given = "the API key is wrong" if "authorization" in headers else "an API key is needed"
            raise ApiError(401, f"{given}: send Authorization: Bearer KEY", code="invalid_api_key")


def host_name(header: str) -> str:
    """Return the name or address in a Host header, without its port and brackets."""
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def access_for(address: Address, key: str | None) -> Access:
    """Return who may ask a server at `address`; raises UsageError where a key is needed. An empty key is none."""
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        hint = "Letters, digits and signs alone can be sent in a header."
        raise UsageError(f"${KEY_VARIABLE} holds what no request can carry", hint=hint)
    if ipaddress.ip_address(address.ip).is_loopback:
        return Access(key or None, frozenset({*LOOPBACK_NAMES, address.host.lower(), address.ip}))
    if not key:
        hint = (
            f"Whoever reaches it could use the model. Set one: {KEY_VARIABLE}=$(openssl rand -hex 24) hftune serve …\n"
            "  Or leave --host out: then only this machine is served."
        )
        raise UsageError(f"--host {address.host} is more than this machine, and ${KEY_VARIABLE} is not set", hint=hint)
    return Access(key, None)


def find_address(host: str, port: int) -> Address:
    """Return the address that a host and a port mean; raises UsageError for what is none."""
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port} cannot be used", hint="It must be 0 (any) to 65535.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0] if host else None
    except (OSError, UnicodeError):
        found = None
    if found is None:
        raise UsageError(f"--host {host!r} is no address", hint="Give an address or a name of this machine.")
    family, _, _, _, address = found
    return Address(host, str(address[0]), socket.AddressFamily(family), address)


def listen(address: Address) -> socket.socket:
    """Return a socket that listens; raises UsageError for a port that is taken and an address that is not ours."""
    # The protocol is named because asyncio turns off Nagle's algorithm (40 ms an answer) only for sockets that say TCP.
    listening = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that a restart need not wait a minute
        listening.bind(address.place)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        hint = "Does another program have it? Choose another --port; 0 takes any that is free."
        message = f"{address.host} port {address.place[1]} cannot be listened on: {reason}"
        raise UsageError(message, hint=hint) from None
    return listening
