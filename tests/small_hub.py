"""What servers that stand for the Hugging Face Hub share, and processes that ask them. No network.

huggingface_hub reads its settings once, at import: whatever asks runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar


class SmallHub(ThreadingHTTPServer):
    """A server on this machine."""

    daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class SmallHubHandler(BaseHTTPRequestHandler):
    """Calls `answer` for HEAD and GET; `send` leaves a body out where none is asked for."""

    def answer(self) -> None:
        raise NotImplementedError

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def send(self, status: int, body: bytes, sent: int | None = None, **headers: str) -> None:
        """An answer; of a body only the first `sent` bytes, if that is given."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:sent])

    def handle(self) -> None:
        """As always, but a client that goes away is not worth a message."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


Server = TypeVar("Server", bound=SmallHub)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server, answering until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


def settings_for(hub: SmallHub, home: Path, **more: str) -> dict[str, str]:
    """The environment of a process that asks this hub, with an empty cache, and only what the tests mean."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("HF_", "HUGGING", "XDG_")) and not name.upper().endswith("_PROXY")
    }
    return kept | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        **more,
    }


def answer_of(script: str, *arguments: str, environment: Mapping[str, str], seconds: int = 120) -> Any:
    """What a script prints as JSON, run with these arguments in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
