# SPDX-License-Identifier: GPL-3.0-or-later
"""The study page in chromium in, its pictures for docs/study.md out: docs/study/*.png.

Run it after a change of the page, of its words, of the built-in head or of its default look:
    python scripts/study_screens.py
It makes a study of the examples, then goes through the page as raters do, on a desktop in English
and on a phone in Chinese. It needs the extras `render` and `study`, playwright, chromium and
a font with Chinese characters.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from render_jobs.study.plan_file import read_study, write_study  # noqa: E402
from render_jobs.study.serving.context import ServingSettings  # noqa: E402
from render_jobs.study.serving.server import StudyServer  # noqa: E402

DESKTOP = {"viewport": {"width": 1280, "height": 800}, "locale": "en-US"}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "locale": "zh-CN",
    "has_touch": True,
    "is_mobile": True,
}
COLOURS = 128
LINES = (
    "Every voice has a face.",
    "Bob may give the maps back.",
    "We met at the old bridge.",
    "What a bright and windy day!",
    "Please follow the path home.",
    "She sells very fine shoes.",
    "The show begins at five.",
    "Nobody knew where it was.",
)
PICTURE = ("--size", "384x576", "--fps", 25)
OF_A_TRIAL = ("before", "playing", "after", "answered", "offline")


class Tour:
    """One rater's way through the page; `shots`: name -> PNG of each kind of page."""

    def __init__(self, browser: Browser, server: StudyServer, seat: int, device: Any) -> None:
        self.context = browser.new_context(**device)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.server, self.seat = server, seat
        self.shots: dict[str, bytes] = {}

    def shot(self, name: str) -> None:
        """Take a picture, the first time that such a page is there."""
        practising = self.page.locator("#count", has_text="/ 2").count()
        if name not in self.shots and not (name in OF_A_TRIAL and practising):
            self.page.mouse.move(2, 2)
            self.page.wait_for_timeout(400)
            self.shots[name] = self.page.screenshot()

    def run(self) -> None:
        """The whole session."""
        page, keys = self.page, self.server.shared.store.keys
        page.goto(f"{self.server.url}/r/{keys.rater_token(self.seat)}")
        page.locator("#agree").wait_for()
        self.shot("consent")
        page.check("#agree")
        page.click("#yes")
        page.locator("#sound").wait_for()
        self.shot("sound")
        page.fill("#digits", keys.digits(f"R{self.seat + 1:02d}", 0))
        page.click("#heard")
        page.locator("#digits").wait_for(state="detached")
        self.shot("instructions")
        page.click("#go")
        while self.next_page():
            self.trial()
        self.shot("comment")
        page.click("#leave")
        self.shot("delete")
        page.click("#sure-no")
        page.fill("#comment", "The sound of clip 3 was very low.")
        page.click("#finish")
        page.locator("#code").wait_for()
        self.shot("end")
        page.goto(f"{self.server.url}/r/{'A' * 24}")
        self.shot("wrong link")
        page.goto(f"{self.server.url}/admin/{self.server.shared.admin_token}")
        page.locator("#rows tr").first.wait_for()
        self.shot("admin")

    def next_page(self) -> bool:
        """Until a clip is offered; whether one is."""
        page = self.page
        page.locator("#replay:visible").wait_for(state="detached")
        while True:
            page.locator("#play, #go, #finish").first.wait_for()
            if page.locator("#finish").count():
                return False
            if page.locator("#play").count():
                return True
            heading = page.locator("h1").inner_text()
            practice_over = page.locator("#count").inner_text().startswith("0")
            is_small = page.locator("#tongues").is_hidden()
            self.shot("small screen" if is_small else "ready" if practice_over else "break")
            page.click("#go")
            page.locator("h1", has_text=heading).wait_for(state="detached")

    def trial(self) -> None:
        """One clip, with pictures of all its states."""
        page = self.page
        self.shot("before")
        page.click("#play")
        page.wait_for_timeout(1200)
        self.shot("playing")
        page.locator("[data-side=left]:not([disabled])").wait_for()
        self.shot("after")
        page.click("[data-side=left]")
        self.shot("answered")
        offline = "offline" not in self.shots
        self.context.set_offline(offline)
        page.click("#confirm")
        if offline:
            page.locator("#notice:visible").wait_for()
            self.shot("offline")
            self.context.set_offline(False)


def make_study(work: Path) -> Path:
    """A study of a few lines, lively faces against quiet ones."""
    prompts = work / "prompts.jsonl"
    rows = [{"id": f"line{k}", "text": line} for k, line in enumerate(LINES)]
    prompts.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    styles = ("lively", "quiet")
    for style in styles:
        exorender("batch", prompts, "--style", style, "-o", work / style, *PICTURE)
    runs = [work / style for style in styles]
    exorender("pairs", *runs, "-o", work / "study", "--n", 6, "--raters", 4, "--min-s", 1)
    return work / "study"


def exorender(*arguments: object) -> None:
    """Run a command of ours, of this checkout."""
    command = [sys.executable, "-m", "render_jobs.cli", *map(str, arguments)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)


def small_png(png: bytes, width: int = 0) -> bytes:
    """The picture with few colours, and no wider than `width`."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    if width and picture.width > width:
        size = (width, round(picture.height * width / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()


def sheet(browser: Browser, shots: dict[str, bytes], columns: int, width: int) -> bytes:
    """All pictures beside each other with their names."""
    cells = "".join(
        f"<figure><img src='data:image/png;base64,{base64.b64encode(png).decode()}' "
        f"width={width}><figcaption>{name}</figcaption></figure>"
        for name, png in shots.items()
    )
    page = browser.new_page(viewport={"width": columns * (width + 16) + 16, "height": 200})
    page.set_content(
        "<style>body{margin:8px;background:#888;display:grid;font:15px sans-serif;gap:12px;"
        f"grid-template-columns:repeat({columns},{width}px)}}figure{{margin:0}}"
        f"figcaption{{color:#fff;padding:2px}}</style>{cells}"
    )
    png = page.screenshot(full_page=True)
    page.close()
    return png


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "study")
    parser.add_argument("--browser", default=shutil.which("chromium"))
    options = parser.parse_args()
    fonts = subprocess.run(["fc-list", ":lang=zh"], check=True, capture_output=True).stdout
    if not fonts:
        sys.exit("no font here has Chinese characters; install one, such as fonts-noto-cjk")
    work = Path(tempfile.mkdtemp(prefix="study-screens-"))
    folder = make_study(work)
    write_study(replace(read_study(folder), break_every=3), folder)
    server = StudyServer(folder, ServingSettings(port=0, completion_code="K7-TULIP"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=options.browser, args=["--no-sandbox", "--mute-audio"]
            )
            tours = [
                Tour(browser, server, seat, device) for seat, device in enumerate((DESKTOP, PHONE))
            ]
            for tour in tours:
                tour.run()
            _write(options.output, browser, *(tour.shots for tour in tours))
    finally:
        server.end()
        thread.join()
        shutil.rmtree(work)


def _write(out: Path, browser: Browser, desk: dict[str, bytes], phone: dict[str, bytes]) -> None:
    del phone["admin"]  # a page for a desk
    out.mkdir(parents=True, exist_ok=True)
    files = {
        "trial.png": small_png(desk["answered"], 960),
        "desktop_en.png": small_png(sheet(browser, desk, 4, 480)),
        "phone_zh.png": small_png(sheet(browser, phone, 6, 195)),
        "admin.png": small_png(desk["admin"], 960),
    }
    for name, data in files.items():
        (out / name).write_bytes(data)


if __name__ == "__main__":
    main()
