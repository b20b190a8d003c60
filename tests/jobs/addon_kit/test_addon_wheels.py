# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels joined and written as pip and Blender want them; downloads that fail end in a sentence."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from exomni_core.errors import EnvironmentProblem, InputError
from render_jobs.addon_kit.wheels import (
    PYTHONS,
    SHIPPED,
    SYSTEMS,
    collect_wheels,
    content_mark,
    host_system,
    join_wheels,
    read_lock,
    read_members,
    shipped_pins,
    write_wheel,
)


def wheel(tag: str, version: str = "1.0", **files: bytes) -> tuple[str, bytes]:
    """A small wheel as a project would publish it; `__` in a name stands for a slash."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/"), data)
        about = f"tool-{version}.dist-info"
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tool\nVersion: {version}"
        )
        archive.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        archive.writestr(f"{about}/RECORD", "nonsense")
    return f"tool-{version}-{tag}.whl", out.getvalue()


def test_joined_wheels_hold_the_modules_of_each_python():
    common = {"tool__data.bin": b"x" * 1000, "tool__empty.py": b""}
    name, data = join_wheels(
        dict(
            [
                wheel(
                    "cp311-cp311-linux_x86_64", **common, **{"tool___c.cpython-311.so": b"eleven"}
                ),
                wheel(
                    "cp313-cp313-linux_x86_64", **common, **{"tool___c.cpython-313.so": b"thirteen"}
                ),
            ]
        ),
        "manylinux_2_28_x86_64",
    )
    assert name == "tool-1.0-py3-none-manylinux_2_28_x86_64.whl"
    members = read_members(data)
    assert members["tool/_c.cpython-311.so"] == b"eleven"
    assert members["tool/_c.cpython-313.so"] == b"thirteen"
    assert members["tool/empty.py"] == b""
    about = members["tool-1.0.dist-info/WHEEL"].decode()
    assert "Tag: py3-none-manylinux_2_28_x86_64\n" in about
    assert "Root-Is-Purelib: false\n" in about


def test_wheels_that_disagree_are_not_joined():
    one = wheel("cp311-cp311-linux_x86_64", tool__model=b"a")
    with pytest.raises(InputError, match=r"disagree about tool/model"):
        join_wheels(dict([one, wheel("cp313-cp313-linux_x86_64", tool__model=b"b")]), "any")
    with pytest.raises(InputError, match="different releases"):
        join_wheels(dict([one, wheel("cp313-cp313-linux_x86_64", version="1.1")]), "any")


def test_a_written_wheel_is_reproducible_and_its_record_true(tmp_path):
    files = {"b/two.py": b"TWO = 2\n", "a.py": b"ONE = 1\n"}
    files["tool-1.0.dist-info/METADATA"] = b"Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n"
    name, data = write_wheel("tool", "1.0", files)
    assert (name, data) == write_wheel("tool", "1.0", dict(reversed(files.items())))
    members = read_members(data)
    rows = list(csv.reader(members["tool-1.0.dist-info/RECORD"].decode().splitlines()))
    assert {row[0] for row in rows} == set(members)
    for path, digest, size in rows:
        if not path.endswith("RECORD"):
            true = base64.urlsafe_b64encode(hashlib.sha256(members[path]).digest()).decode()
            assert digest == "sha256=" + true.rstrip("=")
            assert int(size) == len(members[path])
    (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet",
               "--target", str(tmp_path / "there"), str(tmp_path / name)]  # fmt: skip
    subprocess.run(command, check=True, timeout=120)
    assert (tmp_path / "there" / "b" / "two.py").read_bytes() == files["b/two.py"]


def test_the_mark_changes_with_names_and_contents():
    base = {"a": b"1", "b": b"2"}
    assert content_mark(base) == content_mark({"b": b"2", "a": b"1"})
    others = [{"a": b"1", "c": b"2"}, {"a": b"12", "b": b""}, {"a": b"2", "b": b"1"}, {"a": b"1"}]
    assert len({content_mark(files) for files in [base, *others]}) == 5


def test_the_lock_pins_every_wheel():
    pins = {pin.package: pin for pin in shipped_pins()}
    assert tuple(pins) == SHIPPED
    for pin in pins.values():
        assert pin.version[0].isdigit()
        # One wheel for each system, and for each Python where it is tied to one.
        pure = pin.package in ("typing-extensions", "sounddevice")  # the latter not on all systems
        assert len(pin.hashes) >= (1 if pure else len(SYSTEMS))
        assert all(len(digest) == 64 for digest in pin.hashes)
    joined = ("pocketsphinx", "cffi", "soxr")
    # A wheel for both kinds of Mac is one file.
    assert all(len(pins[p].hashes) >= (len(SYSTEMS) - 1) * len(PYTHONS) for p in joined)


def test_machines_by_name():
    assert host_system(("Linux", "x86_64")) == "linux-x64"
    assert host_system(("Windows", "AMD64")) == "windows-x64"
    assert host_system(("Darwin", "arm64")) == "macos-arm64"
    assert host_system(("Linux", "riscv64")) is None


def test_without_network_a_sentence(monkeypatch, tmp_path):
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(EnvironmentProblem, match=r"espeakng-loader .* check the network") as caught:
        collect_wheels(SYSTEMS["linux-x64"], tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_not_to_be_had_is_left_out_with_a_note(monkeypatch, tmp_path):
    """Only espeak-ng is needed; a cached wheel with the wrong hash is never shipped."""
    import render_jobs.addon_kit.wheels as module

    lock = tmp_path / "lock.txt"
    name, data = wheel("py3-none-any")
    digest = hashlib.sha256(data).hexdigest()
    lock.write_text(
        f"tool==1.0 \\\n    --hash=sha256:{digest}\nother==2.0 --hash=sha256:{digest}\n"
    )
    monkeypatch.setattr(module, "shipped_pins", lambda: read_lock(lock))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for python in PYTHONS:
        folder = tmp_path / "linux-x64" / f"python{python}"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(data)
        (folder / "other-2.0-py3-none-any.whl").write_bytes(b"damaged")
    wheels, notes = collect_wheels(SYSTEMS["linux-x64"], tmp_path)
    assert [(w.file_name, w.data, w.pythons) for w in wheels] == [(name, data, ("any",))]
    assert len(notes) == len(PYTHONS)
    assert all("without other on Python" in note for note in notes)


def test_relative_imports_only(repo):
    """Inside Blender the add-on is bl_ext.REPOSITORY.exomni, so it can't name itself."""
    for source in Path(repo, "blender_addon").glob("**/*.py"):
        text = source.read_text(encoding="utf-8")
        assert "from blender_addon" not in text, source
        assert "import blender_addon" not in text, source
