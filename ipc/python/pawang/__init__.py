"""Ask the Pawang kernel from inside a sandboxed automation.

    from pawang import run

    text = run.fs.read_text("/input/a.txt")

Everything goes over one inherited channel; nothing is opened before the first call. `README.md` beside this package
shows all of it.
"""

from ._calls import Pending, Reply, Result
from ._errors import Cancelled, Denial, Denied, Disconnected, Failed, Failure, PawangError
from ._exec import Completed, Output, Process
from ._fs import Entry, Stat
from ._http import Response
from ._memory import Key
from ._run import Run

run = Run()
"""The run that this process is."""

__all__ = [
    "Cancelled",
    "Completed",
    "Denial",
    "Denied",
    "Disconnected",
    "Entry",
    "Failed",
    "Failure",
    "Key",
    "Output",
    "PawangError",
    "Pending",
    "Process",
    "Reply",
    "Response",
    "Result",
    "Run",
    "Stat",
    "run",
]
