# SPDX-License-Identifier: GPL-3.0-or-later
"""A served study in, four people at its real page in a real browser: what they do, step by step."""

from __future__ import annotations

import asyncio
import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 30_000
KEYS = {"left": ("1", "ArrowLeft"), "tie": ("2", "ArrowDown"), "right": ("3", "ArrowRight")}
READY = "#play, #go, #finish, #agree, #sound, #code"


class Person:
    """Somebody in front of the page of one seat."""

    def __init__(self, served, seat, context):
        self.served, self.context = served, context
        self.link = f"{served.url}/r/{served.keys.rater_token(seat)}"
        self.rater_id = f"R{seat + 1:02d}"
        self.trials = served.study.seats[seat].trials
        self.order = list(self.trials)
        self.done = 0
        self.sound_tries = 0
        self.faults = []
        self.doms = []

    async def open(self):
        self.page = await self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self.heard)
        await self.page.goto(self.link)

    def heard(self, message):
        if message.type == "error" and "Content Security" in message.text:
            self.faults.append(message.text)

    async def enter(self):
        """From the consent to the first trial."""
        page = self.page
        await page.locator("#agree").wait_for()
        assert await page.locator("#yes").is_disabled()
        await page.locator("#agree").check()
        await page.locator("#yes").click()
        await self.pass_sound_check()
        await self.go_on()

    async def go_on(self):
        """Press the button of a page that only tells something; until that page is gone."""
        title = await self.page.locator("h1").inner_text()
        await self.page.locator("#go").click()
        await self.page.locator("h1", has_text=title).wait_for(state="detached")

    async def pass_sound_check(self):
        page = self.page
        await page.locator("#sound").click()
        if self.rater_id == "R01":  # types something wrong at first
            await page.locator("#digits").fill("0")
            await page.locator("#heard").click()
            await page.get_by_text("That was not right").wait_for()
            self.sound_tries += 1
        digits = self.served.keys.digits(self.rater_id, self.sound_tries)
        await page.locator("#digits").fill(digits)
        await page.locator("#heard").click()
        await page.locator("#go").wait_for()
        await page.locator("#digits").wait_for(state="detached")

    async def wait_trial(self):
        """Until a clip is offered; goes on where the page only tells something."""
        page = self.page
        while True:
            await page.locator(READY).first.wait_for()
            self.doms.append(await page.content())
            if await page.locator("#play").count():
                return True
            if await page.locator("#finish").count():
                return False
            if await page.locator("#go").count():
                await self.go_on()

    async def watch(self, how="keys"):
        """Play the clip to its end; nothing can be answered before."""
        page = self.page
        assert await page.locator("[data-side=left]").is_disabled()
        await page.keyboard.press("1")
        assert await page.locator("#confirm").is_disabled()
        if how == "keys":
            await page.keyboard.press("Space")
        elif how == "touch":
            await page.locator("#play").tap()
        else:
            await page.locator("#play").click()
        await page.locator("[data-side=left]:not([disabled])").wait_for()

    async def replay(self):
        page = self.page
        await page.locator("#replay").click()
        await page.locator("#replay[disabled]").wait_for()
        await page.locator("#replay:not([disabled])").wait_for()

    def rule(self):
        """What this person says to the trial on show: the target wins, catches are seen through."""
        trial = self.order[self.done]
        if trial.expected:
            return trial.expected
        return "left" if trial.left == self.served.study.target else "right"

    async def choose(self, side, how="keys"):
        page = self.page
        if how == "keys":
            await page.keyboard.press(KEYS[side][self.done % 2])
        elif how == "touch":
            await page.locator(f"[data-side={side}]").tap()
        else:
            await page.locator(f"[data-side={side}]").click()
        assert await page.locator(f"[data-side={side}]").get_attribute("aria-pressed") == "true"

    async def confirm(self, how="keys"):
        page = self.page
        if how == "keys":
            await page.keyboard.press("Enter")
        elif how == "touch":
            await page.locator("#confirm").tap()
        else:
            await page.locator("#confirm").click()

    async def saved(self):
        """Until the server has the answer and the page shows what is next."""
        self.done += 1
        await self.page.locator("#replay:visible").wait_for(state="detached")
        await self.page.locator(READY).first.wait_for()

    async def trial(self, how="keys", *, replays=0):
        await self.watch(how)
        for _ in range(replays):
            await self.replay()
        await self.choose(self.rule(), how)
        await self.confirm(how)
        await self.saved()

    async def rest(self, how="keys"):
        while await self.wait_trial():
            await self.trial(how)

    async def finish(self, comment):
        await self.page.locator("#comment").fill(comment)
        await self.page.locator("#finish").click()
        await self.page.locator("#code", has_text="C0DE").wait_for()
        assert not await self.page.locator("#leave").is_visible()


async def with_keys_and_two_tabs(person):
    await person.open()
    await person.enter()
    for _ in range(3):
        await person.wait_trial()
        await person.trial()
    first = person.page
    await person.open()  # a second tab of the same browser
    await person.wait_trial()
    await first.get_by_text("goes on in another tab").wait_for()
    await person.trial()
    await first.locator("#go").click()  # "Go on here"
    await first.locator("#play").wait_for()
    await person.page.get_by_text("goes on in another tab").wait_for()
    await person.page.close()
    person.page = first
    await person.rest()
    await person.finish("<img src=x onerror=alert(1)>")


async def with_mouse_replays_second_thoughts_and_a_broken_clip(person):
    broken = person.order[6].stimulus.files["both"]
    refusals = []

    async def refuse(route):
        refusals.append(route.request.url)
        if len(refusals) > 3:  # ahead of time, and twice in its trial
            await route.continue_()
        else:
            await route.fulfill(status=404)

    await person.context.route(f"**/v/{broken}", refuse)
    await person.open()
    await person.enter()
    for replays in (0, 0, 1, 0):
        await person.wait_trial()
        if person.done == 3:
            wrong = {"left": "right", "right": "left", "tie": "left"}[person.rule()]
            await person.watch("mouse")
            await person.choose(wrong, "mouse")
            await person.confirm("mouse")
            await person.saved()
            await person.wait_trial()
            await person.page.locator("#previous").click()
            person.done -= 1
            await person.page.locator("#back").wait_for()
            await person.page.locator("#play").wait_for()
            await person.choose(person.rule(), "mouse")
            await person.confirm("mouse")
            await person.page.locator("#back").wait_for(state="detached")
            await person.page.locator("#play").wait_for()
            person.done += 1
        else:
            await person.trial("mouse", replays=replays)
    broken = person.order.pop(6)
    person.order.append(broken)  # it is offered again at the end
    await person.rest("mouse")
    await person.finish("")


async def with_a_lost_network(person):
    await person.open()
    await person.enter()
    await person.wait_trial()
    await person.trial()
    await person.wait_trial()
    await person.watch()
    await person.context.set_offline(True)
    await person.choose(person.rule())
    await person.confirm()
    await person.page.get_by_text("The connection is lost").wait_for()
    await person.context.set_offline(False)
    await person.saved()
    await person.wait_trial()
    await person.watch()
    await person.context.set_offline(True)
    await person.choose(person.rule())
    await person.confirm()
    await person.page.get_by_text("The connection is lost").wait_for()
    person.done += 1
    await person.page.close()  # the answer waits in the browser
    await person.context.set_offline(False)
    await person.open()
    await person.rest()
    await person.finish("")


async def with_a_phone_closed_and_opened_again(person):
    await person.open()
    await person.enter()
    await person.page.get_by_text("您的屏幕较小").wait_for()
    for _ in range(2):
        await person.wait_trial()
        await person.trial("touch")
    await person.wait_trial()
    await person.watch("touch")
    await person.page.close()  # in the middle of a trial
    await person.open()
    await person.wait_trial()
    counted = await person.page.locator("#count").inner_text()
    assert counted == "1 / 8"
    assert await person.page.evaluate("document.documentElement.lang") == "zh"
    await person.rest("touch")
    await person.finish("很好")


PLANS = (
    (with_keys_and_two_tabs, {}),
    (with_mouse_replays_second_thoughts_and_a_broken_clip, {"reduced_motion": "reduce"}),
    (with_a_lost_network, {}),
    (with_a_phone_closed_and_opened_again, {
        "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True,
        "locale": "zh-CN"}),
)  # fmt: skip


async def everybody(served):
    from playwright import async_api as playwright_api

    async with playwright_api.async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--autoplay-policy=user-gesture-required"],
        )
        people, sessions = [], []
        for seat, (plan, options) in enumerate(PLANS):
            context = await browser.new_context(
                **({"viewport": {"width": 1280, "height": 800}, "locale": "en-US"} | options)
            )
            people.append(Person(served, seat, context))
            sessions.append(plan(people[-1]))
        await asyncio.gather(*sessions)
        await browser.close()
    return people
