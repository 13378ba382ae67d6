"""Holds the codec to the golden vectors that the Rust codec is held to as well."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

from pawang import Denial, Failure
from pawang import _wire as wire

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "protocol/tests/vectors.json").read_text(encoding="utf-8"))
KINDS = {kind.__name__.lower(): kind for kind in (wire.Hello, wire.Launch, wire.Call, wire.Reply, wire.Cancel)}


def content(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return value.encode() if isinstance(value, str) else value


def message(fields: dict[str, Any]) -> wire.Message:
    named = {name: content(value) for name, value in fields.items() if name != "type"}
    made: wire.Message = KINDS[fields["type"]](**named)
    return made


def read(stream: bytes) -> wire.Message:
    buffer = wire.FrameBuffer()
    buffer.feed(stream)
    frame = buffer.next_frame()
    if frame is None:
        buffer.finish()
        raise AssertionError("neither a frame nor torn")
    return wire.decode(frame)


class Vectors(unittest.TestCase):
    def test_every_good_message_has_exactly_its_bytes(self) -> None:
        self.assertEqual(VECTORS["version"], wire.VERSION)
        for vector in VECTORS["good"]:
            with self.subTest(vector["name"]):
                expected = message(vector["message"])
                self.assertEqual(wire.encode(expected).hex(), vector["frame"])
                self.assertEqual(read(bytes.fromhex(vector["frame"])), expected)

    def test_f50_every_bad_frame_is_refused_with_its_kind_of_error(self) -> None:
        for vector in VECTORS["bad"]:
            parts = (bytes.fromhex(p) if isinstance(p, str) else bytes.fromhex(p[0]) * p[1] for p in vector["frame"])
            with self.subTest(vector["name"]), self.assertRaises(wire.WireError) as caught:
                read(b"".join(parts))
            self.assertEqual(caught.exception.kind, vector["error"], vector["name"])

    def test_every_denial_and_failure_keeps_all_its_fields(self) -> None:
        for body in VECTORS["bodies"]:
            fields = json.loads(body["json"])
            if body["type"] == "denial":
                for name, value in fields.items():
                    self.assertEqual(getattr(Denial.from_json(fields), name), value)
            elif body["type"] == "failure":
                for name, value in fields.items():
                    self.assertEqual(getattr(Failure.from_json(fields), "hint" if name == "try" else name), value)


class Frames(unittest.TestCase):
    def test_frames_come_out_whole_whatever_the_cuts(self) -> None:
        stream = b"".join(bytes.fromhex(vector["frame"]) for vector in VECTORS["good"][3:6])
        for cut in range(len(stream)):
            buffer, taken = wire.FrameBuffer(), []
            for part in (stream[:cut], stream[cut:]):
                buffer.feed(part)
                while (frame := buffer.next_frame()) is not None:
                    taken.append(wire.decode(frame))
            buffer.finish()
            self.assertEqual(taken, [message(vector["message"]) for vector in VECTORS["good"][3:6]], cut)

    def test_a_field_beyond_its_limit_is_never_sent(self) -> None:
        whole = wire.Call(1, 0, 0, 0, 0, b"a" * wire.RESOURCE_MAX, b"", b"b" * wire.ARGS_MAX, b"c" * wire.DATA_MAX)
        self.assertEqual(read(wire.encode(whole)), whole)
        for name in ("resource", "args", "data"):
            longer = {**whole.__dict__, name: getattr(whole, name) + b"x"}
            with self.subTest(name), self.assertRaises(wire.WireError) as caught:
                wire.encode(wire.Call(**longer))
            self.assertEqual(caught.exception.kind, "too_long")
