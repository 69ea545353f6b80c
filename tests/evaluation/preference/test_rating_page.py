"""The local page by real HTTP requests: votes are kept, blind, and nobody else's page gets in."""

import http.client
import json
import re
import socket
import threading

import pytest
from made_pairs import pairs

from minillama.evaluation.preference import Rating, RatingServer, VoteLog
from minillama.evaluation.preference.rating import SCALE
from minillama.evaluation.preference.votes import read_votes


class Served:
    """A server with the votes of a person, and requests to it as a browser sends them."""

    def __init__(self, folder, found, **options):
        self.pairs = {pair.id: pair for pair in found}
        self.log = VoteLog(folder, "ada")
        self.rating = Rating(found, self.log, **options)
        self.server = RatingServer(self.rating)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.log.__exit__()

    def request(self, method, name, body=None, token=None, raw_path=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        path = raw_path or f"/{self.server.token if token is None else token}/{name}"
        sent = {"Host": self.host, **({"Content-Type": "application/json"} if body is not None else {})}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, text, {name: value for name, value in sent.items() if value is not None})
        response = connection.getresponse()
        found = response.status, response.read(), response.headers
        connection.close()
        return found

    def ask(self, name, body=None, tab="t"):
        status, text, _ = self.request("GET" if body is None else "POST", f"{name}?tab={tab}", body)
        return status, json.loads(text)

    @property
    def kept(self):
        return [(vote.pair, vote.rating) for vote in read_votes(self.log.path)] if self.log.path.exists() else []


@pytest.fixture
def served(tmp_path):
    with Served(tmp_path, pairs(6)) as server:
        yield server


def test_a_vote_is_kept_and_the_next_pair_comes(served):
    status, first = served.ask("next")
    assert (status, first["done"], first["total"]) == (200, 0, 6)
    assert [label for _, label in first["scale"]] == list(SCALE.values())
    status, second = served.ask("vote", {"id": first["question"]["id"], "rating": 2, "unsafe": None})
    assert (status, second["done"]) == (200, 1)
    assert served.kept == [(first["question"]["id"], 2)]
    assert second["question"]["id"] != first["question"]["id"]


def test_all_pairs_once_then_the_end_and_undo(served):
    _, state = served.ask("next")
    seen = []
    while state["question"] is not None:
        seen.append(state["question"]["id"])
        _, state = served.ask("vote", {"id": seen[-1], "rating": -3})
    assert sorted(seen) == sorted(served.pairs)
    status, state = served.ask("undo", {})
    assert (status, state["question"]["id"], state["done"]) == (200, seen[-1], 5)
    for _ in range(5):
        assert served.ask("undo", {})[0] == 200
    assert served.ask("undo", {})[0] == 409
    assert served.kept == []


def test_what_is_shown_tells_no_system(tmp_path):
    found = pairs(40, ("SECRETONE", "SECRETTWO"), answer=lambda system, i: f"{len(system) + i} {system[-1]}")
    with Served(tmp_path, found) as served:
        firsts = 0
        _, state = served.ask("next")
        while state["question"] is not None:
            assert "SECRET" not in json.dumps(state)
            question = state["question"]
            pair = served.pairs[question["id"]]
            assert sorted([question["a"], question["b"]]) == sorted(pair.answers)
            firsts += question["a"] == pair.answers[0]
            # The person always says A; the vote knows which answer that was.
            _, state = served.ask("vote", {"id": pair.id, "rating": 3})
            last = read_votes(served.log.path)[-1]
            assert pair.answers[0 if last.preference > 0 else 1] == question["a"]
        assert 8 <= firsts <= 32
        assert b"SECRET" not in served.request("GET", "")[1]


def test_two_tabs_get_other_pairs_and_lose_no_vote(served):
    taken = {tab: served.ask("next", tab=tab)[1]["question"]["id"] for tab in "ab"}
    assert len(set(taken.values())) == 2
    assert served.ask("next", tab="a")[1]["question"]["id"] == taken["a"]  # asked again: the same

    def rate(tab):
        _, state = served.ask("next", tab=tab)
        while state["question"] is not None:
            asked = {"id": state["question"]["id"], "rating": 1 if tab == "a" else -1}
            status, state = served.ask("vote", asked, tab=tab)
            assert status == 200

    threads = [threading.Thread(target=rate, args=(tab,)) for tab in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {pair for pair, _ in served.kept} == set(served.pairs)
    ratings = dict(served.kept)
    assert (ratings[taken["a"]], ratings[taken["b"]]) == (1, -1)


def test_a_pair_of_a_closed_tab_comes_in_the_end(served):
    lost = served.ask("next", tab="closed")[1]["question"]["id"]
    _, state = served.ask("next", tab="open")
    seen = []
    while state["question"] is not None:
        seen.append(state["question"]["id"])
        _, state = served.ask("vote", {"id": seen[-1], "rating": 0}, tab="open")
    assert seen[-1] == lost
    assert len(seen) == 6


def test_later_puts_a_pair_at_the_end(served):
    first = served.ask("next")[1]["question"]["id"]
    _, state = served.ask("skip", {"id": first})
    assert state["question"]["id"] != first
    order = []
    while state["question"] is not None:
        order.append(state["question"]["id"])
        _, state = served.ask("vote", {"id": order[-1], "rating": 0})
    assert order[-1] == first


def test_going_on_after_an_end(tmp_path):
    found = pairs(4)
    with Served(tmp_path, found) as served:
        first = served.ask("next")[1]["question"]
        _, state = served.ask("vote", {"id": first["id"], "rating": 1})
        token = served.server.token
    with Served(tmp_path, found) as served:
        assert served.server.token != token
        assert served.ask("next")[1] == state


FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1"},
    {"Host": "127.0.0.1:1"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_foreign_pages_are_refused(served, headers):
    asked = served.ask("next")[1]["question"]["id"]
    for method, name, body in (("GET", "", None), ("GET", "next", None), ("POST", "vote", {"id": asked, "rating": 1})):
        status, text, _ = served.request(method, name, body, **headers)
        assert status == 403
        assert b"says" not in text
    assert served.kept == []


@pytest.mark.parametrize("token", ["", "x", "%C3%A9", "..", "%2e%2e"])
def test_without_the_token_nothing_is_there(served, token):
    asked = served.ask("next")[1]["question"]["id"]
    assert served.request("GET", "", token=token)[0] == 403
    assert served.request("POST", "vote", {"id": asked, "rating": 1}, token=token)[0] == 403
    assert served.request("GET", "", raw_path="/")[0] == 403
    assert served.request("GET", "", raw_path=f"/{served.server.token[:-1]}/")[0] == 403
    assert served.kept == []


def test_its_own_page_may(served):
    asked = served.ask("next")[1]["question"]["id"]
    headers = {"Origin": f"http://{served.host}", "Sec_Fetch_Site": "same-origin"}
    assert served.request("POST", "vote", {"id": asked, "rating": 1}, **headers)[0] == 200
    assert served.kept == [(asked, 1)]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"id": "ID", "rating": 1}, {"Content_Type": "text/plain"}, 415),
        ({"id": "ID", "rating": 1}, {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        (b"[1]", {}, 400),
        (b"{", {}, 400),
        (b"\xff", {}, 400),
        (b"[" * 4000, {}, 400),
        (b" " * 5000, {}, 413),
        (b"{}", {"Content_Length": "-1"}, 413),
        ({"id": "nothing", "rating": 1}, {}, 400),
        *[({"id": "ID", "rating": rating}, {}, 400) for rating in (4, -4, 0.5, True, "1", None, [1])],
        ({"id": "ID", "rating": 1, "unsafe": [True, False]}, {}, 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_vote_changes_nothing(served, body, headers, status):
    if isinstance(body, dict):
        body = {key: served.ask("next")[1]["question"]["id"] if value == "ID" else value for key, value in body.items()}
    found = served.request("POST", "vote", body, **headers)
    assert found[0] == status
    assert json.loads(found[1])["error"]
    assert served.kept == []
    assert served.ask("next")[0] == 200


def test_other_methods_and_names(served):
    assert served.request("GET", "vote")[0] == 404
    assert served.request("POST", "next", {})[0] == 404
    assert served.request("GET", "../../etc/passwd")[0] == 404
    assert served.request("PUT", "vote", {})[0] == 501


def test_the_page_is_whole_and_loads_nothing(served):
    status, text, headers = served.request("GET", "")
    page = text.decode()
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', page))
    assert policy.count(nonce) == 2
    assert nonce not in served.request("GET", "")[1].decode()
    assert not re.search(r"https?://|<link(?! rel=\"icon\" href=\"data:,\")|<script src|@import|innerHTML", page)
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_only_this_machine_is_listened_to(served):
    assert served.server.server_address[0] == "127.0.0.1"
    with socket.socket() as other:
        other.bind(("127.0.0.2", served.server.server_port))  # free, so that the server is not on every address


def test_safety_is_asked_for_where_it_should_be(tmp_path):
    with Served(tmp_path, pairs(2), asks_safety=True) as served:
        _, state = served.ask("next")
        assert state["safety"] is True
        asked = state["question"]["id"]
        assert served.ask("vote", {"id": asked, "rating": 1})[0] == 400
        assert served.ask("vote", {"id": asked, "rating": 1, "unsafe": [1, 0]})[0] == 400
        assert served.ask("vote", {"id": asked, "rating": 1, "unsafe": [True, False]})[0] == 200
        assert read_votes(served.log.path)[0].unsafe == (True, False)


def test_the_same_text_twice_is_a_tie_that_nobody_is_asked_about(tmp_path):
    found = pairs(5, answer=lambda system, i: "the same" if i < 2 else system)
    with Served(tmp_path, found) as served:
        _, state = served.ask("next")
        assert (state["done"], state["total"]) == (2, 5)
        assert served.ask("undo", {})[0] == 409
        assert [rating for _, rating in served.kept] == [0, 0]
    with Served(tmp_path / "safety", found, asks_safety=True) as served:
        assert served.ask("next")[1]["done"] == 0


def test_a_vote_that_cannot_be_kept_is_said(served, monkeypatch):
    asked = served.ask("next")[1]["question"]["id"]

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        status, said = served.ask("vote", {"id": asked, "rating": 1})
    assert (status, said["error"]) == (507, "the vote cannot be kept: No space left on device")
    assert served.ask("next")[1]["question"]["id"] == asked
    assert served.kept == []
