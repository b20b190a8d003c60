# SPDX-License-Identifier: GPL-3.0-or-later
"""The example suite in, the picture of its report for docs/evaluation.md out.

Run it after a change of the report, of a measure or of the embedded engine:
    python scripts/report_picture.py [--suite FOLDER] [-o docs/suite_report.png]
It runs examples/suite/suite.toml (one or two minutes) unless --suite names a finished folder, and
takes sections of report.html in chromium. It needs a Chinese font, such as fonts-noto-cjk.
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
# Columns of the picture: headings of sections, and how many elements of each to show.
COLUMNS = (
    (("Lip vertex error", 3), ("What the errors are worth", 3)),
    (("Mouths over the sounds", 4),),
)
WIDTH = 820  # of one column in the page, in CSS pixels
SCALE = 0.8  # picture pixels per CSS pixel
GAP = 20
COLOURS = 200


def section(browser: Browser, report: Path, heading: str, elements: int) -> Image.Image:
    """The first `elements` elements of the section with this heading, as a picture."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": 900}, device_scale_factor=SCALE, color_scheme="light"
    )
    page.goto(report.resolve().as_uri())
    part = page.locator("section", has=page.get_by_role("heading", name=heading, exact=True))
    part.evaluate("(node, n) => [...node.children].slice(n).forEach(one => one.remove())", elements)
    picture = Image.open(io.BytesIO(part.screenshot())).convert("RGB")
    page.close()
    return picture


def joined(pictures: list[Image.Image], *, across: bool) -> Image.Image:
    """All pictures in one row or one column on white."""
    sizes = [(one.width, one.height) if across else (one.height, one.width) for one in pictures]
    along = sum(length + GAP for length, _ in sizes) - GAP
    broad = max(breadth for _, breadth in sizes)
    whole = Image.new("RGB", (along, broad) if across else (broad, along), "white")
    place = 0
    for one, (length, _) in zip(pictures, sizes, strict=True):
        whole.paste(one, (place, 0) if across else (0, place))
        place += length + GAP
    return whole


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
            report = suite / "report.html"
            columns = [
                joined([section(browser, report, *part) for part in parts], across=False)
                for parts in COLUMNS
            ]
            browser.close()
    row = joined(columns, across=True)
    row.quantize(COLOURS, dither=Image.Dither.NONE).save(options.output, optimize=True)
    print(f"{options.output}: {row.width}x{row.height}, {options.output.stat().st_size >> 10} KB")


if __name__ == "__main__":
    main()
