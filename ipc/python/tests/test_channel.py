"""What the channel promises: opening, many calls at once, cancelling, and a clear end."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import unittest
from typing import Any, Callable

from pawang import Cancelled, Denied, Disconnected, Failed, PawangError, Run
from pawang import _wire as wire
from tests.kernel import METHODS, Kernel, Running, drain

DENIAL: dict[str, Any] = {
    "code": "D203",
    "call": "fs.read",
    "resource": "/etc/shadow",
    "reason": "no grant covers this path",
    "rule": "fs.read /input/**",
    "contract": "91c0",
    "gas_left": 998,
    "retryable": False,
    "allow": "[[allow]]\n",
}


class Opening(unittest.TestCase):
    def test_nothing_happens_before_the_first_call(self) -> None:
        with tempfile.TemporaryFile() as file:
            run = Run(file.fileno())
            with self.assertRaisesRegex(Disconnected, "no channel on descriptor .*; start it with: pawang run"):
                run.info()

    def test_a_closed_descriptor_is_no_channel(self) -> None:
        left, right = os.pipe()
        os.close(left)
        os.close(right)
        with self.assertRaisesRegex(Disconnected, f"no channel on descriptor {left}"):
            Run(left).info()

    def test_the_client_names_itself_and_chooses_the_version_both_speak(self) -> None:
        def script(kernel: Kernel) -> None:
            hello = kernel.hello(version=9, version_min=1)
            self.assertEqual((hello.version, hello.features), (1, 0))
            self.assertEqual(hello.body, b'{"client": "pawang-python 0.1.0"}')

        with Running(script) as run:
            self.assertEqual(run.methods(), sorted(METHODS))

    def test_a_kernel_without_a_common_version_is_refused(self) -> None:
        def script(kernel: Kernel) -> None:
            with self.assertRaises((EOFError, ConnectionError)):
                kernel.hello(version=9, version_min=2)

        with Running(script) as run:
            with self.assertRaisesRegex(Disconnected, "it speaks versions 2 to 9, this library 1 to 1"):
                run.info()

    def test_a_first_message_that_is_no_hello_is_refused(self) -> None:
        for first in (wire.Cancel(1, 0), wire.Hello(1, 0, b"{"), wire.Hello(1, 0, b"[]")):
            with Running(lambda kernel: kernel.send(first)) as run:
                with self.assertRaisesRegex(Disconnected, "Hello cannot be understood"):
                    run.info()
                with self.assertRaises(Disconnected):
                    run.info()

    def test_an_unknown_method_is_named_and_nothing_is_sent(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            self.assertEqual(drain(kernel), [])

        with Running(script) as run:
            with self.assertRaisesRegex(Failed, "no method 'fs.format'"):
                run.call("fs.format", "/")


class Calls(unittest.TestCase):
    def test_a_call_carries_what_it_was_given(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            call = kernel.call("http.fetch", "GET https://example.com/")
            expected = wire.Call(1, 0, call.method, 1500, 40, call.resource, b"", b'{"a":[1]}', b"body")
            self.assertEqual(call, expected)
            kernel.reply(call, {"n": 1}, b"one ", more=True, gas=0)
            kernel.reply(call, None, b"two", gas=17)

        with Running(script) as run:
            result = run.call("http.fetch", "GET https://example.com/", {"a": [1]}, b"body", gas=40, deadline=1.5)
            self.assertEqual((result.args, result.data, result.gas), ({"n": 1}, b"one two", 17))

    def test_every_status_is_its_own_exception_with_its_facts(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            kernel.reply(kernel.call("fs.read"), DENIAL, status=wire.Status.DENIED)
            failure = {"code": "not_found", "message": "no such file", "try": "look", "retryable": True}
            kernel.reply(kernel.call("fs.read"), failure, status=wire.Status.FAILED)
            kernel.reply(kernel.call("fs.read"), status=wire.Status.CANCELLED)
            kernel.reply(kernel.call("fs.read"), ["nonsense"], status=wire.Status.DENIED)

        with Running(script) as run:
            with self.assertRaises(Denied) as denied:
                run.call("fs.read", "/etc/shadow")
            self.assertEqual(denied.exception.denial.__dict__, DENIAL)
            self.assertEqual(str(denied.exception), "denied: fs.read /etc/shadow (D203 no grant covers this path)")
            with self.assertRaises(Failed) as failed:
                run.call("fs.read", "/input/b")
            self.assertEqual(str(failed.exception), "no such file (not_found); try: look")
            self.assertTrue(failed.exception.failure.retryable)
            with self.assertRaises(Cancelled):
                run.call("fs.read", "/input/c")
            with self.assertRaisesRegex(PawangError, "a denial that is not a JSON object"):
                run.call("fs.read", "/input/d")

    def test_a_part_beyond_its_limit_is_refused_before_anything_is_sent(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            call = kernel.call("fs.read")
            self.assertEqual((call.id, len(call.data)), (1, wire.DATA_MAX))
            kernel.reply(call)
            self.assertEqual(drain(kernel), [])

        attempts: list[Callable[[Run], object]] = [
            lambda run: run.call("fs.read", "a" * (wire.RESOURCE_MAX + 1)),
            lambda run: run.call("fs.read", "/a", "a" * wire.ARGS_MAX),
            lambda run: run.call("fs.read", "/a", data=bytes(wire.DATA_MAX + 1)),
            lambda run: run.call("fs.read", "/a", gas=-1),
            lambda run: run.call("fs.read", "/a", gas=1 << 64),
            lambda run: run.call("fs.read", "/a", deadline=0),
            lambda run: run.call("fs.read", "/a", deadline=4_294_968),
            lambda run: run.call("fs.read", "/\udcff"),
            lambda run: run.exec("ls -l"),
            lambda run: run.exec([]),
            lambda run: run.exec(["ls", "a\0b"]),
        ]
        with Running(script) as run:
            for attempt in attempts:
                with self.assertRaises(ValueError):
                    attempt(run)
            run.call("fs.read", "/a", data=bytes(wire.DATA_MAX))

    def test_answers_may_come_in_any_order_and_interleaved(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            first, second, third = (kernel.call("fs.read") for _ in range(3))
            for number in range(3):
                kernel.reply(third, None, b"c%d" % number, more=True)
                kernel.reply(first, None, b"a%d" % number, more=True)
            kernel.reply(second, None, b"b")
            kernel.reply(first)
            kernel.reply(third)

        with Running(script) as run:
            pending = [run.submit("fs.read", path) for path in ("/a", "/b", "/c")]
            self.assertEqual([p.result().data for p in pending], [b"a0a1a2", b"b", b"c0c1c2"])

    def test_f53_a_late_reply_to_a_finished_call_is_dropped(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            first = kernel.call("fs.read")
            kernel.reply(first, None, b"first")
            kernel.reply(first, None, b"again")
            kernel.reply(kernel.call("fs.read"), None, b"second")

        with Running(script) as run:
            self.assertEqual(run.call("fs.read", "/a").data, b"first")
            self.assertEqual(run.call("fs.read", "/b").data, b"second")

    def test_f53_a_reply_to_a_call_never_made_ends_the_channel(self) -> None:
        for number in (0, 2, 1 << 63):

            def script(kernel: Kernel) -> None:
                kernel.hello()
                kernel.call("fs.read")
                kernel.send(wire.Reply(number, 0, False, 0, b"", b""))

            with Running(script) as run:
                with self.assertRaisesRegex(Disconnected, f"a reply to call {number}, which was never made"):
                    run.call("fs.read", "/a")

    def test_many_threads_share_one_channel(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            ids = []
            for _ in range(8 * 50):
                call = kernel.call("fs.read")
                ids.append(call.id)
                kernel.reply(call, None, call.resource + b" ", more=True)
                kernel.reply(call, None, call.data)
            self.assertEqual(ids, list(range(1, 8 * 50 + 1)), "ids grow and are never used twice")

        wrong: list[str] = []

        def worker(run: Run, name: str) -> None:
            for number in range(50):
                answer = run.call("fs.read", f"/{name}/{number}", data=name.encode() * 1000).data
                if answer != f"/{name}/{number} ".encode() + name.encode() * 1000:
                    wrong.append(f"{name} {number}")

        with Running(script) as run:
            threads = [threading.Thread(target=worker, args=(run, f"t{number}")) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])

    def test_f51_a_kernel_that_must_be_read_before_it_reads_on_does_not_lock_us_up(self) -> None:
        chunk, chunks = bytes(wire.DATA_MAX), 20

        def script(kernel: Kernel) -> None:
            kernel.hello()
            first = kernel.call("fs.read")
            for _ in range(chunks):
                kernel.reply(first, None, chunk, more=True)
            kernel.reply(first)
            for _ in range(chunks):
                kernel.reply(kernel.call("fs.append"))

        with Running(script) as run:
            stream = run.submit("fs.read", "/big")
            written = [run.submit("fs.append", "/copy", data=chunk) for _ in range(chunks)]
            self.assertEqual(len(stream.result().data), chunks * len(chunk))
            for pending in written:
                pending.result()

    def test_the_257th_call_waits_until_one_is_over(self) -> None:
        seen: list[int] = []

        def script(kernel: Kernel) -> None:
            kernel.hello()
            calls = [kernel.call("fs.stat") for _ in range(wire.IN_FLIGHT_MAX)]
            # More than any socket buffer holds: it goes through because the client, waiting for room, reads.
            for _ in range(16):
                kernel.reply(calls[7], None, bytes(wire.DATA_MAX), more=True)
            kernel.end.setblocking(False)
            with self.assertRaises(BlockingIOError):
                kernel.receive()
            kernel.end.setblocking(True)
            kernel.reply(calls[7])
            seen.append(kernel.call("fs.stat").id)

        with Running(script) as run:
            for _ in range(wire.IN_FLIGHT_MAX + 1):
                run.submit("fs.stat", "/a")
        self.assertEqual(seen, [wire.IN_FLIGHT_MAX + 1])


class Cancelling(unittest.TestCase):
    def test_leaving_a_stream_early_cancels_the_rest(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            call = kernel.call("fs.read")
            kernel.reply(call, None, b"1", more=True)
            self.assertEqual(kernel.receive(), wire.Cancel(call.id, wire.CancelReason.CALLER))
            kernel.reply(call, None, b"2", more=True)
            kernel.reply(call, status=wire.Status.CANCELLED)
            kernel.reply(kernel.call("fs.read"), None, b"next")

        with Running(script) as run:
            for chunk in run.fs.open_read("/big"):
                self.assertEqual(chunk, b"1")
                break
            self.assertEqual(run.fs.read("/small"), b"next")

    def test_cancel_is_sent_once_and_not_for_what_is_over(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            kernel.reply(kernel.call("fs.read"))
            call = kernel.call("fs.read")
            self.assertEqual(drain(kernel), [wire.Cancel(call.id, wire.CancelReason.CALLER)])

        with Running(script) as run:
            over = run.submit("fs.read", "/a")
            over.result()
            over.cancel()
            pending = run.submit("fs.read", "/b")
            pending.cancel()
            pending.cancel()
            with self.assertRaises(Cancelled):
                pending.result()
            self.assertEqual(list(pending), [])


class Ending(unittest.TestCase):
    def test_the_kernel_closing_ends_every_call_and_every_later_one(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            call = kernel.call("fs.read")
            kernel.call("fs.read")
            kernel.reply(call, None, b"before the end")

        with Running(script) as run:
            first, second = run.submit("fs.read", "/a"), run.submit("fs.read", "/b")
            with self.assertRaisesRegex(Disconnected, "the kernel closed the channel"):
                second.result()
            self.assertEqual(first.result().data, b"before the end", "what had arrived is not lost")
            with self.assertRaises(Disconnected):
                run.call("fs.read", "/c")

    def test_every_waiting_thread_learns_of_the_end(self) -> None:
        barrier = threading.Barrier(5)
        ends: list[str] = []

        def script(kernel: Kernel) -> None:
            kernel.hello()
            for _ in range(4):
                kernel.call("fs.read")
            barrier.wait(10)

        def worker(run: Run) -> None:
            pending = run.submit("fs.read", "/a")
            barrier.wait(10)
            try:
                pending.result()
            except Disconnected as error:
                ends.append(str(error))

        with Running(script) as run:
            threads = [threading.Thread(target=worker, args=(run,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(ends, ["the kernel closed the channel"] * 4)

    def test_bytes_that_are_no_message_end_the_channel(self) -> None:
        cases = {
            b"\xff\xff\xff\xff": "frame length 4294967295",
            b"\x04\x00\x00\x00\x09\x00\x00\x00": "message tag 9 is not known",
            b"\x04\x00\x00\x00\x09": "the stream ended 5 bytes into a frame",
            wire.encode(wire.Cancel(1, 0)): "a Cancel is not for an automation",
        }
        for stream, reason in cases.items():

            def script(kernel: Kernel) -> None:
                kernel.hello()
                kernel.call("fs.read")
                kernel.end.sendall(stream)

            with self.subTest(reason), Running(script) as run:
                with self.assertRaisesRegex(Disconnected, reason):
                    run.call("fs.read", "/a")

    def test_a_forked_child_may_not_use_the_channel(self) -> None:
        def script(kernel: Kernel) -> None:
            kernel.hello()
            kernel.reply(kernel.call("fs.read"), None, b"parent")

        near, far = socket.socketpair()
        run = Run(near.fileno())
        child = os.fork()
        if child == 0:
            try:
                run.call("fs.read", "/a")
            except Disconnected as error:
                os._exit(0 if "forked child" in str(error) else 2)
            except BaseException:
                os._exit(3)
            os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        with far:
            thread = threading.Thread(target=script, args=(Kernel(far),))
            thread.start()
            self.assertEqual(run.fs.read("/a"), b"parent")
            thread.join()
        near.close()
