"""`run`: everything an automation can ask for, under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from . import _wire as wire
from ._calls import Pending, Result
from ._channel import Channel
from ._exec import Completed, Process
from ._fs import Fs
from ._http import Http
from ._memory import Memory


class Run:
    """One execution under one contract, as seen from inside. Safe to use from several threads."""

    def __init__(self, fd: int = wire.CHANNEL_FD) -> None:
        self._channel = Channel(fd)
        self.fs = Fs(self._channel)
        """Files and folders."""
        self.http = Http(self._channel)
        """HTTP requests."""
        self.memory = Memory(self._channel)
        """Keys and values that outlive the run."""

    def exec(
        self,
        argv: Sequence[str],
        cwd: Optional[str] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: bytes = b"",
        timeout: Optional[float] = None,
        max_bytes: Optional[int] = None,
    ) -> Completed:
        """Starts a program in a jail of its own and waits for its end. No shell reads `argv`; `timeout` is in seconds.

        `max_bytes` bounds its output (16 MiB where it is not given): a program that writes more is stopped, and the
        call fails. An exit status other than 0 is an answer like any other. Raises `Denied`, `Failed` or `Disconnected`.
        """
        return self.start(argv, cwd, env, stdin, timeout, max_bytes).wait()

    def start(
        self,
        argv: Sequence[str],
        cwd: Optional[str] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: bytes = b"",
        timeout: Optional[float] = None,
        max_bytes: Optional[int] = None,
    ) -> Process:
        """The same, for output that is wanted while it is written: iterate over what is returned."""
        if isinstance(argv, str) or not argv:
            raise ValueError("argv is a list of words, the program first: ['git', 'status']")
        if any("\0" in word for word in argv):
            raise ValueError("a word of argv holds a NUL")
        args: dict[str, Any] = {}
        if cwd is not None:
            args["cwd"] = cwd
        if env is not None:
            args["env"] = dict(env)
        if timeout is not None:
            args["timeout_ms"] = max(1, round(timeout * 1000))
        if max_bytes is not None:
            args["max_bytes"] = max_bytes
        return Process(self._channel.submit("exec.run", "\0".join(argv), args or None, stdin))

    def spawn(self, name: str, contract: Mapping[str, Any], args: Sequence[str] = ()) -> Process:
        """Starts a helper under a smaller contract, cut from this run's own and paid from its gas."""
        return Process(self._channel.submit("run.spawn", name, {"contract": dict(contract), "args": list(args)}))

    def info(self) -> dict[str, Any]:
        """What the kernel says of this run: its id, its contract, its gas."""
        info = self._channel.submit("run.info").result().args
        return info if isinstance(info, dict) else {}

    def methods(self) -> list[str]:
        """Names of all methods the kernel offers. Which of them the contract grants is another matter."""
        return sorted(self._channel.methods())

    def call(
        self,
        method: str,
        resource: str = "",
        args: Any = None,
        data: bytes = b"",
        gas: int = 0,
        deadline: Optional[float] = None,
    ) -> Result:
        """Any method, and its whole answer.

        `args` is JSON, `data` at most 256 KiB; `gas` is the most it may use (0: as much as the run has), `deadline` is
        in seconds (None: the method's own). Raises `Denied`, `Failed`, `Cancelled` or `Disconnected`.
        """
        return self.submit(method, resource, args, data, gas, deadline).result()

    def submit(
        self,
        method: str,
        resource: str = "",
        args: Any = None,
        data: bytes = b"",
        gas: int = 0,
        deadline: Optional[float] = None,
    ) -> Pending:
        """The same without waiting: several calls under way at once, answers in pieces, `cancel()`."""
        return self._channel.submit(method, resource, args, data, gas, deadline)
