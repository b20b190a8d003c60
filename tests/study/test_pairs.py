# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in, a study out: what is compared, what is left out, and that nothing tells sides apart."""

from __future__ import annotations

import json

from render_jobs.study.plan import check_files, read_study


def test_small_study(small_study):
    study = read_study(small_study)
    check_files(study, small_study)
    print(json.dumps(study.balance, indent=1))
    assert len(study.pairs) == 6
