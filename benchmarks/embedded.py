# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded engine's speed (one JSON line) or, with --mouth, a table of its mouth's quality.

Speed: wall time on one core from the start of a fresh Python to the saved clip, for a text of
about 10 s; `ratio` is seconds of speech per second, from the median run. `espeak_alone_s` is what
espeak-ng's own process takes of that.

Mouth: sentences are synthesised, espeak-ng's own events are the truth (with the closure before a
voiceless burst put back to the stop), and the mouth is driven by each route. A closure is hit if
jawOpen - mouthClose is below 0.03 in one frame of a p, b or m (strictly, or one frame around it);
a false closure is that in the middle of a vowel longer than 60 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

TEXT = (
    "The quick brown fox jumps over the lazy dog, and my mother bakes plum pies for people who "
    "remember. Everybody believes that these boats may keep moving until the morning."
)
SCRIPT = """
import sys
from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.clip import save_clip
from exomni_core.prompt import Prompt
clip = EmbeddedEngine().generate(Prompt(id="speed", text=sys.argv[1]))
save_clip(clip, sys.argv[2])
print(clip.duration_s)
"""

# Routes were tuned on TUNED; HELD_OUT was only ever measured.
TUNED = (
    "The big brown bear ate a pumpkin pie.",
    "Please put the paper cup back on the table.",
    "My mother makes marmalade every Monday morning.",
    "Peter Piper picked a peck of pickled peppers.",
    "She sells seashells by the sea shore.",
    "How are you feeling today, my friend?",
    "I would rather walk home than take the bus.",
    "Bob bought a bright blue bicycle for his brother.",
    "The weather forecast promises rain tomorrow afternoon.",
    "Could you help me move this heavy box?",
    "We watched the ships come in from the harbour.",
    "A simple problem may have a complex solution.",
    "People often remember the first thing they hear.",
    "The museum opens at nine and closes at five.",
    "Kids are talking by the door.",
    "Dogs are sitting by the window.",
    "Nobody believed that the old pump would work again.",
    "He jumped over the fence and ran away quickly.",
    "Very few visitors find the village without a map.",
    "Thank you for calling, how may I help you?",
    "The company published a report about public transport.",
    "Some apples are green, but most of them are red.",
    "Wash your hands before you prepare the food.",
    "The judge asked the witness to speak slowly.",
    "Computers can solve many problems faster than people.",
    "Mum promised to bake bread for the whole family.",
    "Seven silver swans swam silently seaward.",
    "I hope the number of people in the room is small enough.",
)
HELD_OUT = (
    "The quick brown fox jumps over the lazy dog.",
    "A probable explanation was given by the professor.",
    "Amber light from the lamp filled the empty room.",
    "Both boys became famous painters in Paris.",
    "You should never drive faster than the speed limit.",
    "The patient was told to breathe deeply and relax.",
    "Where did you put the map of the camp?",
    "Maybe we should compare the prices before we buy.",
    "The bakery on the corner sells warm bread and butter.",
    "Important members of the committee left before lunch.",
    "My grandfather built this cabin by himself.",
    "Open the window, please, it is hot in here.",
    "Sam dropped his phone into the swimming pool.",
    "This recipe needs two cups of milk and some pepper.",
    "They planned a big party for the baby's birthday.",
    "A lamb was sleeping beside the apple tree.",
    "Keep calm and carry on with your job.",
    "Remember to bring a warm blanket to the beach.",
    "The bus stopped because the bridge was blocked.",
    "Nothing is impossible if you prepare well.",
    "Her poem about the autumn moon won a prize.",
    "I am almost certain that he bumped his head.",
    "Emma applied for a job at the publishing house.",
    "The train to Cambridge departs from platform number five.",
    "Music and film are popular hobbies among young people.",
    "Stamps and envelopes are sold at the post office.",
    "The climbers made camp at the bottom of the mountain.",
    "Big problems may begin with simple mistakes.",
)
MANDARIN = (
    "你好，今天天气很好。",
    "爸爸妈妈买了一本书。",
    "请把苹果放在桌子上。",
    "我们明天去北京看朋友。",
    "他跑步跑得非常快。",
    "小猫爬到门背后面去了。",
    "不要忘记带你的护照。",
    "八百标兵奔北坡。",
    "这个问题比较复杂。",
    "妹妹每天晚上都要喝牛奶。",
    "面包和咖啡一共多少钱？",
    "我没有办法帮助你。",
    "朋友们都很喜欢这部电影。",
    "外面的风很大，把帽子吹跑了。",
    "秘密就藏在盒子里面。",
    "老板明白我的意思。",
    "冰箱里面没有苹果了。",
    "他们坐飞机飞到美国。",
    "请你慢慢说明白一点。",
    "母亲把窗户打开了。",
)
ENGLISH_VOICES = ("en-us", "en-us+f2", "en-us+m3", "en+m7")
MANDARIN_VOICES = ("cmn", "cmn+f2")
FPS = 30
CLOSED = 0.03


@dataclass
class Tally:
    """Counts of one row of the table, and the curves for the lag."""

    hits: list[bool] = field(default_factory=list)
    near_hits: list[bool] = field(default_factory=list)
    false_closures: list[bool] = field(default_factory=list)
    routes: dict[str, int] = field(default_factory=dict)
    jaws: list[object] = field(default_factory=list)
    levels: list[object] = field(default_factory=list)
    largest_step: float = 0.0
    largest_third_difference: float = 0.0

    def row(self) -> dict[str, object]:
        """The measured shares, rounded, as plain data."""

        def share(values: Sequence[bool]) -> float | None:
            return round(sum(values) / len(values), 3) if values else None

        return {
            "closures": len(self.hits),
            "hit": share(self.hits),
            "hit_within_a_frame": share(self.near_hits),
            "vowels": len(self.false_closures),
            "false_closure": share(self.false_closures),
            "lag_ms": lag_ms(self.jaws, self.levels),
            "largest_step": round(self.largest_step, 3),
            "largest_third_difference": round(self.largest_third_difference, 3),
            "routes": self.routes,
        }


def lag_ms(jaws: Iterable[object], levels: Iterable[object]) -> float | None:
    """By how much the jaw follows the loudness, pooled over clips: negative means it leads.

    The time of the parabola through the largest sums of products of both curves' deviations.
    """
    import numpy as np

    reach = 9
    total = np.zeros(2 * reach + 1)
    for jaw, level in zip(jaws, levels, strict=True):
        a, b = np.asarray(jaw, float), np.asarray(level, float)
        if len(a) < 4 * reach or a.std() == 0.0 or b.std() == 0.0:
            continue
        a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
        for k, shift in enumerate(range(-reach, reach + 1)):
            total[k] += np.mean(
                a[max(0, shift) : len(a) + min(0, shift)]
                * b[max(0, -shift) : len(b) - max(0, shift)]
            )
    best = int(np.argmax(total))
    if not total.any() or not 0 < best < 2 * reach:
        return None
    left, top, right = total[best - 1 : best + 2]
    return round((best - reach + 0.5 * (left - right) / (left - 2 * top + right)) / FPS * 1000, 1)


def measure(
    sentences: Sequence[str], voices: Sequence[str], route: str, language: str | None, tally: Tally
) -> None:
    """Add every sentence in every voice to `tally`; route: events, transcript or none (no text)."""
    jobs = [(sentence, voice) for voice in voices for sentence in sentences]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for job in pool.map(lambda j: one(*j, route, language), jobs):
            add(tally, *job)


def one(text: str, voice: str, route: str, language: str | None):
    """Synthesise one sentence and animate it; returns (truth, weights, level_db, route)."""
    import numpy as np

    from exomni_core.clip import Phone, frame_count
    from exomni_core.embedded import espeak
    from exomni_core.embedded.listen import listen
    from exomni_core.embedded.loudness import loudness_db
    from exomni_core.embedded.track import Track, make_face

    speech = espeak.speak(text, voice)
    rate = speech.sample_rate_hz
    pad = round(0.2 * rate)
    samples = np.pad(speech.pcm, pad).astype(np.float32) / 32768.0
    # The noise of a quiet room: nothing that is recorded is digitally silent.
    samples += np.random.default_rng(0).normal(0, 12 / 32768, len(samples)).astype(np.float32)
    samples = np.clip(samples, -1.0, 1.0)
    truth = [Phone(p.symbol, p.start_s + pad / rate, p.end_s + pad / rate) for p in speech.phones]
    if route == "events":
        track = Track((), tuple(truth), text, language or "en", "tts_events", 1.0)
    else:
        track = listen(
            samples, rate, transcript=text if route == "transcript" else None, language=language,
            budget_s=120.0,
        )  # fmt: skip
    weights = make_face(track, samples, rate, style="neutral", seed=0)
    level_db = loudness_db(samples, rate, frame_count(len(samples) / rate, FPS), FPS)
    return truth, weights, level_db, track.route


def add(tally: Tally, truth, weights, level_db, route: str) -> None:
    """Count the closures and vowels of one clip."""
    import numpy as np

    from exomni_core.arkit import CHANNEL_INDEX
    from exomni_core.embedded.phones import is_closure, is_vowel
    from exomni_core.retime import lip_gap

    gap = lip_gap(weights)
    tally.routes[route] = tally.routes.get(route, 0) + 1
    for phone in truth:
        if phone.symbol and is_closure(phone.symbol):
            first = round(phone.start_s * FPS)
            last = max(first, round(phone.end_s * FPS))
            tally.hits.append(bool(gap[first : last + 1].min() < CLOSED))
            tally.near_hits.append(bool(gap[max(0, first - 1) : last + 2].min() < CLOSED))
        elif phone.symbol and is_vowel(phone.symbol) and phone.end_s - phone.start_s > 0.06:
            middle = min(round((phone.start_s + phone.end_s) / 2 * FPS), len(gap) - 1)
            tally.false_closures.append(bool(gap[middle] < CLOSED))
    tally.jaws.append(weights[:, CHANNEL_INDEX["jawOpen"]])
    tally.levels.append(np.maximum(level_db, level_db.max() - 45.0))
    tally.largest_step = max(tally.largest_step, float(np.abs(np.diff(weights, axis=0)).max()))
    tally.largest_third_difference = max(
        tally.largest_third_difference, float(np.abs(np.diff(weights, 3, axis=0)).max())
    )


def mouth_table(quick: bool) -> dict[str, dict[str, object]]:
    """Measure every route; quick takes a few sentences and two voices of each language."""
    english = (HELD_OUT[:6], ENGLISH_VOICES[:2]) if quick else (HELD_OUT, ENGLISH_VOICES)
    tuned = (TUNED[:6], ENGLISH_VOICES[:2]) if quick else (TUNED, ENGLISH_VOICES)
    mandarin = (MANDARIN[:6], MANDARIN_VOICES[:1]) if quick else (MANDARIN, MANDARIN_VOICES)
    table: dict[str, dict[str, object]] = {}
    for name, (sentences, voices), route, language in (
        ("en events, held out", english, "events", "en"),
        ("en transcript, held out", english, "transcript", "en"),
        ("en no transcript, tuned", tuned, "none", "en"),
        ("en no transcript, held out", english, "none", "en"),
        ("zh events", mandarin, "events", "zh"),
        ("zh transcript", mandarin, "transcript", "zh"),
        ("zh no transcript", mandarin, "none", "zh"),
    ):
        tally = Tally()
        measure(sentences, voices, route, language, tally)
        table[name] = tally.row()
        print(f"{name:28}", json.dumps(table[name]), flush=True)
    return table


def speed(runs: int) -> dict[str, object]:
    """Time fresh processes on one core, and espeak-ng's own process in the same way."""
    pin = ["taskset", "-c", "0"] if sys.platform == "linux" else []
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            begin = time.perf_counter()
            done = subprocess.run(
                [*pin, sys.executable, "-c", SCRIPT, TEXT, str(Path(folder) / "speed.clip")],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            seconds.append(time.perf_counter() - begin)
    speech_s = float(done.stdout)
    return {
        "benchmark": "embedded say, fresh process to saved clip, one core",
        "speech_s": round(speech_s, 2),
        "runs_s": [round(s, 3) for s in seconds],
        "median_s": round(statistics.median(seconds), 3),
        "best_s": round(min(seconds), 3),
        "espeak_alone_s": round(espeak_alone(pin, runs), 3),
        "ratio": round(speech_s / statistics.median(seconds), 1),
    }


def espeak_alone(pin: Sequence[str], runs: int) -> float:
    """The median wall time of espeak-ng's process for the same text, without face or clip."""
    import espeakng_loader

    from exomni_core.embedded import espeak

    request = {
        "task": "speak", "text": TEXT, "voice": "en-us", "rate_wpm": 175, "with_pcm": True,
        "library": espeakng_loader.get_library_path(), "data": ".",
    }  # fmt: skip
    script = Path(espeak.__file__).with_name("espeak_process.py")
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        subprocess.run(
            [*pin, sys.executable, "-I", "-S", str(script)],
            input=json.dumps(request).encode(), check=True, capture_output=True,
            cwd=espeakng_loader.get_data_path(),
        )  # fmt: skip
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mouth", action="store_true", help="measure the mouth instead of speed")
    parser.add_argument("--quick", action="store_true", help="few sentences and voices")
    parser.add_argument("--runs", type=int, default=7, help="how many fresh processes to time")
    parser.add_argument("--json", type=Path, help="also write the result there")
    arguments = parser.parse_args()
    if arguments.mouth:
        report = {"benchmark": "embedded mouth", "table": mouth_table(arguments.quick)}
    else:
        report = speed(arguments.runs)
    print(json.dumps(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
