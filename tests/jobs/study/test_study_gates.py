# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and pages go out as browsers need them; whoever asks wrongly gets a plain refusal."""

from __future__ import annotations

import json
import socket
import time

import pytest
from study_client import answer_body, request, serving

from render_jobs.study.serving.media import Span, span_of
from render_jobs.study.serving.posts import MAX_BODY_BYTES

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def served(small_study, tmp_path_factory):
    import shutil

    folder = shutil.copytree(small_study, tmp_path_factory.mktemp("gates") / "study")
    with serving(folder) as running:
        yield running


@pytest.fixture(scope="module")
def clip(served):
    """Path and bytes of a clip that the first rater may load."""
    name = served.study.seats[0].trials[0].stimulus.files["both"]
    data = (served.folder / "videos" / name).read_bytes()
    return f"/r/{served.keys.rater_token(0)}/v/{name}", data


@pytest.mark.parametrize(("header", "span"), [
    (None, Span(0, 100, 100, False)),
    ("bytes=0-", Span(0, 100, 100, True)),
    ("bytes=0-0", Span(0, 1, 100, True)),
    ("bytes=10-19", Span(10, 20, 100, True)),
    ("bytes=90-1000", Span(90, 100, 100, True)),
    ("bytes=-5", Span(95, 100, 100, True)),
    ("bytes=-500", Span(0, 100, 100, True)),
    ("bytes=100-", None),
    ("bytes=-0", None),
    ("bytes=5-2", Span(0, 100, 100, False)),
    ("bytes=-", Span(0, 100, 100, False)),
    ("bytes=0-1,5-6", Span(0, 100, 100, False)),
    ("words=0-1", Span(0, 100, 100, False)),
    ("bytes=" + "9" * 30 + "-", Span(0, 100, 100, False)),
])  # fmt: skip
def test_ranges_as_the_standard_has_them(header, span):
    assert span_of(header, 100) == span


def test_a_clip_in_parts_is_the_clip(served, clip):
    path, data = clip
    whole = request(served.port, "GET", path)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert "immutable" in whole.headers["Cache-Control"]
    assert whole.headers["Content-Type"] == "video/mp4"
    first = request(served.port, "GET", path, headers={"Range": "bytes=0-999"})
    rest = request(served.port, "GET", path, headers={"Range": "bytes=1000-"})
    last = request(served.port, "GET", path, headers={"Range": "bytes=-7"})
    assert [r.status for r in (first, rest, last)] == [206, 206, 206]
    assert first.body + rest.body == data
    assert last.body == data[-7:]
    assert first.headers["Content-Range"] == f"bytes 0-999/{len(data)}"
    beyond = request(served.port, "GET", path, headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(data)}"
    head = request(served.port, "HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(data))


def test_every_answer_carries_the_policy(served, clip):
    paths = [
        f"/r/{served.keys.rater_token(0)}",
        clip[0],
        "/page/main.js",
        "/page/words.zh.json",
        "/nowhere",
        f"/admin/{served.admin_token}",
        "/favicon.ico",
    ]
    for path in paths:
        headers = request(served.port, "GET", path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in headers
        assert "Access-Control-Allow-Origin" not in headers
        assert "Last-Modified" not in headers
        assert "Date" not in headers
        assert "python" not in headers.get("Server", "").lower()


def test_the_page_asks_nobody_else(repo):
    for path in (repo / "render_jobs/study/serving/page").iterdir():
        text = path.read_text(encoding="utf-8")
        for word in ("https://", "http://", "//cdn", "eval(", "innerHTML", "document.write"):
            assert word not in text.replace("http://www.w3.org/2000/svg", ""), (path, word)


def test_all_words_are_there_in_both_languages(repo):
    page = repo / "render_jobs/study/serving/page"
    english, chinese = (
        json.loads((page / f"words.{code}.json").read_text(encoding="utf-8"))
        for code in ("en", "zh")
    )
    assert english.keys() == chinese.keys()
    assert all(any("一" <= c <= "鿿" for c in text) for text in chinese.values())
    for name, text in english.items():
        assert text.count("{") == chinese[name].count("{"), name


@pytest.mark.parametrize("path", [
    "/../study.json", "/page/../../study.json", "/page/%2e%2e/study.json", "/page/..",
    "/r/{token}/v/../study.json", "/r/{token}/v/..%2fstudy.json", "/r/{token}/v/raters.json",
    "/r/{token}/v/%2e%2e%2fratings.sqlite", "//etc/passwd", "/page//etc/passwd", "/study.json",
    "/videos/", "/events.jsonl", "/ratings.sqlite", "/raters.json", "/page/index.html",
    "/page/admin.html", "/r/{token}/v/\x00.mp4", "/r/{token}/v/0000000000000000.mp4", "/r/",
    "/r/{token}x", "/r/short", "/r/" + "A" * 24, "/admin/" + "A" * 24, "/admin/" + "A" * 24
    + "/progress", "/join/" + "A" * 24, "/", "/" + "a" * 3000,
])  # fmt: skip
def test_nothing_else_is_reached(served, path):
    raw = path.replace("{token}", served.keys.rater_token(0))
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as peer:
        peer.sendall(f"GET {raw} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = b"".join(iter(lambda: peer.recv(65536), b""))
    status = int(data.split(b" ", 2)[1])
    assert status in (400, 404), (path, data[:200])
    assert b"SQLite" not in data
    assert b"secret" not in data
    assert b"root:" not in data


def test_another_raters_clip_is_not_there(served):
    seats = served.study.seats
    own, theirs = ({n for t in s.trials for n in t.stimulus.files.values()} for s in seats[:2])
    for name in theirs - own:
        path = f"/r/{served.keys.rater_token(0)}/v/{name}"
        assert request(served.port, "GET", path).status == 404
    assert theirs - own


def test_people_get_a_page_for_a_wrong_link(served):
    reply = request(served.port, "GET", "/r/" + "A" * 24, headers={"Accept": "text/html,*/*"})
    assert reply.status == 404
    assert b"<html" in reply.body
    assert "链接无效".encode() in reply.body


@pytest.mark.parametrize(("body", "headers", "status"), [
    (b"{}", {"Content-Type": "text/plain"}, 415),
    (b"{}", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    (b"{}", {}, 415),
    (b"x" * (MAX_BODY_BYTES + 1), JSON, 413),
    (b"{", JSON, 400),
    (b"[]", JSON, 400),
    (b"\xff\xfe", JSON, 400),
    (b"[" * 30_000, JSON, 400),
    (b'{"tab": "a", "response": NaN}', JSON, 400),
    (b"{}", JSON | {"Origin": "https://evil.example"}, 403),
    (b"{}", JSON | {"Origin": "null"}, 403),
    (b"{}", JSON | {"Origin": "http://[bad"}, 403),
    (b"{}", JSON | {"Sec-Fetch-Site": "cross-site"}, 403),
    (b"{}", JSON | {"Content-Length": "-1"}, 400),
    (b"{}", JSON | {"Content-Length": "1e3"}, 400),
    (b"{}", JSON | {"Transfer-Encoding": "chunked"}, 411),
])  # fmt: skip
def test_malformed_posts_are_refused(served, body, headers, status):
    path = f"/r/{served.keys.rater_token(3)}/answer"
    reply = request(served.port, "POST", path, body, headers)
    assert reply.status == status, reply.body
    told = reply.json
    assert "\n" not in told["error"]
    assert "Traceback" not in told["error"]


GOOD = {"id": "0123456789abcdef", "duration_ms": 1000}
BAD_ANSWERS = [
    {"uuid": "1"}, {"uuid": None}, {"trial": "../x"}, {"trial": "'; DROP TABLE answers; --"},
    {"response": "both"}, {"response": ["left"]}, {"rt_ms": -1}, {"rt_ms": 1e12},
    {"rt_ms": True}, {"rt_ms": "100"}, {"timing": None}, {"timing": {"coverage": "all"}},
    {"timing": {"coverage": 1, "plays": -3}}, {"timing": {"coverage": 1, "played": "x"}},
    {"timing": {"coverage": 1, "played": [[1, 2, 3]]}},
    {"timing": {"coverage": 1, "ended_ms": [1] * 1000}}, {"viewport": "big"},
    {"viewport": "<b>x</b>"}, {"tab": ""}, {"tab": "=1+1"},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD_ANSWERS)
def test_answers_with_nonsense_are_refused(served, change):
    rater = served.rater(3)
    reply = rater.post("answer", **(answer_body(GOOD, "left") | change))
    assert reply.status == 400, reply.body
    assert reply.json["reason"] == "input"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(served, method):
    assert request(served.port, method, f"/r/{served.keys.rater_token(0)}").status == 405
    assert request(served.port, "GET", f"/r/{served.keys.rater_token(0)}/answer").status == 405


def test_nonsense_on_the_wire_is_answered_or_cut(served):
    for data in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET http://[bad HTTP/1.1\r\n\r\n",
        b"GET /page/page.css HTTP/1.1\r\nnonsense\r\n\r\n",
        b"GET /page/page.css HTTP/1.1\r\n" + (b"a: " + b"b" * 30_000 + b"\r\n") * 3 + b"\r\n",
        b"GET /page/page.css HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /r/x/answer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nrubbish",
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as peer:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: peer.recv(65536), b""))
        told = answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")) and b'{"error":"' in answer
        assert told or data == b"\r\n\r\n", (data, answer)
        assert b"Traceback" not in answer
    assert request(served.port, "GET", "/page/page.css").status == 200


def test_slow_senders_are_cut_off(served, monkeypatch):
    monkeypatch.setattr("render_jobs.study.serving.gates.Gate.head_s", 0.5)
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as peer:
        peer.sendall(b"GET /page/page.css HTTP/1.1\r\n")
        while time.monotonic() - started < 8 and is_open(peer):
            time.sleep(0.1)
    assert time.monotonic() - started < 6


def is_open(peer):
    """Sends one more byte; whether the other side still listens."""
    peer.settimeout(0.01)
    try:
        peer.sendall(b"X")
        return peer.recv(100) != b""
    except TimeoutError:
        return True
    except OSError:
        return False
