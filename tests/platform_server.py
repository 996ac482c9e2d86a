"""
The xpander platform on loopback: what the tests report to.

    with PlatformServer() as server:
        server.answers([Answer(503), None])     # refuse once, then behave as the platform
        ...                                     # report to server.url
    server.requests[-1].json["result"], server.tasks["run-1"]["status"], server.connections

For other processes: ``python tests/platform_server.py [PORT]`` prints its URL and serves until it is killed.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import re
import socket
import struct
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedReader


@dataclass(frozen=True)
class Request:
    """One request as it came in. Names in *headers* are lower-case; *pairs* has them as they were sent."""

    method: str
    target: str
    headers: dict[str, str]
    pairs: list[tuple[str, str]]
    body: bytes
    connection: int  # 1 for the server's first connection
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """
    What to answer to one request.

    Args:
        json, text, body: The content, one of them. An iterable of bytes is sent chunk by chunk, while it lasts.
        headers: Lower-case names, added to the usual ones or in place of them; None leaves one out.
        delay: Seconds before the first byte.
        drip_head, drip: Seconds before each byte of the head, and of the content.
        chunked, gzip: How the content is sent.
        close: The connection is closed afterwards, unannounced.
        fault: Instead of an answer: close or reset the connection, send what is not HTTP; or end within the answer.
    """

    status: int = 200
    json: Any = ...
    text: str | None = None
    body: bytes | Iterable[bytes] = b""
    headers: dict[str, str | None] = field(default_factory=dict)
    delay: float = 0.0
    drip_head: float = 0.0
    drip: float = 0.0
    chunked: bool = False
    gzip: bool = False
    close: bool = False
    fault: Literal["close", "reset", "garbage", "short_head", "short_body", "reset_in_body"] | None = None


Scripted: TypeAlias = "Answer | Callable[[Request], Answer | None] | None"


class PlatformServer:
    """
    A small platform that keeps tasks in memory and can be told to answer otherwise.

    Args:
        port: Where to listen on 127.0.0.1; 0 takes a free port. It is kept over ``stop`` and ``start``.
        deaf: Accepts connections and never reads from them.
    """

    def __init__(self, port: int = 0, *, deaf: bool = False) -> None:
        self.port = port
        self.deaf = deaf
        self.requests: list[Request] = []
        self.connections = 0
        self.tasks: dict[str, dict[str, Any]] = {}
        self.always: Scripted = None
        """The answer where the script of ``answers`` has ended. None: as the platform."""
        self.now: Callable[[], str] = lambda: datetime.now(timezone.utc).isoformat()
        self._script: deque[Scripted] = deque()
        self._changed = threading.Condition()
        self._task_numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self, script: Iterable[Scripted]) -> None:
        """Answer the next requests as *script* says: None as the platform, a function as it says of the request."""
        self._script = deque(script)

    def wait_until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait for what requests bring about, such as ``lambda: len(server.tasks) == 3``."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                message = f"not within {timeout:g} s; {len(self.requests)} requests, {len(self.tasks)} tasks"
                raise TimeoutError(message)

    # -- Life

    def start(self) -> None:
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name="platform-server")]
        self._threads[0].start()

    def stop(self) -> None:
        """Close all sockets and end all threads; what was recorded stays."""
        self._stopping.set()
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes accept() on every system
        self._threads[0].join()
        self._listener.close()
        for connection in list(self._open):
            _shut(connection)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> PlatformServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- Connections

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            self.connections += 1
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection, self.connections), name="platform-server")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as reader:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(OSError):  # The client has gone.
                if self.deaf:
                    self._stopping.wait()
                while (request := _read_request(reader, number)) and self._reply(connection, request):
                    pass
            self._open.discard(connection)

    def _reply(self, connection: socket.socket, request: Request) -> bool:
        """Whether the connection stays open."""
        with self._changed:
            self.requests.append(request)
            answer = self._script.popleft() if self._script else self.always
            self._changed.notify_all()
        if callable(answer):
            answer = answer(request)
        if answer is None:
            answer = self._platform(request)
        if answer.delay and self._stopping.wait(answer.delay):
            return False
        if answer.fault == "garbage":
            connection.sendall(b"\x00\x01 this is not HTTP\r\n\r\n")
        elif answer.fault not in {"close", "reset"}:
            head, pieces = _rendered(answer, request)
            if answer.fault == "short_head":
                head, pieces = head[: len(head) // 2], iter(())
            elif not answer.drip_head and not answer.drip:
                head += next(pieces)  # In one packet: as fast as a server can be.
            self._send(connection, head, answer.drip_head)
            for piece in pieces:
                self._send(connection, piece, answer.drip)
        if answer.fault in {"reset", "reset_in_body"}:
            self._stopping.wait(0.05)  # What was sent arrives before the reset does.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return answer.fault is None and not answer.close

    def _send(self, connection: socket.socket, data: bytes, drip: float) -> None:
        if not drip:
            connection.sendall(data)
            return
        for byte in data:
            if self._stopping.wait(drip):
                raise ConnectionAbortedError
            connection.sendall(bytes([byte]))

    # -- The platform

    def _platform(self, request: Request) -> Answer:
        if not request.headers.get("x-api-key"):
            return Answer(401, json={"detail": "x-api-key is missing"})
        path = urlsplit(request.target).path
        for method, route, respond in _ROUTES:
            if method == request.method and (match := route.search(path)):
                return respond(self, request, *map(unquote, match.groups()))
        return Answer(404, json={"detail": "no such route"})

    def _report(self, request: Request, agent_id: str) -> Answer:
        try:
            report = request.json
        except ValueError:
            report = None
        if not isinstance(report, dict):
            return Answer(422, json={"detail": "the body is no JSON object"})
        with self._changed:
            task_id = report.get("id") or f"task-{next(self._task_numbers)}"
            now = self.now()
            self.tasks[task_id] = task = {
                "id": task_id,
                "agent_id": agent_id,
                "organization_id": "org-1",
                "input": {"text": report.get("input"), "files": []},
                "status": "failed" if report.get("is_success") is False else "completed",
                "created_at": self.tasks.get(task_id, {}).get("created_at", now),
                "finished_at": now,
                "source": "external",
                **{name: report.get(name) for name in ("result", "tokens", "duration", "used_tools")},
            }
            self._changed.notify_all()
        return Answer(json=task)

    def _status(self, request: Request, task_id: str) -> Answer:
        task = self.tasks.get(task_id)
        return Answer(json=task) if task else Answer(404, json={"detail": "task not found"})

    def _history(self, request: Request, agent_id: str) -> Answer:
        return self._rows(request, agent_id=agent_id)

    def _user_history(self, request: Request, user_id: str) -> Answer:
        return self._rows(request, user_id=user_id)

    def _rows(self, request: Request, **wanted: str) -> Answer:
        wanted |= {name: value for name, value in parse_qsl(urlsplit(request.target).query) if name in _FILTERS}
        rows = ({name: task.get(name) for name in _ROW} for task in list(self.tasks.values()))
        return Answer(json=[row for row in rows if all(row[name] == value for name, value in wanted.items())])

    def _metrics(self, request: Request, agent_id: str) -> Answer:
        return Answer(json={"ok": True})


# An organization, or another prefix, may stand in front of each route.
_ROUTES = [
    (method, re.compile(f"{route}$"), respond)
    for method, route, respond in [
        ("POST", "/agent-execution/([^/]+)/report_task", PlatformServer._report),
        ("GET", "/agent-execution/([^/]+)/status", PlatformServer._status),
        ("GET", "/agent-execution/executions/history/user/([^/]+)", PlatformServer._user_history),
        ("GET", "/agent-execution/executions/history/([^/]+)", PlatformServer._history),
        ("POST", "/agents-metrics/([^/]+)/execution", PlatformServer._metrics),
    ]
]
_FILTERS = ("user_id", "parent_task_id", "triggering_agent_id", "status", "internal_status")
_ROW = ("id", "agent_id", "organization_id", "created_at", "updated_at", "result", "title", *_FILTERS)


def _read_request(reader: BufferedReader, connection: int) -> Request | None:
    if not reader.peek(1)[:1].isalpha():
        return None  # The end, or not HTTP (a TLS handshake).
    start = reader.readline().decode("latin-1").split()
    pairs = []
    while line := reader.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        pairs.append((name, value.strip()))
    headers = {name.lower(): value for name, value in pairs}
    body = reader.read(int(headers.get("content-length", 0)))
    return Request(start[0], start[1], headers, pairs, body, connection)


def _rendered(answer: Answer, request: Request) -> tuple[bytes, Iterator[bytes]]:
    """The head, and the content in pieces."""
    headers: dict[str, str | None] = {"server": "platform-server"}
    content = answer.body
    if answer.json is not ...:
        headers["content-type"], content = "application/json", json.dumps(answer.json).encode()
    elif answer.text is not None:
        headers["content-type"], content = "text/plain; charset=utf-8", answer.text.encode()
    if answer.gzip and isinstance(content, bytes) and "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"], content = "gzip", gzip.compress(content)
    if isinstance(content, bytes) and not answer.chunked:
        missing = 50 if answer.fault in {"short_body", "reset_in_body"} else 0
        if answer.status not in {204, 304}:
            headers["content-length"] = str(len(content) + missing)
        pieces = [content]
    else:
        headers["transfer-encoding"] = "chunked"
        parts = [content[at : at + 7] for at in range(0, len(content), 7)] if isinstance(content, bytes) else content
        pieces = itertools.chain((b"%x\r\n%b\r\n" % (len(part), part) for part in parts), [b"0\r\n\r\n"])
    headers |= answer.headers
    lines = [f"HTTP/1.1 {answer.status} {'OK' if answer.status < 300 else 'Not OK'}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
    return head, iter(pieces)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # Closed already, by either side.
        connection.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    with PlatformServer(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as standalone:
        print(standalone.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
