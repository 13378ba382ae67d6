"""The package installs without a network, whole, and the same each time."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def build(kind: str, folder: str) -> Path:
    """Runs the build backend as an installer does: in a process of its own, in the project's folder."""
    code = (
        f"import sys; sys.path.insert(0, 'backend'); import pawang_build; print(pawang_build.build_{kind}({folder!r}))"
    )
    name = subprocess.run(
        [sys.executable, "-I", "-B", "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(folder) / name.stdout.strip()


class Package(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_the_wheel_holds_every_source_and_its_digest(self) -> None:
        with zipfile.ZipFile(build("wheel", self.folder)) as wheel:
            record = next(name for name in wheel.namelist() if name.endswith("/RECORD"))
            listed = {line.split(",")[0]: line.split(",")[1] for line in wheel.read(record).decode().splitlines()}
            self.assertEqual(set(listed), set(wheel.namelist()))
            for name, digest in listed.items():
                if name != record:
                    found = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).decode().rstrip("=")
                    self.assertEqual(digest, f"sha256={found}", name)
            for source in [*(ROOT / "pawang").glob("*.py"), ROOT / "pawang/py.typed"]:
                self.assertEqual(wheel.read(f"pawang/{source.name}"), source.read_bytes())

    def test_what_is_built_can_be_imported_alone(self) -> None:
        for kind in ("wheel", "editable"):
            with zipfile.ZipFile(build(kind, self.folder)) as wheel:
                place = f"{self.folder}/{kind}"
                wheel.extractall(place)
            code = (
                f"import site; site.addsitedir({place!r}); from pawang import run; print(run.fs.__class__.__module__)"
            )
            done = subprocess.run(
                [sys.executable, "-I", "-B", "-c", code], stdout=subprocess.PIPE, text=True, check=True
            )
            self.assertEqual(done.stdout, "pawang._fs\n", kind)

    def test_two_builds_are_the_same_bytes(self) -> None:
        first = build("wheel", self.folder).read_bytes()
        self.assertEqual(build("wheel", self.folder).read_bytes(), first)
