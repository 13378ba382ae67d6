"""A PEP 517 build backend for this one package, so that installing it fetches nothing.

Promises: the same sources give the same wheel, byte for byte; only files below `pawang/` go into it.
Deliberately absent: compiled code, entry points, data outside the package, reading of anything but `pyproject.toml`
lines of the form `key = "value"`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Optional

ROOT = Path(__file__).resolve().parent.parent
# Wheels cannot bear a date before 1980; one fixed date makes builds repeatable.
DATE = (1980, 1, 1, 0, 0, 0)
Settings = Optional[dict[str, Any]]


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: Optional[str] = None
) -> str:
    """Writes `pawang-VERSION-py3-none-any.whl` into the folder and returns its name."""
    return _wheel(wheel_directory, _sources())


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: Optional[str] = None
) -> str:
    """The same with a pointer to this folder in place of the sources: `pip install -e`."""
    return _wheel(wheel_directory, {"pawang.pth": f"{ROOT}\n".encode()})


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Writes `pawang-VERSION.tar.gz` with the sources, this backend and the tests."""
    stem = f"pawang-{_project()['version']}"
    files = {"PKG-INFO": _metadata(), "pyproject.toml": (ROOT / "pyproject.toml").read_bytes(), **_sources()}
    for folder in ("backend", "tests"):
        files.update(_sources(folder))
    with tarfile.open(Path(sdist_directory) / f"{stem}.tar.gz", "w:gz") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{stem}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return f"{stem}.tar.gz"


def _wheel(folder: str, files: dict[str, bytes]) -> str:
    version = _project()["version"]
    info = f"pawang-{version}.dist-info"
    files[f"{info}/METADATA"] = _metadata()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: pawang_build\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in sorted(files.items()))
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    name = f"pawang-{version}-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return name


def _sources(folder: str = "pawang") -> dict[str, bytes]:
    kept = (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix == ".py" or path.name == "py.typed")
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in kept}


def _metadata() -> bytes:
    project = _project()
    return (
        f"Metadata-Version: 2.1\nName: pawang\nVersion: {project['version']}\nSummary: {project['description']}\n"
        f"License: {project['license']}\nRequires-Python: {project['requires-python']}\n"
    ).encode()


def _project() -> dict[str, str]:
    """The plain string entries of `pyproject.toml`; Python 3.9 and 3.10 have no TOML reader of their own."""
    return dict(re.findall(r'^([a-z-]+) = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
