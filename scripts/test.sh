#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# In: pytest arguments, if any (such as -m slow). Out: exit 0 if style, types and tests are in order.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh render,study,eval,dev,omni
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest "$@"
