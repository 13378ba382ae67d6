"""Files and folders, through the `fs` tool. Paths are absolute, without `.`, `..` or symbolic links on the way.

Content of any size: it travels in chunks, and a stream holds no more than what has arrived and was not read yet.
Deliberately absent: modes, owners, links, watching, and locking.
"""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional, Union

from . import _wire as wire
from ._calls import Result
from ._channel import Channel

Path = Union[str, "os.PathLike[str]"]
Content = Union[bytes, bytearray, memoryview, str]


@dataclass(frozen=True)
class Entry:
    """One entry of a folder."""

    name: str
    """Where `raw` is set, with U+FFFD in place of what is not UTF-8."""
    kind: str
    """`file`, `dir`, `symlink` or `other`; only files and folders can be opened."""
    size: int
    """Bytes of a file; 0 for anything else."""
    raw: Optional[bytes] = None
    """The name as it is, where it is not UTF-8. Such an entry cannot be named in a call."""


@dataclass(frozen=True)
class Stat:
    """What is known of a file or folder."""

    kind: str
    """As in `Entry`."""
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
        args: dict[str, int] = {"offset": offset} if offset else {}
        if length is not None:
            args["length"] = length
        with self._channel.submit("fs.read", os.fspath(path), args or None) as pending:
            for piece in pending:
                if piece.data:
                    yield piece.data

    def write(self, path: Path, content: Content) -> None:
        """Creates the file or replaces its content. Not atomic beyond 256 KiB: a reader may see the beginning alone."""
        self._write("fs.write", path, content)

    def append(self, path: Path, content: Content) -> None:
        """Adds at the end; creates the file where there is none."""
        self._write("fs.append", path, content)

    def list(self, path: Path) -> builtins.list[Entry]:
        """The entries of a folder, by name."""
        entries: list[Entry] = []
        with self._channel.submit("fs.list", os.fspath(path)) as pending:
            for piece in pending:
                entries += (_entry(line) for line in piece.data.splitlines())
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

    def move(self, source: Path, target: Path, replace: bool = False) -> None:
        """Gives a file or folder another path. Raises `Failed` with code already_exists unless `replace` is set."""
        args = {"replace": True} if replace else None
        self._channel.submit("fs.move", f"{os.fspath(source)}\0{os.fspath(target)}", args).result()

    def _call(self, method: str, path: Path) -> Result:
        return self._channel.submit(method, os.fspath(path)).result()

    def _write(self, first: str, path: Path, content: Content) -> None:
        rest = memoryview(content.encode() if isinstance(content, str) else content)
        self._channel.submit(first, os.fspath(path), data=bytes(rest[: wire.DATA_MAX])).result()
        for begin in range(wire.DATA_MAX, len(rest), wire.DATA_MAX):
            self._channel.submit("fs.append", os.fspath(path), data=bytes(rest[begin : begin + wire.DATA_MAX])).result()


def _entry(line: bytes) -> Entry:
    fields = json.loads(line)
    raw = bytes.fromhex(fields["name_hex"]) if "name_hex" in fields else None
    return Entry(str(fields["name"]), str(fields["kind"]), int(fields["size"]), raw)
