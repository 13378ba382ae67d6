"""Calls and their answers, apart from the channel that carries them.

A `Pending` is a call under way: iterate over it for the pieces of its answer, or ask for the whole. It belongs to one
thread at a time. `draft` checks the parts of a call before anything of it is sent.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol

from . import _wire as wire
from ._errors import Cancelled, Denial, Denied, Failed, Failure, PawangError

DEADLINE_MAX_S = 4_294_967
# Most bytes kept of an answer that nobody reads while other calls go on; 256 full chunks.
UNREAD_MAX = 64 << 20


class Carrier(Protocol):
    """What a call needs of its channel."""

    def wait(self, done: Callable[[], bool]) -> None:
        """Returns when `done()` holds; raises `Disconnected`."""

    def cancel(self, number: int) -> None:
        """Tells the kernel that the answer to this call is not wanted any more."""


@dataclass(frozen=True)
class Reply:
    """One piece of an answer."""

    args: Any
    """Decoded JSON; None where the piece has none."""
    data: bytes
    """Raw content, at most 256 KiB."""
    last: bool
    """Whether the answer is complete with it."""
    gas: int
    """On the last piece: gas charged for the whole call. Otherwise 0."""


@dataclass(frozen=True)
class Result:
    """A whole answer, put together."""

    args: Any
    """Decoded JSON of the last piece that had any; None where none had."""
    data: bytes
    """The raw content of all pieces, joined."""
    gas: int
    """Gas charged."""


class Pending:
    """A call under way. Iterate over it for the pieces, or ask for the whole `result()`.

    As a context it cancels itself at the end.
    """

    def __init__(self, channel: Carrier, number: int) -> None:
        self._channel = channel
        self._id = number
        self._pieces: deque[wire.Reply] = deque()
        self._unread = 0
        self._over = False
        self._unwanted = False

    def __iter__(self) -> Iterator[Reply]:
        """Pieces as they come. Raises `Denied`, `Failed`, `Cancelled` or `Disconnected` in place of one."""
        return self

    def __next__(self) -> Reply:
        if self._unwanted or (self._over and not self._pieces):
            raise StopIteration
        self._channel.wait(lambda: bool(self._pieces))
        if self._unread > UNREAD_MAX:
            self.cancel()
            raise Failed(
                Failure("overrun", f"more than {UNREAD_MAX} bytes of the answer lay unread", "read it as it comes")
            )
        reply = self._pieces.popleft()
        self._unread -= len(reply.data)
        return _piece(reply)

    def result(self) -> Result:
        """Waits for all of it. Raises as iterating does; `Cancelled` where it was cancelled before it was asked for."""
        if self._unwanted:
            raise Cancelled("the call was cancelled")
        args, gas, content = None, 0, []
        for piece in self:
            args = piece.args if piece.args is not None else args
            gas += piece.gas
            content.append(piece.data)
        return Result(args, b"".join(content), gas)

    def cancel(self) -> None:
        """Says that the rest is not wanted. What comes after is dropped. Harmless on a call that is over."""
        if not self._over and not self._unwanted:
            self._channel.cancel(self._id)
        self._unwanted = True
        self._pieces.clear()

    def __enter__(self) -> Pending:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def take(self, reply: wire.Reply) -> None:
        """Called by the channel, which holds its lock."""
        self._over = not reply.more
        if not self._unwanted and self._unread <= UNREAD_MAX:
            self._unread += len(reply.data)
            self._pieces.append(reply)


def draft(resource: str, args: Any, data: bytes, gas: int, deadline: Optional[float]) -> wire.Call:
    """A call without id and method. Raises `ValueError` where a part makes no sense. Encoding checks the lengths."""
    if deadline is not None and not 0 < deadline <= DEADLINE_MAX_S:
        raise ValueError(
            f"deadline of {deadline} s; leave it out for the method's own, or give up to {DEADLINE_MAX_S} s"
        )
    if not 0 <= gas < 1 << 64:
        raise ValueError(f"gas of {gas}; give 0 for no ceiling of this call's own, or up to 2^64 - 1")
    deadline_ms = 0 if deadline is None else math.ceil(deadline * 1000)
    encoded = b"" if args is None else json.dumps(args, separators=(",", ":")).encode()
    return wire.Call(0, 0, 0, deadline_ms, gas, resource.encode(), b"", encoded, bytes(data))


def _piece(reply: wire.Reply) -> Reply:
    try:
        args = json.loads(reply.args) if reply.args else None
    except ValueError:
        raise PawangError("the answer's args are not JSON") from None
    if reply.status == wire.Status.OK:
        return Reply(args, reply.data, not reply.more, 0 if reply.more else reply.gas)
    if reply.status == wire.Status.DENIED:
        raise Denied(Denial.from_json(args))
    if reply.status == wire.Status.FAILED:
        raise Failed(Failure.from_json(args))
    raise Cancelled("the call was cancelled before it was done")
