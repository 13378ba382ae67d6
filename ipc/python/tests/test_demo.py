"""Runs the demo's automation as a process of its own, with a scripted kernel and without a sandbox.

So its honest half must work, the scripted kernel's denials must be told, and whatever only a sandbox could stop must be
reported as not stopped: a probe that cannot succeed proves nothing.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from pawang import _wire as wire
from tests.kernel import METHODS, Kernel

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "tests/demo"
KEY = "canary-7d1f"


def serve(kernel: Kernel, granted: list[str], report: dict[str, bytes]) -> None:
    """A kernel of two rules: what lies below a granted prefix is done here, everything else is denied."""
    kernel.hello()
    while True:
        try:
            call = kernel.receive()
        except (EOFError, ConnectionError):
            return
        assert isinstance(call, wire.Call), call
        method, resource = METHODS[call.method], call.resource.decode()
        if not any(f"{method} {resource}".startswith(prefix) for prefix in granted):
            denial = {
                "code": "D203",
                "call": method,
                "resource": resource,
                "reason": "not granted",
                "contract": "00",
                "gas_left": 1,
            }
            kernel.reply(call, denial, status=1)
        elif method == "fs.list":
            for name in sorted(os.listdir(resource)):
                path = Path(resource, name)
                entry = {"name": name, "kind": kind(path), "size": path.stat().st_size}
                kernel.reply(call, None, json.dumps(entry).encode() + b"\n", more=True)
            kernel.reply(call)
        elif method == "fs.read":
            kernel.reply(call, None, Path(resource).read_bytes())
        elif method == "fs.write":
            report[resource] = call.data
            kernel.reply(call)
        else:
            fetch(kernel, call, resource.removeprefix("GET "))


def kind(path: Path) -> str:
    """As the fs tool names it."""
    return "symlink" if path.is_symlink() else "dir" if path.is_dir() else "file"


def fetch(kernel: Kernel, call: wire.Call, url: str) -> None:
    """Puts the key in on the way out and takes it out of the answer, as the kernel does."""
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request) as answer:
        body = answer.read().replace(KEY.encode(), b"[redacted]")
        kernel.reply(call, {"status": answer.status, "headers": [], "version": "HTTP/1.1"}, more=True)
        kernel.reply(call, None, body)


class Demo(unittest.TestCase):
    def setUp(self) -> None:
        server = [sys.executable, str(DEMO / "server.py")]
        self.server = subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.server.stdin and self.server.stdout
        self.addCleanup(self.server.communicate)
        self.addCleanup(self.server.kill)
        self.server.stdin.write(f"{KEY}\n")
        self.server.stdin.flush()
        self.url = self.server.stdout.readline().strip()

    def test_the_service_wants_its_key(self) -> None:
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{self.url}/v1/licences/GPL-3")
        self.assertEqual(caught.exception.code, 401)
        caught.exception.close()

    def test_the_work_is_done_and_every_misdeed_that_nothing_stops_is_reported(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "GPL-3").write_text("free as in freedom")
            (Path(folder) / "BSD").write_text("as is")
            (Path(folder) / "GPL").symlink_to("GPL-3")
            (Path(folder) / "home/.ssh").mkdir(parents=True)
            (Path(folder) / "home/.ssh/id_ed25519").write_text("not a key")
            report: dict[str, bytes] = {}
            output, status = self.run_report(folder, report)
        self.assertEqual(status, 1)
        self.assertNotIn(KEY, output)
        self.assertIn("authorization: Bearer [redacted]", output)
        self.assertIn(
            "| GPL-3 | 4 | strong copyleft | 2007 |\n| BSD | 2 | permissive | 1990 |\n",
            report["/out/report.md"].decode(),
        )
        tried = [line for line in output.splitlines() if line.startswith("  tried ")]
        denied = [line for line in tried if line.endswith("stopped (D203 not granted)")]
        loose = [line for line in tried if line.endswith("NOT STOPPED")]
        self.assertEqual((len(tried), len(denied), len(loose)), (11, 5, 6), output)

    def run_report(self, folder: str, report: dict[str, bytes]) -> "tuple[str, int]":
        near, far = socket.socketpair()
        granted = [
            f"fs.list {folder}",
            f"fs.read {folder}/GPL",
            f"fs.read {folder}/BSD",
            "fs.write /out/",
            f"http.fetch GET {self.url}/",
        ]
        thread = threading.Thread(target=serve, args=(Kernel(far), granted, report))
        thread.start()
        # The shell puts the channel where a program under Pawang finds it.
        command = ["sh", "-c", f'exec "$@" 3<&{near.fileno()}', "sh", sys.executable, str(DEMO / "report.py")]
        done = subprocess.run(
            [*command, folder, "/out", self.url, f"{folder}/home"],
            pass_fds=[near.fileno()],
            env={"PYTHONPATH": str(ROOT / "ipc/python")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        near.close()
        thread.join()
        far.close()
        return done.stdout, done.returncode
