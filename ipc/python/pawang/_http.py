"""HTTP requests, through the `http` tool. It follows no redirect, keeps no cookie and reads no proxy setting.

A secret of the contract is put in by the kernel on the way out; it is never in this process, and taken out of the
answer where the server sends it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional, Union

from ._calls import Pending
from ._channel import Channel
from ._errors import PawangError

Headers = Union[Mapping[str, str], Iterable[tuple[str, str]]]


class Response:
    """An answer whose head has arrived. Its body comes as it is asked for; as a context it drops the rest."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._body: Optional[bytes] = None
        first = next(pending, None)
        head = first.args if first else None
        if first is None or not isinstance(head, dict):
            raise PawangError("the http tool answered without a status")
        self._early = first.data
        self.status = int(head["status"])
        """HTTP status, such as 200."""
        self.headers: list[tuple[str, str]] = [(str(name).lower(), str(value)) for name, value in head["headers"]]
        """Names in lower case, in the order they came; a name may come twice."""

    def header(self, name: str) -> Optional[str]:
        """The first header of that name, in any case of letters; None where there is none."""
        return next((value for known, value in self.headers if known == name.lower()), None)

    def __iter__(self) -> Iterator[bytes]:
        """The body in chunks, once. For a body that is too large to hold."""
        early, self._early = self._early, b""
        if early:
            yield early
        for piece in self._pending:
            if piece.data:
                yield piece.data

    @property
    def body(self) -> bytes:
        """The whole body."""
        if self._body is None:
            self._body = b"".join(self)
        return self._body

    def text(self, encoding: str = "utf-8") -> str:
        """The body as text; what is not in that encoding shows as U+FFFD."""
        return self.body.decode(encoding, "replace")

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError` where it is not."""
        return json.loads(self.body)

    def close(self) -> None:
        """Drops what has not been read."""
        self._pending.cancel()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Http:
    """`run.http`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def fetch(
        self,
        method: str,
        url: str,
        headers: Headers = (),
        body: bytes = b"",
        timeout: Optional[float] = None,
        max_bytes: Optional[int] = None,
    ) -> Response:
        """Sends one request and returns when the head of the answer is there.

        `timeout` is in seconds, `max_bytes` bounds the answer's body (8 MiB where it is not given); the
        request's `body` is at most 256 KiB. An HTTP status of 400 or more is an answer like any other.
        Raises `Denied`, `Failed` or `Disconnected`.
        """
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        args: dict[str, Any] = {"headers": [[name, value] for name, value in pairs]}
        if timeout is not None:
            args["timeout_ms"] = max(1, round(timeout * 1000))
        if max_bytes is not None:
            args["max_bytes"] = max_bytes
        return Response(self._channel.submit("http.fetch", f"{method} {url}", args, body))
