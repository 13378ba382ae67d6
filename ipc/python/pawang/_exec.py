"""Programs that the contract lets a run start, and helpers that run under a smaller contract of their own.

Both answer in the same way: pieces of output as they are written, then how it ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from ._calls import Pending


class Output(NamedTuple):
    """Something a program wrote."""

    fd: int
    """1 for its standard output, 2 for its standard error."""
    data: bytes


@dataclass(frozen=True)
class Completed:
    """A program that has ended."""

    exit: Optional[int]
    """Its exit status; None where a signal ended it."""
    signal: Optional[int]
    """The signal that ended it; None where it exited."""
    stdout: bytes
    stderr: bytes
    gas: int
    """Gas charged for all of it."""


class Process:
    """A program under way. Iterate for its output, or `wait()` for all of it. As a context it stops the program."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self.exit: Optional[int] = None
        """Its exit status, once the output is at its end and unless a signal ended it."""
        self.signal: Optional[int] = None
        """The signal that ended it, once the output is at its end."""
        self.gas = 0
        """Gas charged, once the output is at its end."""

    def __iter__(self) -> Iterator[Output]:
        """Output as it comes. Raises `Denied`, `Failed`, `Cancelled` or `Disconnected`."""
        for piece in self._pending:
            args: dict[str, Any] = piece.args if isinstance(piece.args, dict) else {}
            if piece.data:
                yield Output(2 if args.get("fd") == 2 else 1, piece.data)
            if piece.last:
                self.exit, self.signal, self.gas = args.get("exit"), args.get("signal"), piece.gas

    def wait(self) -> Completed:
        """Reads all output and returns it with how the program ended."""
        written = list(self)
        stdout, stderr = (b"".join(output.data for output in written if output.fd == fd) for fd in (1, 2))
        return Completed(self.exit, self.signal, stdout, stderr, self.gas)

    def stop(self) -> None:
        """Ends the program, unless it has ended."""
        self._pending.cancel()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
