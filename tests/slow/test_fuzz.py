# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of broken files of each format: refused or read, never a traceback, within limits.

EXOMNI_FUZZ_COUNT and EXOMNI_FUZZ_SEED choose how many of each format and which.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_readers import FORMATS

pytestmark = pytest.mark.slow
COUNT = os.environ.get("EXOMNI_FUZZ_COUNT", "2000")
SEED = os.environ.get("EXOMNI_FUZZ_SEED", "1")


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_broken_files_are_refused_within_limits(kind):
    program = Path(__file__).with_name("fuzz_readers.py")
    command = [sys.executable, str(program), kind, "--count", COUNT, "--seed", SEED]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert not found["faults"], found["faults"]
    assert not found["outside"]
    assert found["taken"] or kind == "study"  # the good file is one; no small plan is whole
