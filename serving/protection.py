"""What a browser page of another site must not be able to do to a server on loopback.

Without keys, being on this machine is the permission; a browser on this machine visits other sites. Three doors:
a name that an attacker's DNS points at 127.0.0.1 (the Host must be a loopback name), a form or fetch from another
origin (the Origin must be this server) and a WebSocket from another origin (the same).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockgate.settings import LOOPBACK_HOSTS
from serving.failures import RequestRefused, error_response

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Protection:
    """ASGI middleware: checks Host and Origin, sets the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        refusal = check_host(host) or check_origin(scope, headers)
        if refusal is None:
            # NiceGUI builds the addresses of its assets from this header, which is for a proxy to set; there is none.
            kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"x-forwarded-prefix"]
            scope = {**scope, "headers": kept}
            await self.app(scope, receive, _with_security_headers(send, host))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.message[:100]})
        else:
            await error_response(refusal)(scope, receive, _with_security_headers(send, host))


def check_host(host: str) -> RequestRefused | None:
    """None when ``host`` is a loopback name with any port."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name in LOOPBACK_HOSTS:
        return None
    return RequestRefused(
        f"Host {host[:100]!r} is not a name of this machine; use http://localhost.", status=421, code="wrong_host"
    )


def check_origin(scope: Scope, headers: Headers) -> RequestRefused | None:
    """None when the request is safe, is no browser's, or comes from this server's own pages."""
    if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
        return None
    origin = headers.get("origin")
    if origin is None:
        same_site = headers.get("sec-fetch-site", "none") in ("same-origin", "none")
        return None if same_site else _cross_origin(headers.get("sec-fetch-site", ""))
    try:
        same = urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        same = False
    return None if same else _cross_origin(origin)


def _cross_origin(origin: str) -> RequestRefused:
    return RequestRefused(
        f"Requests from pages of another origin ({origin[:100]}) are refused.", status=403, code="cross_origin"
    )


def page_policy(host: str) -> str:
    """The Content-Security-Policy of an HTML page: nothing is loaded from, or sent to, anywhere but this server.

    NiceGUI starts its page from an inline script, and Vue compiles templates in the browser (unsafe-eval); what keeps
    model text from becoming a script is the rendering, and this is the second wall.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            f"connect-src 'self' ws://{host}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


NO_PAGE_POLICY = "default-src 'none'; frame-ancestors 'none'"


def _with_security_headers(send: Send, host: str) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            page = headers.get("content-type", "").startswith("text/html")
            headers["Content-Security-Policy"] = page_policy(host) if page else NO_PAGE_POLICY
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["X-Frame-Options"] = "DENY"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        await send(message)

    return guarded
