# SPDX-License-Identifier: GPL-3.0-or-later
"""Our model against the golden fixtures of the release, float32 on the CPU."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def results(shared, repo):
    sys.path.insert(0, str(repo / "tests" / "golden"))
    try:
        import exomni

        return list(exomni.check(shared / "golden" / "exomni"))
    finally:
        sys.path.pop(0)


def test_every_array_matches(results):
    misses = [f"{r.name}: {r.error:.2e} > {r.tolerance:.0e} {r.note}" for r in results if not r.ok]
    assert not misses


def test_every_fixture_file_is_compared(results, shared):
    numbered = {p.stem for p in (shared / "golden" / "exomni").glob("[0-9][0-9]_*")}
    assert {r.name.split("/")[1] for r in results} == numbered
    assert len(results) > 90
