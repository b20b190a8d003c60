# SPDX-License-Identifier: GPL-3.0-or-later
"""The example suite in, the picture of its report for docs/evaluation.md out.

Run it after a change of the report, of a measure or of the embedded engine:
    python scripts/report_picture.py [--suite FOLDER] [-o docs/suite_report.png]
It runs examples/suite/suite.toml (one or two minutes) unless --suite names a finished folder, and
takes two sections of report.html side by side in chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ("Lip vertex error", "Mouths over the sounds")
WIDTH = 640  # of one section, in pixels
GAP = 20
COLOURS = 64


def section(browser: Browser, report: Path, heading: str) -> Image.Image:
    """The section of the report with this heading, as a picture."""
    page = browser.new_page(viewport={"width": WIDTH + 2 * GAP, "height": 900})
    page.goto(report.resolve().as_uri())
    part = page.locator("section", has=page.locator("h2", has_text=heading)).first
    picture = Image.open(io.BytesIO(part.screenshot())).convert("RGB")
    page.close()
    return picture


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """All pictures in one row on white, aligned at the top."""
    width = sum(picture.width + GAP for picture in pictures) - GAP
    row = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + GAP
    return row


def main() -> None:
    """Run the suite if needed, and write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--suite", type=Path, help="folder of a finished run of the example")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "suite_report.png")
    parser.add_argument("--browser", default=shutil.which("chromium"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite = options.suite or Path(folder) / "suite"
        if options.suite is None:
            command = [sys.executable, "-m", "render_jobs.cli", "eval", "suite"]
            config = ROOT / "examples" / "suite" / "suite.toml"
            subprocess.run([*command, str(config), "-o", str(suite)], check=True, cwd=ROOT)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
            pictures = [section(browser, suite / "report.html", name) for name in SECTIONS]
            browser.close()
    row = side_by_side(pictures)
    row.quantize(COLOURS, dither=Image.Dither.NONE).save(options.output, optimize=True)
    print(f"{options.output}: {row.width}x{row.height}, {options.output.stat().st_size >> 10} KB")


if __name__ == "__main__":
    main()
