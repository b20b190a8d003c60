# SPDX-License-Identifier: GPL-3.0-or-later
"""What driver scripts share: a job file in, one JSON line per item, npz files and provenance out.

Runs in the Python of somebody else's checkout (3.8 and later), so it imports nothing of ours and,
at the top, only the standard library.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import subprocess
import sys
import time
import traceback
import wave
from pathlib import Path
from typing import Any, Callable, Sequence  # noqa: UP035 (Python 3.8)

RATE_HZ = 16000
# Samples (S,) float32 in [-1, 1] at 16 kHz -> (coefficients (T, K), their names, their rate).
Predict = Callable[[Any], Any]


class Driver:
    """One job: prepare the model once, then every item; a fault harms only its own item."""

    def __init__(self, argv: list[str]) -> None:
        if len(argv) != 2:
            raise SystemExit("usage: driver.py JOB.json")
        with open(argv[1], encoding="utf-8") as handle:
            self.job: dict[str, Any] = json.load(handle)
        self.options: dict[str, Any] = self.job["options"]
        self.checkout = Path(self.job["checkout"])
        self.provenance: dict[str, Any] = {"options": self.options}
        # What the model prints must not be taken for a result.
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        sys.stdout = sys.stderr
        os.chdir(self.checkout)
        sys.path.insert(0, str(self.checkout))

    def option(self, name: str, default: Any) -> Any:
        """An option of systems.toml; the value that counts goes into the provenance."""
        value = self.options.get(name, default)
        self.provenance.setdefault("used", {})[name] = value
        return value

    def order(self, name: str) -> list[str]:
        """The channel names of a known order, as exorender has them."""
        names: list[str] = self.job["orders"][name]
        return names

    def run(self, prepare: Callable[[Driver], Predict]) -> int:
        """Do everything; returns the exit code."""
        started = time.time()
        predict = prepare(self)
        load_s = time.time() - started
        self._tell({"event": "ready", "seconds": round(load_s, 3)})
        self._write_provenance(load_s)  # now, in case an item brings us down
        for item in self.job["items"]:
            began = time.time()
            try:
                table, names, fps = predict(read_wav(item["wav"]))
                save_npz(item["out"], table, names, fps)
            except Exception as error:  # noqa: BLE001 (somebody else's code may raise anything)
                traceback.print_exc()
                self._tell({"id": item["id"], "error": sentence(error)})
            else:
                self._tell({"id": item["id"], "seconds": round(time.time() - began, 3)})
        self._write_provenance(load_s)  # some facts are only known afterwards
        return 0

    def _tell(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def _write_provenance(self, load_s: float) -> None:
        if "checkpoint_sha256" not in self.provenance and self.job["checkpoint"]:
            checkpoint = self.checkout / self.job["checkpoint"]
            self.provenance["checkpoint_sha256"] = sha256(checkpoint)
        facts = {
            **self.provenance,
            "checkout_revision": git_revision(self.checkout),
            "python": platform.python_version(),
            "versions": {name: version_of(name) for name in ("torch", "transformers", "numpy")},
            "load_seconds": round(load_s, 3),
        }
        with open(self.job["provenance"], "w", encoding="utf-8") as handle:
            json.dump(facts, handle, indent=1, default=str)


def sentence(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def read_wav(path: str) -> Any:
    """A mono 16-bit wav at 16 kHz as (S,) float32 in [-1, 1)."""
    import numpy as np

    with wave.open(path, "rb") as source:
        if (source.getnchannels(), source.getsampwidth(), source.getframerate()) != (1, 2, RATE_HZ):
            raise ValueError(f"{path} is not mono, 16 bit, 16 kHz")
        raw = source.readframes(source.getnframes())
    return np.frombuffer(raw, "<i2").astype(np.float32) / 32768.0


def save_npz(path: str, table: Any, names: Sequence[str], fps: float) -> None:
    """Write {coef (T, K) float32, names, fps}, whole or not at all; ValueError for nonsense."""
    import numpy as np

    coef = np.asarray(table, dtype=np.float32)
    if coef.ndim != 2 or coef.shape[1] != len(names) or len(coef) == 0:
        raise ValueError(f"the model gave shape {coef.shape} for {len(names)} channels")
    if not np.isfinite(coef).all():
        raise ValueError("the model gave values that are not numbers")
    unfinished = path + ".part.npz"
    np.savez(unfinished, coef=coef, names=np.array(list(names)), fps=np.float64(fps))
    os.replace(unfinished, path)


def as_table(result: Any) -> Any:
    """A model's answer (a tensor or array, maybe the first of a tuple) as (T, K)."""
    import numpy as np

    while isinstance(result, (tuple, list)):
        result = result[0]
    for method in ("detach", "cpu", "numpy"):
        if hasattr(result, method):
            result = getattr(result, method)()
    table = np.asarray(result, dtype=np.float32)
    while table.ndim > 2 and table.shape[0] == 1:
        table = table[0]
    return table


def load_class(module: str, name: str) -> Any:
    """A class of the checkout."""
    found = getattr(importlib.import_module(module), name, None)
    if found is None:
        raise AttributeError(f"the checkout's {module} has no {name}; set module and class")
    return found


def check_keys(
    result: Any, unexpected_fine: Sequence[str], missing_fine: Sequence[str]
) -> dict[str, list[str]]:
    """What `load_state_dict(strict=False)` left out; ValueError for keys that no one expects.

    A key is fine if one of the given words is in it.
    """
    missing = [k for k in getattr(result, "missing_keys", []) if not _any_in(missing_fine, k)]
    extra = [k for k in getattr(result, "unexpected_keys", []) if not _any_in(unexpected_fine, k)]
    if missing or extra:
        raise ValueError(
            f"the checkpoint does not fit the model: missing {missing[:5]}, unexpected {extra[:5]}"
        )
    return {
        "missing": list(getattr(result, "missing_keys", [])),
        "unexpected": list(getattr(result, "unexpected_keys", [])),
    }


def _any_in(words: Sequence[str], key: str) -> bool:
    return any(word in key for word in words)


def state_dict_of(data: Any) -> dict[str, Any]:
    """The weights in a loaded checkpoint, whatever they are wrapped in and prefixed with."""
    for name in ("state_dict", "model_state_dict", "model"):
        if isinstance(data, dict) and isinstance(data.get(name), dict):
            data = data[name]
    prefix = "module."
    if data and all(key.startswith(prefix) for key in data):
        data = {key[len(prefix) :]: value for key, value in data.items()}
    return dict(data)


def git_revision(folder: Path) -> str:
    """The checkout's revision, with `+changes` if files were edited; empty if it is no checkout."""
    try:
        revision = _git(folder, "rev-parse", "HEAD")
        return revision + ("+changes" if _git(folder, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(
        command, check=True, timeout=30, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return done.stdout.decode().strip()


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def version_of(module: str) -> str | None:
    """The version of a module that is loaded, else None."""
    return getattr(sys.modules.get(module), "__version__", None)
