"""The automation's own store of keys and values: it outlives the run and is seen by no other automation.

A key is names of `a-z`, `0-9`, `-` and `_`, with `/` between them: `reports/last-run`. A value is at most 256 KiB.
"""

from __future__ import annotations

import builtins
import json
from typing import NamedTuple, Optional, Union

from ._channel import Channel
from ._errors import Failed


class Key(NamedTuple):
    """A key that has a value."""

    name: str
    size: int
    """Bytes of the value."""


class Memory:
    """`run.memory`. Every method raises `Denied`, `Failed` or `Disconnected`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def get(self, key: str) -> Optional[bytes]:
        """The value; None where there is none."""
        try:
            return self._channel.submit("memory.read", key).result().data
        except Failed as failed:
            if failed.failure.code == "not_found":
                return None
            raise

    def set(self, key: str, value: Union[bytes, str]) -> None:
        """Stores a value, in place of the one there was."""
        self._channel.submit("memory.write", key, data=value.encode() if isinstance(value, str) else value).result()

    def remove(self, key: str) -> None:
        """Forgets a key. Raises `Failed` with code not_found where there is none."""
        self._channel.submit("memory.remove", key).result()

    def list(self, below: str) -> builtins.list[Key]:
        """The keys at or below this one, such as `reports`, sorted."""
        lines = self._channel.submit("memory.list", below).result().data.splitlines()
        return [Key(str(fields["key"]), int(fields["size"])) for fields in map(json.loads, lines)]
