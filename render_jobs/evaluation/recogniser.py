# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files and a speech recogniser's command in, transcripts out; every one is kept for later.

The command runs without a shell: once per file with `{audio}`, printing the transcript, or once for
all with `{list}`, printing one JSON line {"id", "text"} or {"id", "error"} per file as it comes.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.files import sha256_file, write_text
from exomni_core.storage.json_lines import whole_lines
from render_jobs.workers.groups import Group
from render_jobs.workers.programs import environment, last_words

PLACEHOLDERS: Final = ("audio", "list", "language", "id", "python")
_PLACEHOLDER: Final = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_MAX_WORDS: Final = 1 << 20  # bytes of a transcript
OnDone = Callable[[int], None]


@dataclass(frozen=True)
class Recogniser:
    """A command template. timeout_s: for one file; start_s: for loading a model with `{list}`.

    cache: a file of transcripts that is read first and added to; None keeps nothing.
    """

    command: str
    timeout_s: float = 300.0
    start_s: float = 1800.0
    cache: Path | None = None

    def argv(self) -> list[str]:
        """The template's arguments; InputError unless it says where the sound goes."""
        try:
            parts = shlex.split(self.command)
        except ValueError as error:
            raise InputError(f"--asr can't be read as a command ({error})", field="asr") from error
        named = set(_PLACEHOLDER.findall(self.command))
        if len(named & {"audio", "list"}) != 1:
            raise InputError(
                f"--asr {self.command!r} needs {{audio}} (run once per file) or {{list}} (run once "
                "for all), where the recogniser takes its input",
                field="asr",
            )
        return parts

    @property
    def at_once(self) -> bool:
        """Whether it takes all files in one run."""
        return "{list}" in self.command


@dataclass(frozen=True)
class Sound:
    """One file to transcribe."""

    id: str
    path: Path
    language: str = ""


@dataclass(frozen=True)
class Heard:
    """texts: by id; failed: why there is no transcript, by id; reused: how many were known."""

    texts: Mapping[str, str]
    failed: Mapping[str, str]
    reused: int = 0


def transcribe(sounds: list[Sound], recogniser: Recogniser, on_done: OnDone | None = None) -> Heard:
    """Transcribe every sound whose transcript is not in the cache.

    A file that fails harms no other; the rest is kept as it comes, so a run that was killed goes
    on. Raises InputError for a command that can't be used at all.
    """
    argv = recogniser.argv()
    texts: dict[str, str] = {}
    failed: dict[str, str] = {}
    tell = on_done or (lambda _: None)
    with _Cache(recogniser) as cache, tempfile.TemporaryDirectory(prefix="exorender-") as work:
        left: list[Sound] = []
        for sound in sounds:
            try:
                known = cache.find(sound)
            except OSError as error:
                failed[sound.id] = f"its sound {sound.path} can't be read: {error.strerror}"
                continue
            if known is None:
                left.append(sound)
            else:
                texts[sound.id] = known
        reused = len(texts)
        tell(reused)

        def done(sound: Sound, text: str, reason: str) -> None:
            if reason:
                failed[sound.id] = reason
            else:
                texts[sound.id] = text
                cache.keep(sound, text)
            tell(1)

        if left and recogniser.at_once:
            _run_once_for_all(argv, left, recogniser, Path(work), done)
        else:
            for sound in left:
                done(sound, *_run_for_one(argv, sound, recogniser, Path(work)))
    return Heard(texts, failed, reused)


class _Cache:
    """Transcripts by id, good only for the same sound, recogniser and language."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._path, self._command = recogniser.cache, recogniser.command
        self._known: dict[str, dict[str, Any]] = {}
        self._sums: dict[Path, str] = {}
        self._file: IO[str] | None = None

    def __enter__(self) -> _Cache:
        if self._path is None:
            return self
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_file():
                self._read(self._path.read_bytes())
            whole = not self._path.is_file() or self._path.read_bytes()[-1:] in (b"", b"\n")
            self._file = open(self._path, "a", encoding="utf-8")
            self._file.write("" if whole else "\n")  # a line cut short must not swallow ours
        except OSError as error:
            raise InputError(
                f"{self._path} can't be written ({error.strerror}); choose another place"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self, data: bytes) -> None:
        for row in whole_lines(data):
            if isinstance(row.get("text"), str):
                self._known[str(row.get("id"))] = row

    def find(self, sound: Sound) -> str | None:
        """The transcript, if this very sound was transcribed by this very command."""
        row = self._known.get(sound.id)
        if row is None or row.get("key") != self._key(sound):
            return None
        return str(row["text"])

    def keep(self, sound: Sound, text: str) -> None:
        """Put it on disk before returning."""
        if self._file is None:
            return
        row = {"id": sound.id, "text": text, "key": self._key(sound)}
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _key(self, sound: Sound) -> str:
        if sound.path not in self._sums:
            self._sums[sound.path] = sha256_file(sound.path)
        facts = f"{self._sums[sound.path]}|{self._command}|{sound.language}"
        return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _filled(argv: list[str], values: Mapping[str, str]) -> list[str]:
    """The arguments with their placeholders filled; other braces stay."""
    known = {**values, "python": sys.executable}
    return [_PLACEHOLDER.sub(lambda m: known.get(m[1], m[0]), part) for part in argv]


def _run_for_one(
    argv: list[str], sound: Sound, recogniser: Recogniser, work: Path
) -> tuple[str, str]:
    """(transcript, "") or ("", why there is none)."""
    values = {"audio": str(sound.path.resolve()), "id": sound.id, "language": sound.language}
    log, out = work / "log", work / "out"
    with open(out, "wb") as words, open(log, "wb") as complaints:
        program = _start(_filled(argv, values), words, complaints)
        try:
            code = program.process.wait(recogniser.timeout_s)
        except subprocess.TimeoutExpired:
            return "", f"the recogniser took more than {recogniser.timeout_s:g} s"
        finally:
            program.end()
    if code:
        return "", f"the recogniser ended with code {code}{last_words(log)}"
    with open(out, "rb") as handle:
        raw = handle.read(_MAX_WORDS + 1)
    if len(raw) > _MAX_WORDS:
        return "", "the recogniser printed more than any transcript"
    return _transcript(raw.decode("utf-8", "replace"))


def _transcript(printed: str) -> tuple[str, str]:
    """What was printed: a JSON line with `text` (the last one), else all of it."""
    for line in reversed(printed.splitlines()):
        row = _json(line)
        if row is not None and row.get("error"):
            return "", f"the recogniser says: {row['error']}"
        if row is not None and isinstance(row.get("text"), str):
            return row["text"], ""
    return " ".join(printed.split()), ""


def _run_once_for_all(
    argv: list[str],
    sounds: list[Sound],
    recogniser: Recogniser,
    work: Path,
    done: Callable[[Sound, str, str], None],
) -> None:
    listed = work / "list.jsonl"
    write_text(
        listed,
        "".join(
            json.dumps(
                {"id": s.id, "audio": str(s.path.resolve()), "language": s.language},
                ensure_ascii=False,
            )
            + "\n"
            for s in sounds
        ),
    )
    languages = {sound.language for sound in sounds}
    values = {"list": str(listed), "language": languages.pop() if len(languages) == 1 else ""}
    left = {sound.id: sound for sound in sounds}
    log = work / "log"
    reason, limit_s = "", recogniser.start_s
    with open(log, "wb") as complaints:
        program = _start(_filled(argv, values), subprocess.PIPE, complaints)
        lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=_pump, args=(program.process, lines), daemon=True).start()
        try:
            while left:
                try:
                    line = lines.get(timeout=limit_s)
                except queue.Empty:
                    reason = f"the recogniser gave nothing for {limit_s:g} s"
                    break
                if line is None:
                    code = program.process.wait()
                    reason = f"the recogniser ended with code {code} before this file"
                    break
                row = _json(line.decode("utf-8", "replace"))
                sound = left.pop(str((row or {}).get("id")), None)
                if row is not None and sound is not None:
                    limit_s = recogniser.timeout_s
                    error = row.get("error") or (None if "text" in row else "it gave no text")
                    done(sound, str(row.get("text") or ""), str(error or ""))
        finally:
            program.end()
    for sound in left.values():
        done(sound, "", f"{reason}{last_words(log)}")


def _pump(process: subprocess.Popen[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        while line := stream.readline(_MAX_WORDS):
            lines.put(line)
    lines.put(None)


def _start(argv: list[str], out: Any, complaints: IO[bytes]) -> Group:
    try:
        return Group(
            argv, env=environment({}), stdin=subprocess.DEVNULL, stdout=out, stderr=complaints
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{argv[0]} can't be started ({reason}); check --asr", field="asr"
        ) from error


def _json(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
