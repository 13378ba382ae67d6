"""The ways in which asking the kernel can end badly, as exceptions that carry the facts.

`Denied`: the rules refuse, and would again. `Failed`: it was allowed and did not succeed. `Cancelled`: the answer was
no longer wanted. `Disconnected`: there is no kernel to ask (any more). All derive from `PawangError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


class PawangError(Exception):
    """Any trouble with a call. Catch this to catch all of the others."""


class Disconnected(PawangError):
    """No kernel on the channel: not started under Pawang, the kernel ended the run, or the stream broke."""


class Cancelled(PawangError):
    """The call was cancelled before it was done."""


@dataclass(frozen=True)
class Denial:
    """ "No" from the rules, as the kernel wrote it. The same call under the same contract is denied again."""

    code: str
    """Stable, such as `D203`; the table stands in the protocol page."""
    call: str
    """The method asked for, such as `fs.read`."""
    resource: str
    """What it was about, as the kernel understood it."""
    reason: str
    """One sentence: why."""
    contract: str
    """Digest of the contract, hex."""
    gas_left: int
    """Gas left in the run after the denial was charged."""
    retryable: bool = False
    """Always false."""
    rule: Optional[str] = None
    """The rule that refused, or the nearest grant, where there is one."""
    allow: str = ""
    """The contract lines that would allow it; empty where none can."""

    @classmethod
    def from_json(cls, value: Any) -> Denial:
        """Reads the kernel's JSON object. Raises `PawangError` for anything else."""
        fields = _object(value, "denial")
        rule = fields.get("rule")
        return cls(
            code=_text(fields, "code"),
            call=_text(fields, "call"),
            resource=_text(fields, "resource"),
            reason=_text(fields, "reason"),
            contract=_text(fields, "contract"),
            gas_left=_integer(fields, "gas_left"),
            retryable=fields.get("retryable") is True,
            rule=rule if isinstance(rule, str) else None,
            allow=_text(fields, "allow", ""),
        )


@dataclass(frozen=True)
class Failure:
    """ "It was allowed, and did not succeed.\""""

    code: str
    """Stable word: `not_found`, `timed_out`, `tool_crashed` …"""
    message: str
    """One sentence: what happened and why."""
    hint: str = ""
    """What to try; empty where nothing is known. Called `try` on the wire."""
    retryable: bool = False
    """Whether the same call may succeed later."""

    @classmethod
    def from_json(cls, value: Any) -> Failure:
        """Reads the kernel's JSON object. Raises `PawangError` for anything else."""
        fields = _object(value, "failure")
        return cls(
            code=_text(fields, "code"),
            message=_text(fields, "message"),
            hint=_text(fields, "try", ""),
            retryable=fields.get("retryable") is True,
        )


class Denied(PawangError):
    """The contract does not allow the call."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(f"denied: {denial.call} {denial.resource} ({denial.code} {denial.reason})")
        self.denial = denial


class Failed(PawangError):
    """The call was allowed, and did not succeed."""

    def __init__(self, failure: Failure) -> None:
        hint = f"; try: {failure.hint}" if failure.hint else ""
        super().__init__(f"{failure.message} ({failure.code}){hint}")
        self.failure = failure


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PawangError(f"the kernel sent a {what} that is not a JSON object")
    return value


def _text(fields: dict[str, Any], name: str, default: Optional[str] = None) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise PawangError(f"the kernel's answer has no text in field {name!r}")
    return value


def _integer(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise PawangError(f"the kernel's answer has no number in field {name!r}")
    return value
