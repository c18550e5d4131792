"""One root for every error that Lockgate raises on purpose, with a stable code.

The branch says what the caller can do about it; ``HTTP_STATUS`` and ``EXIT_CODE`` are the only places where a
code becomes a status or an exit code.
"""

from __future__ import annotations


class LockgateError(Exception):
    """Root of all errors. ``message`` names the value and place, ``hint`` says what to do next."""

    code = "internal"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UserError(LockgateError):
    """The input is wrong: a file, a key, a value. Fixing the input fixes it."""

    code = "invalid_input"


class NotFound(LockgateError):
    """The named thing does not exist."""

    code = "not_found"


class Unavailable(LockgateError):
    """The thing exists but cannot serve now: busy, not ready, unreachable. ``retry_after`` is in seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, hint: str = "", retry_after: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Conflict(LockgateError):
    """Somebody else holds it: another server owns the index, another writer came first."""

    code = "conflict"


class PolicyRefused(LockgateError):
    """A guardrail policy refused the text; ``message`` is what the user may read."""

    code = "policy_refused"


class GateFailed(LockgateError):
    """The evidence does not pass the channel's gate."""

    code = "gate_failed"


class Inconclusive(LockgateError):
    """The gate could not tell: something that it needs to know is missing or broke. Never a pass."""

    code = "inconclusive"


class MissingExtra(LockgateError):
    """An optional part is not installed."""

    code = "missing_extra"


class Corrupt(LockgateError):
    """Stored or downloaded data does not match its hash or its own structure."""

    code = "corrupt"


HTTP_STATUS: dict[str, int] = {
    "internal": 500,
    "invalid_input": 400,
    "not_found": 404,
    "unavailable": 503,
    "conflict": 409,
    "policy_refused": 400,
    "gate_failed": 409,
    "inconclusive": 409,
    "missing_extra": 501,
    "corrupt": 500,
}

EXIT_CODE: dict[str, int] = {
    "internal": 1,
    "invalid_input": 1,
    "not_found": 1,
    "unavailable": 1,
    "conflict": 1,
    "policy_refused": 1,
    "gate_failed": 1,
    "inconclusive": 3,
    "missing_extra": 1,
    "corrupt": 1,
}
