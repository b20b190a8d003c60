# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole files or none: temporary names, replacing, sweeping."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exomni_core.errors import InputError
from exomni_core.storage.files import (
    TEMPORARY_MARK,
    is_file_name,
    remove_leftovers,
    replace_folder,
    replacing,
    sha256_file,
    swept,
    temporary_name,
    write_bytes,
    write_text,
)


def test_write_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "a.txt"
    write_text(target, "first")
    write_text(target, "zweite ü")
    assert target.read_text(encoding="utf-8") == "zweite ü"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_a_failing_writer_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.bin"
    write_bytes(target, b"old")

    def write_half():
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        write_half()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["a/b", "sub"])
def test_places_that_cannot_be_written(tmp_path, name):
    (tmp_path / "a").write_text("a file, not a folder")
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match="can't be written"):
        write_bytes(tmp_path / name, b"x")
    assert not list(tmp_path.glob(f"**/*{TEMPORARY_MARK}*"))


@pytest.mark.parametrize("path", [Path("a\0b"), Path()])
def test_names_that_are_none(path):
    with pytest.raises(InputError, match="not a file name"):
        write_bytes(path, b"x")


@pytest.mark.parametrize("stem", ["x", "长" * 80, "a" * 200, "é" * 100])
def test_temporary_names_fit_and_differ(tmp_path, stem):
    final = tmp_path / f"{stem}.mp4"
    first, second = temporary_name(final), temporary_name(final)
    assert first != second
    assert first.parent == tmp_path
    assert first.suffix == ".mp4"
    assert len(os.fsencode(first.name)) <= 255
    write_bytes(final if len(os.fsencode(final.name)) <= 255 else tmp_path / "short.mp4", b"x")


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = tmp_path / f".a.{dead.pid}-0{TEMPORARY_MARK}.mp4"
    mine = temporary_name(tmp_path / "b.mp4")  # a container gives each run the same number
    unnumbered = tmp_path / f".c{TEMPORARY_MARK}.clip"
    other = tmp_path / f".d.{os.getppid()}-3{TEMPORARY_MARK}.mp4"
    result = tmp_path / "result.mp4"
    for path in (gone, mine, unnumbered, other, result):
        path.write_bytes(b"x")
    assert remove_leftovers(tmp_path) == 3
    assert sorted(tmp_path.iterdir()) == sorted([other, result])


def test_sha256(tmp_path):
    write_bytes(tmp_path / "a", b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf")


def test_a_folder_replaces_another_whole_or_not_at_all(tmp_path):
    final, built = tmp_path / "final", tmp_path / ".built"
    for folder, text in ((final, "old"), (built, "new")):
        folder.mkdir()
        (folder / text).write_text(text)
    replace_folder(built, final)
    assert [p.name for p in tmp_path.iterdir()] == ["final"]
    assert [p.name for p in final.iterdir()] == ["new"]
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "nothing", final)
    assert [p.name for p in tmp_path.iterdir()] == ["final"]
    assert (final / "new").read_text() == "new"
    fresh = tmp_path / "fresh"
    replace_folder(final, fresh)
    assert [p.name for p in tmp_path.iterdir()] == ["fresh"]


@pytest.mark.parametrize("name", ["", ".", "..", "/etc/passwd", "a/b", "..\\b", "a\0"])
def test_names_that_lead_elsewhere(name):
    assert not is_file_name(name)
    assert is_file_name("..." + "a b.c")


def test_a_block_is_swept_at_both_ends_and_to_the_depth_that_is_asked_for(tmp_path):
    def leave():
        for folder in (tmp_path, tmp_path / "in"):
            folder.mkdir(exist_ok=True)
            (folder / f".a.4194303-0{TEMPORARY_MARK}.mp4").write_bytes(b"x")
            (folder / f".ab.4194303-0{TEMPORARY_MARK}").mkdir()

    def left():
        return {
            p.relative_to(tmp_path).as_posix().partition(".4")[0]
            for p in tmp_path.rglob("*")
            if p.name != "in"
        }

    leave()
    with swept(tmp_path, of="a"):
        assert left() == {".ab", "in/.a", "in/.ab"}
    with swept(tmp_path, tmp_path / "missing"):
        assert left() == {"in/.a", "in/.ab"}
    with swept(tmp_path, deep=True):
        assert left() == set()
        leave()
    assert left() == set()


def test_an_old_folder_stays_until_its_successor_is_there(tmp_path, monkeypatch):
    final, built = tmp_path / "final.x", tmp_path / ".built"
    for folder in (final, built):
        folder.mkdir()
    renames = iter([os.replace])  # we are killed after the first
    monkeypatch.setattr(os, "replace", lambda *names: next(renames)(*names))
    with pytest.raises(StopIteration):
        replace_folder(built, final)
    aside = next(path for path in tmp_path.iterdir() if TEMPORARY_MARK in path.name)
    remove_leftovers(tmp_path)
    assert aside.is_dir()
    final.mkdir()
    remove_leftovers(tmp_path)
    assert not aside.exists()
