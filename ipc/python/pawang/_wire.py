"""The bytes of the channel: frames, and the five messages inside them. No I/O.

A frame is a `u32` length and that many bytes. A message is a `u32` tag, numbers of fixed width, then byte fields, each
a `u64` length and its bytes; all little-endian. Every length is checked before it is used, and nothing may be left
over. The golden vectors of `ipc/protocol/tests/vectors.json` hold this file and the Rust one to the same bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Optional, Union

VERSION = 1
VERSION_MIN = 1
FRAME_MAX = 1 << 20
FRAME_MIN = 4
DATA_MAX = 256 << 10
ARGS_MAX = 128 << 10
RESOURCE_MAX = 32 << 10
HELLO_BODY_MAX = 256 << 10
PLAN_MAX = 256 << 10
IN_FLIGHT_MAX = 256
CHANNEL_FD = 3


class Status(IntEnum):
    """How a call ended."""

    OK = 0
    DENIED = 1
    FAILED = 2
    CANCELLED = 3


class CancelReason(IntEnum):
    """Why a call is cancelled. A caller says `CALLER`; the others are the kernel's, towards tools."""

    CALLER = 0
    DEADLINE = 1
    GAS = 2
    REVOKED = 3
    STOPPED = 4


class WireError(Exception):
    """Not a frame or not a message. `kind` is one of: length, torn, malformed, trailing, too_long, unknown."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Hello:
    """Opens the channel: the kernel's highest version, then the version chosen. `body` is JSON."""

    version: int
    features: int
    body: bytes


@dataclass(frozen=True)
class Launch:
    """Kernel to launcher only."""

    id: int
    plan: bytes


@dataclass(frozen=True)
class Call:
    """Asks for one act on one resource."""

    id: int
    parent: int
    method: int
    deadline_ms: int
    gas_max: int
    resource: bytes
    secrets: bytes
    args: bytes
    data: bytes


@dataclass(frozen=True)
class Reply:
    """Answers a call; several times while `more` is set."""

    id: int
    status: int
    more: bool
    gas: int
    args: bytes
    data: bytes


@dataclass(frozen=True)
class Cancel:
    """The answer to a call is no longer wanted."""

    id: int
    reason: int


Message = Union[Hello, Launch, Call, Reply, Cancel]


class _Layout(NamedTuple):
    kind: type[Message]
    head: struct.Struct
    numbers: tuple[str, ...]
    fields: tuple[tuple[str, int], ...]


# One line per message, in the order of its tag: the numbers behind the tag, then the byte fields with their limits.
_LAYOUTS = (
    _Layout(Hello, struct.Struct("<IHQ"), ("version", "features"), (("body", HELLO_BODY_MAX),)),
    _Layout(Launch, struct.Struct("<IQ"), ("id",), (("plan", PLAN_MAX),)),
    _Layout(
        Call,
        struct.Struct("<IQQIIQ"),
        ("id", "parent", "method", "deadline_ms", "gas_max"),
        (("resource", RESOURCE_MAX), ("secrets", ARGS_MAX), ("args", ARGS_MAX), ("data", DATA_MAX)),
    ),
    _Layout(
        Reply,
        struct.Struct("<IQBBQ"),
        ("id", "status", "more", "gas"),
        (("args", ARGS_MAX), ("data", DATA_MAX)),
    ),
    _Layout(Cancel, struct.Struct("<IQB"), ("id", "reason"), ()),
)
_TAGS: dict[type[Message], int] = {layout.kind: tag for tag, layout in enumerate(_LAYOUTS)}
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


def encode(message: Message) -> bytes:
    """The message as a whole frame, length word included. Raises `WireError` of kind too_long or unknown."""
    tag = _TAGS[type(message)]
    layout = _LAYOUTS[tag]
    parts = [layout.head.pack(tag, *(getattr(message, name) for name in layout.numbers))]
    for name, limit in layout.fields:
        content: bytes = getattr(message, name)
        _check_length(name, len(content), limit)
        parts += (_U64.pack(len(content)), content)
    _check_numbers(message)
    body = b"".join(parts)
    return _U32.pack(len(body)) + body


def decode(frame: bytes) -> Message:
    """Reads one frame without its length word. Raises `WireError` for anything but exactly one message."""
    if len(frame) < 4:
        raise WireError("malformed", "the frame ends inside the tag")
    (tag,) = _U32.unpack_from(frame)
    if tag >= len(_LAYOUTS):
        raise WireError("malformed", f"message tag {tag} is not known")
    layout = _LAYOUTS[tag]
    if len(frame) < layout.head.size:
        raise WireError("malformed", f"the frame ends inside the head of {layout.kind.__name__}")
    values = dict(zip(layout.numbers, layout.head.unpack_from(frame)[1:]))
    position = layout.head.size
    for name, _ in layout.fields:
        values[name], position = _take(frame, position, name)
    if position != len(frame):
        raise WireError("trailing", f"{len(frame) - position} bytes left over after the message")
    return _checked(layout, values)


def _take(frame: bytes, position: int, name: str) -> tuple[bytes, int]:
    start = position + 8
    if len(frame) < start:
        raise WireError("malformed", f"the frame ends inside the length of {name}")
    (length,) = _U64.unpack_from(frame, position)
    if length > len(frame) - start:
        raise WireError("malformed", f"{name} claims {length} bytes, {len(frame) - start} are left")
    return frame[start : start + length], start + length


def _checked(layout: _Layout, values: dict[str, object]) -> Message:
    if "more" in values:
        if values["more"] not in (0, 1):
            raise WireError("malformed", f"more is {values['more']}, neither 0 nor 1")
        values["more"] = values["more"] == 1
    message = layout.kind(**values)  # type: ignore[arg-type]
    if isinstance(message, Call):
        try:
            message.resource.decode()
        except UnicodeDecodeError:
            raise WireError("malformed", "the resource is not UTF-8") from None
    _check_numbers(message)
    for name, limit in layout.fields:
        _check_length(name, len(getattr(message, name)), limit)
    return message


def _check_length(name: str, length: int, limit: int) -> None:
    if length > limit:
        raise WireError("too_long", f"{name} of {length} bytes; at most {limit} are allowed")


def _check_numbers(message: Message) -> None:
    if isinstance(message, Reply) and message.status > max(Status):
        raise WireError("unknown", f"status {message.status} is not known")
    if isinstance(message, Cancel) and message.reason > max(CancelReason):
        raise WireError("unknown", f"reason {message.reason} is not known")


class FrameBuffer:
    """Bytes received and not yet taken as frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, received: bytes) -> None:
        """Appends what a read brought."""
        self._bytes += received

    def next_frame(self) -> Optional[bytes]:
        """The next whole frame without its length word, or None. Raises `WireError` of kind length."""
        if len(self._bytes) < 4:
            return None
        (length,) = _U32.unpack_from(self._bytes)
        if not FRAME_MIN <= length <= FRAME_MAX:
            raise WireError("length", f"frame length {length}; allowed are {FRAME_MIN} to {FRAME_MAX} bytes")
        end = 4 + length
        if len(self._bytes) < end:
            return None
        frame = bytes(self._bytes[4:end])
        del self._bytes[:end]
        return frame

    def finish(self) -> None:
        """To be called at the end of the stream. Raises `WireError` of kind torn where it ended inside a frame."""
        if self._bytes:
            raise WireError("torn", f"the stream ended {len(self._bytes)} bytes into a frame")
