"""A local page on which a person rates pairs: `page.html`, and the small server behind it.

It listens on 127.0.0.1 only, and what it shows may be private, so other pages in the same browser must neither read it
nor vote: the address has a random token; the Host header must be this address (a foreign name that resolves to
127.0.0.1 is refused); a request that names another Origin is refused, and one that votes must be JSON. The page loads
nothing from anywhere, and texts are put into it as text, never as HTML.
"""

from __future__ import annotations

import json
import secrets
import socketserver
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .rating import QUESTION, SCALE, Question, Rating

_PAGE = Path(__file__).with_name("page.html")
_MAX_BODY = 4096  # bytes; a vote has about 100
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class RatingServer(ThreadingHTTPServer):
    """Serves the page of one rating, until `shutdown` is called from another thread.

    Parameters
    ----------
    rating : Rating
    port : int
        0 takes a free one.

    Attributes
    ----------
    url : str
        What to open, the token in it.
    """

    daemon_threads = True

    def __init__(self, rating: Rating, port: int = 0) -> None:
        self.rating, self.token = rating, secrets.token_urlsafe(24)
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/{self.token}/"

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own would ask the network for this machine's name
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    @property
    def hosts(self) -> tuple[str, ...]:
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no error."""


class _Refused(Exception):
    """The request is answered with a status and a sentence."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: RatingServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "minillama", ""
    timeout = 30  # seconds that a request may take to arrive

    def do_GET(self) -> None:
        self._answer({"": self._page, "next": self._next})

    def do_POST(self) -> None:
        self._answer({"vote": self._vote, "skip": self._skip, "undo": self._undo})

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nobody's news."""

    def _answer(self, actions: dict[str, Any]) -> None:
        try:
            self._check_source()
            name, tab = self._name_and_tab()
            if name not in actions:
                raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
            actions[name](tab)
        except _Refused as refused:
            self.close_connection = True  # what may still come is not read
            self._send_json({"error": str(refused)}, refused.status)

    def _check_source(self) -> None:
        """Refuse what other pages, or other names for this address, could send."""
        if self.headers.get("Host", "") not in self.server.hosts:
            raise _Refused(HTTPStatus.FORBIDDEN, "the Host header is not this address")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.server.hosts]:
            raise _Refused(HTTPStatus.FORBIDDEN, "the request comes from another page")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise _Refused(HTTPStatus.FORBIDDEN, "the request comes from another page")

    def _name_and_tab(self) -> tuple[str, str]:
        """The last part of the path, once the token in it is right; and which tab asks."""
        path, _, query = self.path.partition("?")
        _, token, name = [*path.split("/", 2), "", ""][:3]
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise _Refused(HTTPStatus.FORBIDDEN, "the token in the address is missing or wrong")
        return name, query.removeprefix("tab=")[:64]

    def _page(self, tab: str) -> None:
        nonce = secrets.token_urlsafe(18)
        text = _PAGE.read_text(encoding="utf-8").replace("{nonce}", nonce).replace("{question}", QUESTION)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._send(text.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy})

    def _next(self, tab: str) -> None:
        self._send_question(self.server.rating.next(tab))

    def _vote(self, tab: str) -> None:
        said, rating = self._body(), self.server.rating
        try:
            rating.vote(str(said.get("id")), said.get("rating"), _unsafe(said.get("unsafe")))
        except ValueError as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
        except OSError as error:
            raise _Refused(HTTPStatus.INSUFFICIENT_STORAGE, f"the vote cannot be kept: {error.strerror}") from None
        self._next(tab)

    def _skip(self, tab: str) -> None:
        self.server.rating.skip(str(self._body().get("id")))
        self._next(tab)

    def _undo(self, tab: str) -> None:
        self._body()
        question = self.server.rating.undo(tab)
        if question is None:
            raise _Refused(HTTPStatus.CONFLICT, "there is no vote to take back")
        self._send_question(question)

    def _body(self) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json":  # a form of another page cannot send this
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MAX_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected a body of at most {_MAX_BODY} bytes")
        try:
            found = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise _Refused(HTTPStatus.BAD_REQUEST, "expected a JSON object")
        return found

    def _send_question(self, question: Question | None) -> None:
        rating = self.server.rating
        shared = {"done": rating.done, "total": rating.total, "scale": SCALE_IN_ORDER, "safety": rating.asks_safety}
        self._send_json({**shared, "question": None if question is None else asdict(question)})

    def _send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value).encode(), "application/json", status=status)

    def _send(
        self, body: bytes, kind: str, headers: dict[str, str] | None = None, status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **(headers or {}), "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


SCALE_IN_ORDER = [[rating, label] for rating, label in SCALE.items()]


def _unsafe(value: Any) -> tuple[bool, bool] | None:
    if value is None:
        return None
    if not isinstance(value, list) or [type(entry) for entry in value] != [bool, bool]:
        raise ValueError("expected true or false for each of the two answers")
    return value[0], value[1]
