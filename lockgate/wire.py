"""The types of ``lockgate.types`` and ``lockgate.errors`` as JSON, for the routes between two Lockgate processes.

Reading is strict: an unknown key, a missing key or a value of another type is a UserError. A stream is one JSON object
a line (NDJSON), each with a ``type``: token, finished, progress, report, ping or error.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from lockgate import errors
from lockgate.errors import Corrupt, LockgateError, Unavailable, UserError
from lockgate.types import Answer, AnswerEvent, AskRequest, Finished, Retrieval, Token

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class TokenLine:
    type: Literal["token"]
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class FinishedLine:
    type: Literal["finished"]
    answer: Answer


@dataclasses.dataclass(frozen=True, slots=True)
class ProgressLine:
    type: Literal["progress"]
    stage: str
    done: int
    total: int


@dataclasses.dataclass(frozen=True, slots=True)
class ReportLine:
    type: Literal["report"]
    report: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class PingLine:
    """Sent while there is nothing else to say, so that a silent peer is a dead one."""

    type: Literal["ping"]


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorBody:
    code: str
    message: str
    hint: str = ""
    retry_after: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorLine:
    type: Literal["error"]
    error: ErrorBody


@dataclasses.dataclass(frozen=True, slots=True)
class AskCall:
    """``model`` as in the API: a channel, chain@channel or a release's id; "" for the default."""

    model: str
    request: AskRequest


@dataclasses.dataclass(frozen=True, slots=True)
class RetrieveRequest:
    """``model`` None is the current snapshot, whatever the channels point at; else it is as in AskCall."""

    question: str
    limit: int
    model: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SyncRequest:
    """``source`` is the name of a source of the project or the path of a folder."""

    source: str


Line = TokenLine | FinishedLine | ProgressLine | ReportLine | PingLine | ErrorLine


@functools.cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def load(data: bytes | str, model: type[T]) -> T:
    """``data`` as ``model``. Raises UserError naming the key and the value."""
    key: Any = model
    try:
        value: T = _adapter(key).validate_json(data, strict=True, extra="forbid")
    except ValidationError as error:
        raise UserError("; ".join(_describe(item) for item in error.errors(include_url=False))) from None
    return value


def dump(value: object) -> bytes:
    """Any of the values above, or a dataclass of plain values, as JSON."""
    return to_json(value)


def _describe(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "json_invalid":
        return f"{item['msg']}."
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {key!r}."
    if item["type"] in ("missing", "missing_argument"):
        return f"key {key!r} is missing."
    value = repr(item.get("input"))
    if not key:
        return f"a JSON object was expected, got {value[:80]}."
    return f"key {key!r}: {item['msg']}, got {value if len(value) <= 80 else value[:77] + '...'}."


def load_ask_call(data: bytes | str) -> AskCall:
    return load(data, AskCall)


def load_retrieval(data: bytes | str) -> Retrieval:
    return load(data, Retrieval)


def dump_event(event: AnswerEvent) -> bytes:
    """One line, the line end included."""
    if isinstance(event, Token):
        return dump(TokenLine("token", event.text)) + b"\n"
    return dump(FinishedLine("finished", event.answer)) + b"\n"


def dump_progress(stage: str, done: int, total: int) -> bytes:
    return dump(ProgressLine("progress", stage, done, total)) + b"\n"


def dump_report(report: object) -> bytes:
    """``report`` is a dataclass or a mapping of plain values."""
    data = dataclasses.asdict(report) if dataclasses.is_dataclass(report) and not isinstance(report, type) else report
    return dump({"type": "report", "report": data}) + b"\n"


def dump_ping() -> bytes:
    return dump(PingLine("ping")) + b"\n"


def dump_error_line(error: LockgateError) -> bytes:
    return dump({"type": "error", "error": _error_body(error)}) + b"\n"


_LINES: dict[str, type[Any]] = {
    "token": TokenLine,
    "finished": FinishedLine,
    "progress": ProgressLine,
    "report": ReportLine,
    "ping": PingLine,
    "error": ErrorLine,
}


def load_line(line: bytes | str) -> Line:
    """One line of a stream. Raises Corrupt when it is none of the known ones: the other side is another version."""
    try:
        kind = from_json(line).get("type")
        return load(line, _LINES[kind])  # type: ignore[no-any-return]
    except (ValueError, AttributeError, KeyError, TypeError, UserError) as error:
        text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        raise Corrupt(
            f"The server sent a line that this version does not know: {text[:120]!r}.",
            hint="Stop the server and start it again with this version.",
        ) from error


def event_of(line: Line) -> AnswerEvent | None:
    """The answer event that a line carries, if it carries one. Raises the error that it carries."""
    if isinstance(line, TokenLine):
        return Token(line.text)
    if isinstance(line, FinishedLine):
        return Finished(line.answer)
    if isinstance(line, ErrorLine):
        raise build_error(line.error)
    return None


def _error_body(error: LockgateError) -> ErrorBody:
    return ErrorBody(error.code, error.message, error.hint, getattr(error, "retry_after", None))


def dump_error(error: LockgateError) -> bytes:
    return dump({"error": _error_body(error)})


def _branches(root: type[LockgateError]) -> dict[str, type[LockgateError]]:
    found = {root.code: root}
    for branch in root.__subclasses__():
        # A subclass without a code of its own must not hide the branch whose code it inherits.
        found |= {code: kind for code, kind in _branches(branch).items() if code not in found}
    return found


def build_error(body: ErrorBody) -> LockgateError:
    """The error again, as the branch that its code names; an unknown code gives the root."""
    branch = _branches(errors.LockgateError).get(body.code, LockgateError)
    if branch is Unavailable:
        return Unavailable(body.message, hint=body.hint, retry_after=body.retry_after)
    return branch(body.message, hint=body.hint)


def load_error(data: bytes | str, *, status: int) -> LockgateError:
    """The error of a response that is not 2xx; the body of anything but Lockgate is quoted, not trusted."""
    try:
        return build_error(load(json.dumps(json.loads(data)["error"]), ErrorBody))
    except (ValueError, KeyError, TypeError, UserError, RecursionError):
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        return Unavailable(f"The server answered with status {status}: {text[:200]!r}.")
