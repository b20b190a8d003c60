#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# In: nothing. Out: the bundled prompts as talking-head videos in quickstart-videos/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh render,study
.venv/bin/exorender batch examples/prompts.jsonl -o quickstart-videos --contact-sheet
echo
echo "Watch them: $PWD/quickstart-videos/videos"
