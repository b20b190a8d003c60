# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/translate_table.py against an endpoint and a voice that are made up."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from click.testing import CliRunner

from render_jobs.cli.commands import main

ENGLISH = {"你好。": "Hello\n there.", "再见。": "Goodbye.", "空。": ""}


@pytest.fixture
def endpoint() -> Iterator[Any]:
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({**body, "key": self.headers.get("Authorization")})
            text = ENGLISH.get(body["messages"][1]["content"])
            self.send_response(500 if text is None else 200)
            self.end_headers()
            answer = {"choices": [{"message": {"content": text}}]}
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.asked = asked  # type: ignore[attr-defined]
    yield server
    server.shutdown()


def test_a_table_with_its_recipe(endpoint, tmp_path, repo):
    lines = [("a", "你好。"), ("b", "再见。"), ("c", "空。"), ("d", "谁？"), ("../e", "你好。")]
    source = tmp_path / "zh.jsonl"
    source.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in lines))
    voice = tmp_path / "voice.py"
    voice.write_text(
        "import sys\nopen(sys.argv[2], 'w').write('RIFF ' + sys.argv[1])\n", encoding="utf-8"
    )
    table = tmp_path / "out" / "table.csv"
    command = [
        sys.executable, str(repo / "scripts" / "translate_table.py"), str(source), str(table),
        "--endpoint", f"http://127.0.0.1:{endpoint.server_port}/v1", "--model", "m", "--key-env",
        "MY_KEY", "--speak", f"{sys.executable} {voice} {{text}} {{out}}",
    ]  # fmt: skip
    settings = {"PATH": "/usr/bin:/bin", "MY_KEY": "secret-key", "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=settings, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "2 rows, 3 left out" in done.stdout
    assert "left out: c: the endpoint gave an empty translation" in done.stderr
    assert "../e" in done.stderr
    assert table.read_text("utf-8").splitlines() == [
        "id,zh,en,wav",
        "a,你好。,Hello there.,wav/a.wav",
        "b,再见。,Goodbye.,wav/b.wav",
    ]
    assert (table.parent / "wav" / "a.wav").read_text() == "RIFF Hello there."
    first = endpoint.asked[0]
    assert (first["temperature"], first["seed"], first["model"]) == (0, 0, "m")
    assert first["key"] == "Bearer secret-key"
    recipe = (table.parent / "table.recipe.json").read_text()
    assert json.loads(recipe)["wav_sha256"].keys() == {"a", "b"}
    assert "secret-key" not in recipe + done.stdout + done.stderr
    endpoint.asked.clear()
    again = subprocess.run(command, capture_output=True, text=True, env=settings, timeout=60)
    assert again.returncode == 1
    assert len(endpoint.asked) == 2  # only what failed before
    imported = CliRunner().invoke(
        main, ["eval", "import", "ex-a2f-en", str(table), "-o", str(tmp_path / "p.jsonl")]
    )
    assert imported.exit_code == 0, imported.output
