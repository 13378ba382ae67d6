"""Files and folders, through the `fs` tool. Paths are absolute, without `.`, `..` or symbolic links on the way.

Content of any size: it travels in chunks, and a stream holds no more than what has arrived and was not read yet.
Deliberately absent: modes, owners, links, watching, and locking.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Union

from . import _wire as wire
from ._calls import Result
from ._channel import Channel

Path = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Entry:
    """One entry of a folder."""

    name: str
    kind: str
    """`file`, `dir`, `symlink` or `other`; only files and folders can be opened."""
    size: int
    """Bytes, for files."""


@dataclass(frozen=True)
class Stat:
    """What is known of a file or folder."""

    kind: str
    size: int
    """Bytes."""
    mtime_ms: int
    """Last change, ms since 1970."""
    mode: int
    """Permission bits."""


class Fs:
    """`run.fs`. Every method raises `Denied`, `Failed` or `Disconnected`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def read(self, path: Path, offset: int = 0, length: Optional[int] = None) -> bytes:
        """The whole content, or `length` bytes from `offset`."""
        return b"".join(self.open_read(path, offset, length))

    def read_text(self, path: Path, encoding: str = "utf-8") -> str:
        """The whole content as text. Raises `UnicodeDecodeError` where it is not."""
        return self.read(path).decode(encoding)

    def open_read(self, path: Path, offset: int = 0, length: Optional[int] = None) -> Iterator[bytes]:
        """Chunks of at most 256 KiB, for content of any size. Leaving the loop early cancels the rest."""
        args: Dict[str, int] = {"offset": offset} if offset else {}
        if length is not None:
            args["length"] = length
        with self._channel.submit("fs.read", os.fspath(path), args or None) as pending:
            for piece in pending:
                if piece.data:
                    yield piece.data

    def write(self, path: Path, content: Union[bytes, str]) -> None:
        """Creates the file or replaces its content. Not atomic beyond 256 KiB: a reader may see the beginning alone."""
        self._write("fs.write", path, content)

    def append(self, path: Path, content: Union[bytes, str]) -> None:
        """Adds at the end; creates the file where there is none."""
        self._write("fs.append", path, content)

    def list(self, path: Path) -> List[Entry]:
        """The entries of a folder, by name."""
        entries: List[Entry] = []
        with self._channel.submit("fs.list", os.fspath(path)) as pending:
            for piece in pending:
                entries += (_entry(fields) for fields in _entries(piece.args, piece.data))
        return sorted(entries, key=lambda entry: entry.name)

    def stat(self, path: Path) -> Stat:
        """Kind, size, time of the last change, mode."""
        fields = self._call("fs.stat", path).args
        return Stat(str(fields["kind"]), int(fields["size"]), int(fields["mtime_ms"]), int(fields["mode"]))

    def mkdir(self, path: Path) -> None:
        """Makes a folder; its parent must be there."""
        self._call("fs.mkdir", path)

    def remove(self, path: Path) -> None:
        """Removes a file or an empty folder."""
        self._call("fs.remove", path)

    def move(self, source: Path, target: Path) -> None:
        """Gives a file or folder another path."""
        self._channel.submit("fs.move", f"{os.fspath(source)}\0{os.fspath(target)}").result()

    def _call(self, method: str, path: Path) -> Result:
        return self._channel.submit(method, os.fspath(path)).result()

    def _write(self, first: str, path: Path, content: Union[bytes, str]) -> None:
        rest = memoryview(content.encode() if isinstance(content, str) else content)
        self._channel.submit(first, os.fspath(path), data=bytes(rest[: wire.DATA_MAX])).result()
        for begin in range(wire.DATA_MAX, len(rest), wire.DATA_MAX):
            self._channel.submit("fs.append", os.fspath(path), data=bytes(rest[begin : begin + wire.DATA_MAX])).result()


def _entries(args: Any, data: bytes) -> Iterator[Any]:
    del args
    for line in data.splitlines():
        yield json.loads(line)


def _entry(fields: Any) -> Entry:
    return Entry(str(fields["name"]), str(fields["kind"]), int(fields.get("size", 0)))
