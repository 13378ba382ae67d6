"""The one channel to the kernel: calls out, replies in, any number at once, from any thread.

No thread of its own: whoever waits for a reply reads for everybody (one reader at a time), and whoever writes reads
when the kernel is too busy answering to take more. It needs `read`, `write` and `poll` on descriptor 3, nothing else.

Promises: ids grow and are never used twice; a reply to a call that is over is dropped; once the stream cannot be
followed every waiting and every later call raises `Disconnected`. A stream that nobody reads is kept in memory, up to
a bound: read it or close it.
"""

from __future__ import annotations

import json
import os
import select
import stat
import threading
from dataclasses import replace
from typing import Any, Callable, Optional

from . import _wire as wire
from ._calls import Pending, draft
from ._errors import Disconnected, Failed, Failure

CLIENT = "pawang-python 0.1.0"
# One read takes what a few chunks bring.
READ_MAX = 64 << 10
# A piece this small never blocks once poll says there is room: that means three quarters of a buffer of 208 KiB.
WRITE_MAX = 32 << 10
# How long the kernel may take to say its Hello, before the descriptor is taken for somebody else's.
HELLO_MS = 10_000
# While another thread reads, a writer that found no room looks again after this long.
CROWDED_S = 0.01


class Channel:
    """The connection on descriptor `fd`. Opens itself at the first call."""

    def __init__(self, fd: int = wire.CHANNEL_FD) -> None:
        self._fd = fd
        self._owner = os.getpid()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._frames = wire.FrameBuffer()
        self._methods: Optional[dict[str, int]] = None
        self._calls: dict[int, Pending] = {}
        self._next_id = 1
        self._reading = False
        self._lost: Optional[str] = None

    def submit(
        self,
        method: str,
        resource: str = "",
        args: Any = None,
        data: bytes = b"",
        gas: int = 0,
        deadline: Optional[float] = None,
    ) -> Pending:
        """Sends a call and returns at once.

        Raises `ValueError` where a part is beyond its limit, `Disconnected`, or `Failed` with code unknown_method
        where the kernel offers no such method.
        """
        call = replace(draft(resource, args, data, gas, deadline), method=self._number_of(method))
        while True:
            self.wait(self._has_room)
            with self._writing:
                pending, frame = self._enter(call)
                if pending:
                    self._send(frame)
                    return pending

    def cancel(self, number: int) -> None:
        """Tells the kernel that a call's answer is not wanted any more."""
        with self._writing:
            with self._changed:
                if number not in self._calls or self._lost:
                    return
            self._send(wire.encode(wire.Cancel(number, wire.CancelReason.CALLER)))

    def wait(self, done: Callable[[], bool]) -> None:
        """Returns when `done()` holds; meanwhile reads the channel, unless another thread does."""
        while True:
            with self._changed:
                while self._reading and not done() and not self._lost:
                    self._changed.wait()
                if done():
                    return
                self._check_usable()
                self._reading = True
            self._read(None)

    def _has_room(self) -> bool:
        return len(self._calls) < wire.IN_FLIGHT_MAX

    def _enter(self, call: wire.Call) -> tuple[Optional[Pending], bytes]:
        """Gives the call its id and a place among those in flight, if there still is one."""
        with self._changed:
            self._check_usable()
            if not self._has_room():
                return None, b""
            try:
                frame = wire.encode(replace(call, id=self._next_id))
            except wire.WireError as error:
                raise ValueError(str(error)) from None
            pending = self._calls[self._next_id] = Pending(self, self._next_id)
            self._next_id += 1
        return pending, frame

    def methods(self) -> dict[str, int]:
        """All methods the kernel offers on this channel, with their numbers. The contract may grant fewer."""
        with self._writing:
            self._check_usable()
            if self._methods is None:
                self._methods = self._open()
            return self._methods

    def _number_of(self, method: str) -> int:
        number = self.methods().get(method)
        if number is None:
            raise Failed(
                Failure(
                    "unknown_method", f"the kernel offers no method {method!r}", "run.methods() lists those there are"
                )
            )
        return number

    def _open(self) -> dict[str, int]:
        if not _is_socket(self._fd):
            raise Disconnected(
                f"no channel on descriptor {self._fd}; start it with: pawang run CONTRACT -- python3 SCRIPT"
            )
        try:
            hello, methods = self._receive_hello()
            body = json.dumps({"client": CLIENT}).encode()
            self._send(wire.encode(wire.Hello(min(hello.version, wire.VERSION), 0, body)))
        except BaseException:
            self._lose("interrupted while opening the channel")
            raise
        return methods

    def _receive_hello(self) -> tuple[wire.Hello, dict[str, int]]:
        frame = self._frames.next_frame()
        while frame is None:
            with self._changed:
                self._check_usable()
                self._reading = True
            self._read(HELLO_MS)
            frame = self._frames.next_frame()
        try:
            return _understand_hello(wire.decode(frame))
        except (wire.WireError, ValueError, LookupError, TypeError) as error:
            self._lose(f"the kernel's Hello cannot be understood: {error}")
            raise self._gone() from None

    def _send(self, frame: bytes) -> None:
        """Writes all of it. Anything that stops it half-way makes the stream unusable, so that is what it then is."""
        rest = memoryview(frame)
        try:
            while rest:
                self._await_room()
                rest = rest[os.write(self._fd, rest[:WRITE_MAX]) :]
        except OSError as error:
            self._lose(f"the kernel closed the channel: {error.strerror}")
            raise self._gone() from None
        except BaseException:
            if len(rest) < len(frame):
                self._lose("interrupted in the middle of a message")
            raise

    def _await_room(self) -> None:
        """Waits until the kernel takes more. It may be waiting for us to read: then we read."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN | select.POLLOUT)
        while True:
            events = poll.poll()[0][1]
            if events & ~select.POLLIN:
                return
            with self._changed:
                self._check_usable()
                if self._reading:
                    self._changed.wait(CROWDED_S)
                    continue
                self._reading = True
            self._read(0)

    def _read(self, timeout_ms: Optional[int]) -> None:
        """One read, for everybody. The caller has set `_reading`; it is cleared here, whatever happens."""
        try:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            if poll.poll(timeout_ms):
                self._receive()
            elif timeout_ms:
                self._lose(f"descriptor {self._fd} is a socket, but no kernel speaks on it")
        finally:
            with self._changed:
                self._reading = False
                self._changed.notify_all()

    def _receive(self) -> None:
        """Takes in what is there. An interrupt between taking and keeping would tear the stream, so it ends it."""
        try:
            received = os.read(self._fd, READ_MAX)
            if not received:
                self._frames.finish()
                self._lose("the kernel closed the channel")
            self._frames.feed(received)
            while self._methods is not None:
                frame = self._frames.next_frame()
                if frame is None:
                    break
                self._dispatch(wire.decode(frame))
        except OSError as error:
            self._lose(f"the channel cannot be read: {error.strerror}")
        except wire.WireError as error:
            self._lose(f"the kernel's bytes cannot be followed: {error}")
        except BaseException:
            self._lose("interrupted while receiving")
            raise

    def _dispatch(self, message: wire.Message) -> None:
        if not isinstance(message, wire.Reply):
            raise wire.WireError("unknown", f"a {type(message).__name__} is not for an automation")
        with self._changed:
            if message.id >= self._next_id or message.id == 0:
                raise wire.WireError("unknown", f"a reply to call {message.id}, which was never made")
            pending = self._calls.get(message.id)
            if pending is None:
                return
            if not message.more:
                del self._calls[message.id]
            pending.take(message)

    def _lose(self, why: str) -> None:
        with self._changed:
            self._lost = self._lost or why
            self._changed.notify_all()

    def _gone(self) -> Disconnected:
        return Disconnected(self._lost or "the channel is closed")

    def _check_usable(self) -> None:
        if os.getpid() != self._owner:
            raise Disconnected("the channel belongs to the process that was started; a forked child may not use it")
        if self._lost:
            raise self._gone()


def _understand_hello(message: wire.Message) -> tuple[wire.Hello, dict[str, int]]:
    if not isinstance(message, wire.Hello):
        raise ValueError(f"a {type(message).__name__} came first")
    body = json.loads(message.body)
    if message.version < wire.VERSION_MIN or body["version_min"] > wire.VERSION:
        theirs, ours = f"{body['version_min']} to {message.version}", f"{wire.VERSION_MIN} to {wire.VERSION}"
        raise ValueError(f"it speaks versions {theirs}, this library {ours}; install the library that came with it")
    return message, {str(entry["name"]): int(entry["id"]) for entry in body["methods"]}


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
