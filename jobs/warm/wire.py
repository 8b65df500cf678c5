"""What client and parent say to each other, on a Unix socket in the hub's folder ``run`` that only its user may open.

The client sends a ``Request`` with its standard streams; the child answers ``{"pid": ...}`` and begins, or
``{"plain": <why>}`` and does not; when it has ended, the parent answers ``{"code", "cpu", "peak"}``. A client that
closes its side, or dies, ends the command.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SOCKET = "warm.sock"
PATIENCE = 20.0
"""Seconds that a command gets to end by itself when it is stopped."""
LENGTH = struct.Struct(">I")
CREDENTIALS = struct.Struct("3i")
AT_ONCE = 65536
"""Bytes that are read at a time."""
STREAMS = 3


@dataclass(frozen=True)
class Request:
    """One command: its arguments without ``hub``, and all that a process gets from the one that starts it."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    umask: int
    python: str
    """The interpreter that the client would start."""
    code: str
    """The folder that the client's own code lies in."""


@contextmanager
def address(run: Path) -> Iterator[str]:
    """Address of the socket in a folder: by a descriptor, since 108 bytes are all that a path of a socket may have."""
    folder = os.open(run, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process id and user id of who is at the other end, as the kernel knows them."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    pid, uid, _ = CREDENTIALS.unpack(told)
    return pid, uid


def send_request(connection: socket.socket, request: Request, streams: list[int]) -> None:
    """Sends a request with the descriptors of standard input, output and error. Raises ``OSError``."""
    body = json.dumps(asdict(request)).encode()
    message = LENGTH.pack(len(body)) + body
    sent = socket.send_fds(connection, [message], streams)
    # nothing more once it is whole: the command may have begun, and ended, and then sending would fail
    if rest := message[sent:]:
        connection.sendall(rest)


def receive_request(connection: socket.socket) -> tuple[Request, list[int]] | None:
    """The request and its descriptors; None when the other end says nothing, or not all of it. Raises ``OSError``."""
    data, streams, _, _ = socket.recv_fds(connection, AT_ONCE, STREAMS)
    while len(data) < LENGTH.size or len(data) < LENGTH.size + LENGTH.unpack_from(data)[0]:
        if not (more := connection.recv(AT_ONCE)):
            return None
        data += more
    said = json.loads(data[LENGTH.size :])
    return Request(**said | {"argv": tuple(said["argv"])}), streams


def say(connection: socket.socket, **words: Any) -> None:
    """Sends one line of JSON. Raises ``OSError`` when nobody can hear it."""
    connection.sendall(json.dumps(words).encode() + b"\n")
