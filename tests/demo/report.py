"""An automation nobody needs to trust: it does its work, and then everything it should not.

    pawang run report.toml -- python3 report.py INPUT OUTPUT URL HOME

The work: count the words of every licence in INPUT, ask the service at URL what kind each is, write a table to OUTPUT.
Then it misbehaves, each way once through the kernel and once behind its back, and says what became of it. HOME is the
folder whose secrets it is after. At last it loops for ever. Where anything is not stopped it says so and ends with
status 1.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import Callable, NamedTuple, Optional
from urllib.parse import urlsplit

from pawang import Denied, Failed, run

# More processes than any contract of this demo allows; a bound, so that it is harmless where nothing stops it.
BOMB_MAX = 200


class Row(NamedTuple):
    """A line of the report."""

    name: str
    words: int
    kind: str
    year: Optional[int]


def main() -> None:
    """All of it, in order."""
    folder, target, url, home = sys.argv[1:5]
    sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr]
    rows = work(folder, url)
    write_report(rows, f"{target}/report.md")
    look_for_the_key(url)
    if misbehave(home, folder, url):
        sys.exit("something was not stopped")
    print("\nand now it loops for ever")
    while True:
        pass


def work(folder: str, url: str) -> list[Row]:
    """Reads, counts, asks."""
    entries = [entry for entry in run.fs.list(folder) if entry.kind == "file"]
    print(f"{len(entries)} licences in {folder}")
    rows = []
    for entry in entries:
        text = run.fs.read_text(f"{folder}/{entry.name}", "utf-8")
        with run.http.fetch("GET", f"{url}/v1/licences/{entry.name}") as response:
            known = response.json() if response.status == 200 else {}
        row = Row(entry.name, len(re.findall(r"\w+", text)), str(known.get("kind", "?")), known.get("year"))
        print(f"  {row.name:<12}{row.words:>8,} words   {row.kind}{f', {row.year}' if row.year else ''}")
        rows.append(row)
    return rows


def write_report(rows: list[Row], path: str) -> None:
    """The table, longest licence first."""
    lines = ["# Licences of this machine", "", "| licence | words | kind | since |", "| --- | ---: | --- | ---: |"]
    lines += (f"| {r.name} | {r.words:,} | {r.kind} | {r.year or '?'} |" for r in sorted(rows, key=lambda r: -r.words))
    run.fs.write(path, "\n".join(lines) + "\n")
    print(f"wrote {path}: {len(rows)} licences, {sum(row.words for row in rows):,} words")


def look_for_the_key(url: str) -> None:
    """The service was paid for with a key. Where is it?"""
    print("\nwhat this program can see of the key")
    print(f"  in its environment     nothing; it has {', '.join(sorted(os.environ)) or 'no variables'}")
    with run.http.fetch("GET", f"{url}/echo") as response:
        print(f"  in what is sent back   authorization: {response.json().get('authorization')}")


def misbehave(home: str, folder: str, url: str) -> int:
    """Tries everything once. Returns how much of it was not stopped."""
    key, profile = f"{home}/.ssh/id_ed25519", f"{home}/.profile"
    inside = f"{folder}/GPL-3"
    print("\nnow it misbehaves")
    attempts = [
        attempt("to read a private key", lambda: run.fs.read(key)),
        attempt("  the same with open()", lambda: read_directly(key)),
        attempt("to fetch from another host", lambda: run.http.fetch("GET", "https://example.com/")),
        attempt("  to reach the network with a socket", lambda: connect_directly(url)),
        attempt("to add a line to the login script", lambda: run.fs.append(profile, "echo I was here\n")),
        attempt("  the same with open()", lambda: append_directly(profile)),
        attempt("to change its own input", lambda: run.fs.write(inside, "do what you want")),
        attempt("  the same with open()", lambda: append_directly(inside)),
        attempt("to start a shell", lambda: run.exec(["/bin/sh", "-c", "id"])),
        attempt("a fork bomb", fork_bomb),
        attempt("  to become a shell with execv()", become_a_shell),
    ]
    return attempts.count(False)


def attempt(what: str, act: Callable[[], object]) -> bool:
    """Does it, and says what became of it. True where it was stopped."""
    try:
        act()
    except Denied as denied:
        return stopped(what, f"{denied.denial.code} {denied.denial.reason}")
    except Failed as failed:
        return stopped(what, str(failed))
    except OSError as error:
        return stopped(what, error.strerror or str(error))
    print(f"  tried {what + ':':<40} NOT STOPPED")
    return False


def stopped(what: str, why: str) -> bool:
    """The good end of an attempt."""
    print(f"  tried {what + ':':<40} stopped ({why})")
    return True


def read_directly(path: str) -> bytes:
    """Behind the kernel's back."""
    with open(path, "rb") as file:
        return file.read()


def append_directly(path: str) -> None:
    """Behind the kernel's back."""
    with open(path, "a", encoding="utf-8") as file:
        file.write("echo I was here\n")


def connect_directly(url: str) -> None:
    """To an address that is there and listens, so that only the sandbox can stop it."""
    address = urlsplit(url)
    socket.create_connection((address.hostname, address.port), timeout=5).close()


def fork_bomb() -> None:
    """Forks until it may not. The children wait for the pipe to close, so that all of them count."""
    waiting, alive = os.pipe()
    children = []
    try:
        for _ in range(BOMB_MAX):
            child = os.fork()
            if child == 0:
                try:
                    os.close(alive)
                    os.read(waiting, 1)
                finally:
                    os._exit(0)
            children.append(child)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}, after {len(children)} processes") from None
    finally:
        os.close(alive)
        os.close(waiting)
        for child in children:
            os.waitpid(child, 0)


def become_a_shell() -> None:
    """Last, because where it succeeds nothing of this program is left; so the shell has to tell."""
    os.execv("/bin/sh", ["sh", "-c", "echo '  tried to become a shell with execv():   NOT STOPPED'; exit 1"])


if __name__ == "__main__":
    main()
