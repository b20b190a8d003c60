# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that send a byte a second in, how quickly our servers still answer out.

    python benchmarks/siege.py                                     # the engine: 64, then 1,000
    python benchmarks/siege.py --study FOLDER --connections 1000   # a study's server

Both servers run here, and all connections go to 127.0.0.1. A dripping connection that is closed
comes again after `--pause` seconds. One line of JSON for each number of connections: how long a
question takes meanwhile (from `connect` to the answer's last byte), and the server's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from exomni_core.server.launch import start_service
from exomni_core.storage.files import write_text

REPO: Final = Path(__file__).resolve().parents[1]
_MOST_CONNECTIONS: Final = 2000
_MOST_S: Final = 600.0
_HEAD: Final = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


@dataclass
class Target:
    """A server to besiege. request: a whole one, answered with 200."""

    name: str
    port: int
    pid: int
    request: bytes


@dataclass
class Besiegers:
    """Dripping connections, in one thread. alive: how many are open now; came: connects so far."""

    port: int
    number: int
    pause_s: float
    alive: int = 0
    came: int = 0
    ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Drip until `ending`."""
        asyncio.run(self._all())

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(k) for k in range(self.number)))

    async def _one(self, place: int) -> None:
        await asyncio.sleep(place / self.number)  # spread over the first second
        while not self.ending.is_set():
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                self.came += 1
                self.alive += 1
                try:
                    await self._drip(reader, writer)
                finally:
                    self.alive -= 1
                    writer.close()
            await asyncio.sleep(self.pause_s)

    async def _drip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        while not self.ending.is_set():
            writer.write(_HEAD[sent : sent + 1] or b"x")
            await writer.drain()
            sent += 1
            with contextlib.suppress(TimeoutError):
                if not await asyncio.wait_for(reader.read(1 << 12), 1.0):
                    return


def besiege(target: Target, number: int, seconds: float, pause_s: float) -> dict[str, Any]:
    """Ask for `seconds` while so many drip; returns what was seen."""
    besiegers = Besiegers(target.port, number, pause_s)
    thread = threading.Thread(target=besiegers.run, daemon=True)
    thread.start()
    times_ms: list[float] = []
    failed, memory, alive = 0, 0, []
    process = psutil.Process(target.pid)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        took_ms = ask(target)
        failed += took_ms is None
        if took_ms is not None:
            times_ms.append(took_ms)
        memory = max(memory, process.memory_info().rss)
        alive.append(besiegers.alive)
        time.sleep(0.05)
    besiegers.ending.set()
    thread.join(10.0)
    ordered = sorted(times_ms)
    return {
        "server": target.name,
        "dripping": number,
        "seconds": seconds,
        "connects": besiegers.came,
        "open_mean": round(statistics.mean(alive), 1),
        "asked": len(times_ms) + failed,
        "failed": failed,
        "median_ms": round(statistics.median(ordered), 1) if ordered else None,
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 1) if ordered else None,
        "max_ms": round(ordered[-1], 1) if ordered else None,
        "memory_mb": round(memory / 1e6, 1),
        "threads_after": process.num_threads(),
    }


def ask(target: Target) -> float | None:
    """How long one question takes, ms; None where it isn't answered with 200."""
    import socket

    started = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", target.port), timeout=10.0) as peer:
            peer.sendall(target.request)
            answer = b"".join(iter(lambda: peer.recv(1 << 16), b""))
    except OSError:
        return None
    return 1e3 * (time.perf_counter() - started) if b" 200 " in answer[:20] else None


@contextlib.contextmanager
def engine() -> Iterator[Target]:
    """An engine service of its own."""
    service = start_service(log=None)
    head = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {service.token}\r\n"
    try:
        yield Target("engine", service.address[1], service.process.pid,
                     f"{head}Connection: close\r\n\r\n".encode())  # fmt: skip
    finally:
        service.stop()


@contextlib.contextmanager
def study(folder: Path) -> Iterator[Target]:
    """A server for that study, as people start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "render_jobs.cli", "study", "serve", str(folder), "--port", "0",
         "--json"], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(json.loads(process.stdout.readline())["port"])
        head = "GET /page/page.css HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        yield Target("study", port, process.pid, head.encode())
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Besiege and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 1000])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--pause", type=float, default=1.0)
    parser.add_argument("--study", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    lines = []
    with study(options.study) if options.study else engine() as target:
        for number in options.connections:
            number = min(number, _MOST_CONNECTIONS)
            facts = besiege(target, number, min(options.seconds, _MOST_S), max(options.pause, 0.1))
            lines.append(json.dumps({"benchmark": "siege", **facts}))
            print(lines[-1], flush=True)
    if options.json:
        write_text(options.json, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
