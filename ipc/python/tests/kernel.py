"""The kernel's end of a channel, to be scripted by a test: a real socket pair, with a thread on the far end.

It says Hello, hands out the calls that arrive, and answers as the test says. It checks nothing; the tests do.
"""

from __future__ import annotations

import json
import socket
import threading
from types import TracebackType
from typing import Any, Callable, Optional

from pawang import Run
from pawang import _wire as wire

METHODS = (
    "fs.read fs.write fs.append fs.list fs.stat fs.mkdir fs.remove fs.move http.fetch exec.run "
    "memory.read memory.write memory.remove memory.list run.info run.spawn"
).split()


class Kernel:
    """What a script drives. Everything blocks until it is done."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._frames = wire.FrameBuffer()

    def hello(self, version: int = 1, version_min: int = 1) -> wire.Hello:
        """Sends the kernel's Hello and returns the peer's."""
        table = [{"id": number, "name": name} for number, name in enumerate(METHODS)]
        body = {"version_min": version_min, "role": "automation", "run": "7f3a", "methods": table, "setup": None}
        self.send(wire.Hello(version, 0, json.dumps(body).encode()))
        answer = self.receive()
        assert isinstance(answer, wire.Hello), answer
        return answer

    def send(self, message: wire.Message) -> None:
        """Sends one message."""
        self.end.sendall(wire.encode(message))

    def receive(self) -> wire.Message:
        """The next message. Raises `EOFError` at the end of the stream."""
        frame = self._frames.next_frame()
        while frame is None:
            received = self.end.recv(1 << 16)
            if not received:
                raise EOFError
            self._frames.feed(received)
            frame = self._frames.next_frame()
        return wire.decode(frame)

    def call(self, method: str, resource: Optional[str] = None) -> wire.Call:
        """The next message, which must be a call of this method."""
        call = self.receive()
        assert isinstance(call, wire.Call), call
        assert METHODS[call.method] == method, f"{METHODS[call.method]}, not {method}"
        assert resource in (None, call.resource.decode()), f"{call.resource!r}, not {resource!r}"
        return call

    def reply(
        self, call: wire.Call, args: Any = None, data: bytes = b"", more: bool = False, status: int = 0, gas: int = 1
    ) -> None:
        """Answers a call, or a part of it."""
        encoded = b"" if args is None else json.dumps(args).encode()
        self.send(wire.Reply(call.id, status, more, gas, encoded, data))


class Running:
    """A context: a `Run` connected to a `Kernel` that follows the script in a thread of its own.

    At the end the near side closes, the script must come to its end, and what it raised is raised here.
    """

    def __init__(self, script: Callable[[Kernel], None]) -> None:
        self._near, far = socket.socketpair()
        self.kernel = Kernel(far)
        self.run = Run(self._near.fileno())
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._follow, args=(script,))

    def _follow(self, script: Callable[[Kernel], None]) -> None:
        try:
            with self.kernel.end:
                script(self.kernel)
        except BaseException as error:
            self._errors.append(error)

    def __enter__(self) -> Run:
        self._thread.start()
        return self.run

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._near.close()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the script waits for something that never comes"
        if self._errors:
            raise self._errors[0] from error


def drain(kernel: Kernel) -> list[wire.Message]:
    """Everything until the client closes."""
    messages: list[wire.Message] = []
    try:
        while True:
            messages.append(kernel.receive())
    except (EOFError, ConnectionError):
        return messages
