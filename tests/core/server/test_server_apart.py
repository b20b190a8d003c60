# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients' clips are read by a child: whatever happens to it is one sentence."""

from __future__ import annotations

import pytest

from exomni_core.errors import InputError
from exomni_core.server import apart


@pytest.fixture
def files(tmp_path):
    (tmp_path / "clip").write_bytes(b"PK\x03\x04 no clip")
    return tmp_path / "clip", tmp_path / "data"


def test_nonsense_is_one_sentence(files):
    with pytest.raises(InputError, match="the clip") as caught:
        apart.convert_apart(*files)
    assert "\n" not in str(caught.value)
    assert not files[1].exists()


def test_a_child_that_takes_too_long_is_killed(files, monkeypatch):
    monkeypatch.setattr(apart, "_BASE_S", 0.01)
    with pytest.raises(InputError, match="given up"):
        apart.convert_apart(*files)


@pytest.mark.parametrize("output", [b"", b"Killed", b"[]", b"\xff"])
def test_a_child_that_died_is_one_sentence(output):
    assert "too much memory" in str(apart._told(output))
