"""Running the server: one owner, one port, the page first and everything heavy after it."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from lockgate.errors import Conflict, Unavailable
from lockgate.owner import acquire
from lockgate.settings import Settings
from lockgate.terminal import EVERY
from serving.ports import Backend

if TYPE_CHECKING:
    import uvicorn

    from serving.wiring import Application, Bars

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 5
POLL_SECONDS = 0.1
Say = Callable[[str], None]


def serve(
    settings: Settings, *, command: str, say: Say, bars: Bars, sync: str | None = None, keep_staging: bool = False
) -> None:
    """Serve until a signal ends it. ``say`` gets the lines a person waits for, ``bars`` show a sync's progress.

    With ``keep_staging`` the project's files and newest snapshot are released to staging, now and after every sync.

    Raises Conflict when another process has the index or the port.
    """
    with _ended_by_signals(), acquire(settings.state_dir, command) as owner, listen(settings) as listener:
        from serving.api import create_app
        from serving.wiring import Application

        owner.announce(f"http://{_bracketed(settings.host)}:{settings.port}")
        application = Application(settings, owner)
        server = _make_server(create_app(application, console=True))
        starter = threading.Thread(
            target=_start,
            args=(server, application, settings, say, bars, sync, keep_staging),
            name="lockgate-start",
            daemon=True,
        )
        starter.start()
        try:
            server.run(sockets=[listener])
        finally:
            server.should_exit = True
            application.close()


@contextlib.contextmanager
def listen(settings: Settings) -> Iterator[socket.socket]:
    """The listening socket. Raises Conflict naming the port when it is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"Port {settings.port} is in use by another program.",
                hint="Take another one: --port 8001, or LOCKGATE_PORT.",
            ) from None
        raise Unavailable(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from error
    with listener:
        yield listener


def address_of(settings: Settings) -> str:
    """What to type into a browser."""
    host = "localhost" if settings.host == "127.0.0.1" else settings.host
    return f"http://{_bracketed(host)}:{settings.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _make_server(app: object) -> uvicorn.Server:
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            ws="websockets-sansio",
            # X-Forwarded-For and its kin are for proxies; there is none in front of a loopback address.
            proxy_headers=False,
        )
    )


def _start(
    server: uvicorn.Server,
    application: Application,
    settings: Settings,
    say: Say,
    bars: Bars,
    sync: str | None,
    keep_staging: bool = False,
) -> None:
    """Wait for the page, then load what answers, then say so; in the end, stop what still runs."""
    while not server.started and not server.should_exit:
        time.sleep(POLL_SECONDS)
    if not server.should_exit:
        address = address_of(settings)
        say(f"The chat page is up: {address} (loading what answers)")
        application.start(sync=sync, keep_staging=keep_staging, bars=bars)
        announce_readiness(application, address, say, stopped=lambda: server.should_exit)
    while not server.should_exit:
        time.sleep(POLL_SECONDS)
    # The server's loop ends only when the threads of its requests do, and a sync may be one of them.
    application.stop()


def announce_readiness(
    application: Backend, address: str, say: Say, *, stopped: Callable[[], bool], every: float = EVERY
) -> None:
    """Say each thing that chat waits for, that it answers, and, if it did so before, that indexing is done.

    What takes longer than ``every`` seconds is said again, with the seconds it has taken.
    """
    since: dict[str, float] = {}
    last = 0.0
    told_early = False
    while not stopped():
        readiness = application.readiness()
        if readiness.ready and readiness.indexing is not None and not told_early:
            say(f"Lockgate is ready: {address} (still indexing, {round(100 * readiness.indexing)} %)")
            told_early = True
        elif readiness.ready and readiness.indexing is None:
            done = f"Indexed: {readiness.documents:,} pages, {readiness.chunks:,} passages."
            say(done if told_early else f"Lockgate is ready: {address}")
            return
        now = time.monotonic()
        for line in readiness.missing:
            if line not in since:
                since[line] = last = now
                say(f"waiting: {line}")
        # A sync shows its own progress.
        if readiness.missing and readiness.indexing is None and now - last >= every:
            last = now
            for line in readiness.missing:
                say(f"waiting: {line}, {now - since[line]:.0f} s")
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C does: through its ``finally`` clauses."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        log.info("Stopped.")
    finally:
        signal.signal(signal.SIGTERM, before)
