"""What each service sends, and what it makes of the answer."""

from __future__ import annotations

import unittest
from pathlib import PurePosixPath
from typing import Any, Callable

from pawang import Completed, Entry, Failed, Key, Output, PawangError, Run, Stat
from pawang import _wire as wire
from tests.kernel import Kernel, Running

NOT_FOUND = {"code": "not_found", "message": "there is none"}


class Services(unittest.TestCase):
    def check(
        self,
        sent: tuple[str, str, bytes, bytes],
        answers: list[tuple[Any, bytes]],
        act: Callable[[Run], Any],
        result: Any,
    ) -> None:
        """One call with this method, resource, args and data; answered with these pieces; gives this result."""

        def script(kernel: Kernel) -> None:
            kernel.hello()
            call = kernel.call(sent[0], sent[1])
            self.assertEqual((call.args, call.data), sent[2:])
            for number, (args, data) in enumerate(answers, 1):
                last = number == len(answers)
                kernel.reply(call, args, data, more=not last, gas=5 if last else 0)

        with self.subTest(sent), Running(script) as run:
            self.assertEqual(act(run), result)

    def test_fs(self) -> None:
        none: list[tuple[Any, bytes]] = [(None, b"")]
        parts = [(None, b"one "), (None, b""), (None, "zwö".encode())]
        self.check(("fs.read", "/a", b"", b""), parts, lambda run: run.fs.read("/a"), "one zwö".encode())
        self.check(("fs.read", "/a", b"", b""), parts, lambda run: run.fs.read_text("/a"), "one zwö")
        self.check(
            ("fs.read", "/a", b"", b""), parts, lambda run: list(run.fs.open_read("/a")), [b"one ", "zwö".encode()]
        )
        window = b'{"offset":3,"length":0}'
        self.check(("fs.read", "/a", window, b""), none, lambda run: run.fs.read("/a", 3, 0), b"")
        self.check(("fs.write", "/a", b"", "ü".encode()), none, lambda run: run.fs.write("/a", "ü"), None)
        self.check(("fs.append", "/a", b"", b"x"), none, lambda run: run.fs.append("/a", bytearray(b"x")), None)
        self.check(("fs.mkdir", "/a/b", b"", b""), none, lambda run: run.fs.mkdir(PurePosixPath("/a/b")), None)
        self.check(("fs.remove", "/a", b"", b""), none, lambda run: run.fs.remove("/a"), None)
        self.check(("fs.move", "/a\0/b", b"", b""), none, lambda run: run.fs.move("/a", "/b"), None)
        replace = b'{"replace":true}'
        self.check(("fs.move", "/a\0/b", replace, b""), none, lambda run: run.fs.move("/a", "/b", replace=True), None)
        stat = Stat("file", 3, 1700000000000, 0o644)
        facts = stat.__dict__
        self.check(("fs.stat", "/a", b"", b""), [(facts, b"")], lambda run: run.fs.stat("/a"), stat)
        pages = [
            (None, b'{"name":"b","kind":"file","size":3}\n{"name":"d","kind":"dir","size":0}\n'),
            (None, b'{"name":"a\xef\xbf\xbd","name_hex":"61ff","kind":"symlink","size":0}\n'),
            (None, b""),
        ]
        entries = [Entry("a\ufffd", "symlink", 0, b"a\xff"), Entry("b", "file", 3), Entry("d", "dir", 0)]
        self.check(("fs.list", "/", b"", b""), pages, lambda run: run.fs.list("/"), entries)

    def test_content_of_any_size_goes_in_pieces(self) -> None:
        for size in (0, 1, wire.DATA_MAX, wire.DATA_MAX + 1, 3 * wire.DATA_MAX):
            content = bytes(range(251)) * (size // 251 + 1)
            content = content[:size]
            received: list[bytes] = []

            def script(kernel: Kernel) -> None:
                kernel.hello()
                for piece in range(max(1, -(-size // wire.DATA_MAX))):
                    call = kernel.call("fs.append" if piece else "fs.write", "/big")
                    received.append(call.data)
                    kernel.reply(call)

            with Running(script) as run:
                run.fs.write("/big", content)
            self.assertEqual(b"".join(received), content)

    def test_http(self) -> None:
        head = {"status": 404, "headers": [["Content-Type", "text/plain"], ["a", "1"], ["A", "2"]], "version": "HTTP/2"}
        pieces = [(head, b""), (None, b'{"a":'), (None, b"1}")]
        url = "http://127.0.0.1:8080/x?y=1"
        sent = ("http.fetch", f"GET {url}", b'{"headers":[]}', b"")
        self.check(sent, pieces, lambda run: run.http.fetch("GET", url).status, 404)
        self.check(sent, pieces, lambda run: run.http.fetch("GET", url).header("content-TYPE"), "text/plain")
        self.check(sent, pieces, lambda run: run.http.fetch("GET", url).header("b"), None)
        self.check(sent, pieces, lambda run: run.http.fetch("GET", url).headers[1:], [("a", "1"), ("a", "2")])
        self.check(sent, pieces, lambda run: run.http.fetch("GET", url).json(), {"a": 1})
        self.check(sent, pieces, lambda run: list(run.http.fetch("GET", url)), [b'{"a":', b"1}"])
        self.check(sent, [({**head, "status": 204}, b"")], lambda run: run.http.fetch("GET", url).body, b"")
        self.check(sent, [(head, b"all at once")], lambda run: run.http.fetch("GET", url).text(), "all at once")
        full = b'{"headers":[["accept","*/*"]],"timeout_ms":1500,"max_bytes":10}'
        for headers in ({"accept": "*/*"}, [("accept", "*/*")]):
            self.check(
                ("http.fetch", f"POST {url}", full, b"body"),
                pieces,
                lambda run: run.http.fetch("POST", url, headers, b"body", 1.5, 10).body,
                b'{"a":1}',
            )

    def test_an_answer_without_a_status_is_an_error(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            kernel.reply(kernel.call("http.fetch"), None, b"hm")

        with Running(script) as run, self.assertRaisesRegex(PawangError, "without a status"):
            run.http.fetch("GET", "http://127.0.0.1/")

    def test_the_rest_of_a_body_is_dropped_where_nobody_wants_it(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            call = kernel.call("http.fetch")
            kernel.reply(call, {"status": 200, "headers": []}, more=True)
            self.assertEqual(kernel.receive(), wire.Cancel(call.id, wire.CancelReason.CALLER))

        with Running(script) as run, run.http.fetch("GET", "http://127.0.0.1/") as response:
            self.assertEqual(response.status, 200)

    def test_exec(self) -> None:
        pieces = [({"fd": 1}, b"out"), ({"fd": 2}, b"err"), ({"fd": 1}, b"put"), ({"exit": 3, "signal": None}, b"")]
        done = Completed(3, None, b"output", b"err", 5)
        self.check(("exec.run", "git\0status", b"", b""), pieces, lambda run: run.exec(["git", "status"]), done)
        args = b'{"cwd":"/w","env":{"A":"1"},"timeout_ms":2000,"max_bytes":9}'
        given = ("exec.run", "cat", args, b"in")
        killed = [({"exit": None, "signal": 9}, b"")]
        act: Callable[[Run], Any] = lambda run: run.exec(("cat",), "/w", {"A": "1"}, b"in", 2, 9)
        self.check(given, killed, act, Completed(None, 9, b"", b"", 5))
        streamed = [Output(1, b"out"), Output(2, b"err"), Output(1, b"put")]
        self.check(
            ("exec.run", "git\0status", b"", b""), pieces, lambda run: list(run.start(["git", "status"])), streamed
        )

    def test_a_program_is_stopped_with_its_context(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            call = kernel.call("exec.run", "yes")
            kernel.reply(call, {"fd": 1}, b"y\n", more=True)
            self.assertEqual(kernel.receive(), wire.Cancel(call.id, wire.CancelReason.CALLER))

        with Running(script) as run, run.start(["yes"]) as process:
            self.assertEqual(next(iter(process)), Output(1, b"y\n"))

    def test_helpers_and_info(self) -> None:
        args = b'{"contract":{"gas":10},"args":["a"]}'
        pieces = [({"fd": 1}, b"hi"), ({"exit": 0, "gas": 7}, b"")]
        done = Completed(0, None, b"hi", b"", 5)
        self.check(
            ("run.spawn", "helper", args, b""), pieces, lambda run: run.spawn("helper", {"gas": 10}, ["a"]).wait(), done
        )
        self.check(("run.info", "", b"", b""), [({"run": "7f3a"}, b"")], lambda run: run.info(), {"run": "7f3a"})

    def test_memory(self) -> None:
        self.check(("memory.read", "a/b", b"", b""), [(None, b"value")], lambda run: run.memory.get("a/b"), b"value")
        self.check(("memory.write", "a", b"", b"x"), [(None, b"")], lambda run: run.memory.set("a", "x"), None)
        self.check(("memory.remove", "a", b"", b""), [(None, b"")], lambda run: run.memory.remove("a"), None)
        pieces: list[tuple[Any, bytes]] = [(None, b'{"key":"a/b","size":3}\n{"key":"a/c","size":0}\n'), (None, b"")]
        keys = [Key("a/b", 3), Key("a/c", 0)]
        self.check(("memory.list", "a", b"", b""), pieces, lambda run: run.memory.list("a"), keys)

    def test_a_key_that_is_not_there_is_none_to_get_and_an_error_to_remove(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            kernel.reply(kernel.call("memory.read"), NOT_FOUND, status=2)
            kernel.reply(kernel.call("memory.read"), {"code": "tool_crashed", "message": "it ended"}, status=2)
            kernel.reply(kernel.call("memory.remove"), NOT_FOUND, status=2)

        with Running(script) as run:
            self.assertIsNone(run.memory.get("a"))
            with self.assertRaisesRegex(Failed, "tool_crashed"):
                run.memory.get("a")
            with self.assertRaisesRegex(Failed, "not_found"):
                run.memory.remove("a")
