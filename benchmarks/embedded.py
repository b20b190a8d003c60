# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded engine's speed (one JSON line) or, with --mouth, a table of its mouth's quality.

Speed: wall time on one core from the start of a fresh Python to the saved clip, for a text of
about 10 s; `ratio` is seconds of speech per second, from the median run. `espeak_alone_s` is what
espeak-ng's own process takes of that.

Mouth: sentences are synthesised, espeak-ng's own events are the truth (with the closure before a
voiceless burst put back to the stop), and the mouth is driven by each route. Measured as
`exorender eval sync` measures any clip (exomni_core/metrics/sync/mouth.py), and how fast the lips
part in mm/s of the built-in head, how far on the average, and how often they do for a single frame.
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
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
GERMAN = (
    "Guten Morgen, wie geht es dir heute?",
    "Meine Mutter backt am Samstag Apfelkuchen.",
    "Bitte bring mir ein Paket aus der Post mit.",
    "Der braune Bär liebt süßen Honig.",
    "Wir fahren übermorgen mit dem Bus nach Bremen.",
    "Das Problem ist schwieriger, als man vermutet.",
    "Im Sommer schwimmen die Buben im warmen Fluss.",
    "Kannst du mir bitte die Lampe geben?",
    "Viele Besucher finden das Dorf ohne Plan nicht.",
    "Neun Bäume stehen hinter dem alten Bauernhof.",
    "Sie möchte eine Tasse Kaffee und etwas Obst.",
    "Mein Bruder repariert gern alte Fahrräder.",
    "Am Abend wurde es plötzlich sehr kühl.",
    "Fünf Mäuse liefen über den Boden.",
    "Papa hat vorhin beim Arzt angerufen.",
    "Der Zug kommt um halb acht am Bahnhof an.",
)
TOUCHING_MM = 0.8
ENGLISH_VOICES = ("en-us", "en-us+f2", "en-us+m3", "en+m7")
MANDARIN_VOICES = ("cmn", "cmn+f2")
GERMAN_VOICES = ("de", "de+f2")
FPS = 30


@dataclass
class Tally:
    """The clips of one row of the table, measured as `exorender eval sync` does; their openings.

    openings: lips' distance in mm of the built-in head in each frame, one array a clip.
    """

    clips: list[Any] = field(default_factory=list)
    openings: list[Any] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """The measured shares, rounded, as plain data."""
        from exomni_core.metrics.sync.table import summarise

        group = summarise([replace(c, language="", route="") for c in self.clips], seed=0)[0]
        shares, aperture, offset = group["shares"], group["aperture"], group["offset"]

        def share(name: str) -> float | None:
            value = shares[name]["value"]
            return None if value is None else round(value, 3)

        return {
            "closures": shares["closure_hit"]["of"],
            "hit": share("closure_hit"),
            "hit_within_a_frame": share("closure_hit_within_a_frame"),
            "vowels": shares["false_closure"]["of"],
            "false_closure": share("false_closure"),
            "hit_if_shifted": round(shares["closure_hit"]["if_shifted"], 3),
            "tuck_hit": share("tuck_hit"),
            "false_tuck": share("false_tuck"),
            "rounding_hit": share("rounding_hit"),
            "false_rounding": share("false_rounding"),
            "viseme_recall": share("viseme_recall"),
            "viseme_recall_if_shifted": round(shares["viseme_recall"]["if_shifted"], 3),
            "viseme_groups": {
                g: round(v["value"], 2) for g, v in group["viseme_groups"].items() if v["of"]
            },
            "vowel_openings": {v: round(m, 3) for v, m in aperture["means"].items()},
            "vowel_pairs_in_order": f"{aperture['in_order']} of {aperture['pairs']}",
            "lag_ms": None if offset["ms"] is None else round(offset["ms"], 1),
            "lag_quartiles_ms": [round(q, 1) for q in offset["quartiles_ms"] or ()],
            "lag_correlation": None if offset["r"] is None else round(offset["r"], 3),
            "largest_step": round(group["smoothness"]["largest_step"], 3),
            "largest_third_difference": round(group["smoothness"]["largest_third_difference"], 3),
            "aperture_jerk": round(group["smoothness"]["aperture_jerk"]),
            **self._motion(),
            "routes": dict(Counter(clip.route for clip in self.clips)),
        }

    def _motion(self) -> dict[str, float]:
        """Of all frames: mean opening, largest speeds, and openings of one frame per minute."""
        import numpy as np

        steps = np.concatenate([np.diff(opening) for opening in self.openings]) * FPS
        shut = [np.asarray(opening < TOUCHING_MM) for opening in self.openings]
        flashes = sum(int((s[:-2] & ~s[1:-1] & s[2:]).sum()) for s in shut)
        minutes = sum(map(len, self.openings)) / FPS / 60.0
        return {
            "mean_opening_mm": round(float(np.concatenate(self.openings).mean()), 2),
            "fastest_opening_mm_s": round(float(steps.max())),
            "fastest_closing_mm_s": round(float(-steps.min())),
            "steps_over_250_mm_s": round(float((np.abs(steps) > 250.5).mean()), 4),
            "flashes_per_minute": round(flashes / minutes, 1),
        }


def measure(
    sentences: Sequence[str],
    voices: Sequence[str],
    route: str,
    language: str | None,
    tally: Tally,
    style: str = "neutral",
) -> None:
    """Add every sentence in every voice to `tally`; route: events, transcript or none (no text)."""
    jobs = [(sentence, voice) for voice in voices for sentence in sentences]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for clip, opening in pool.map(lambda j: one(j[0], j[1], route, language, style), jobs):
            tally.clips.append(clip)
            tally.openings.append(opening)


def one(
    text: str, voice: str, route: str, language: str | None, style: str = "neutral"
) -> tuple[Any, Any]:
    """Synthesise one sentence, animate it by what the route finds in the sound, and measure it.

    The truth is what espeak-ng itself says about when it spoke what. Returns what was measured and
    the lips' distance in each frame in mm.
    """
    import numpy as np

    from exomni_core.clip import Phone
    from exomni_core.embedded.make_face import make_face
    from exomni_core.embedded.opening import FULL_OPENING_MM, lip_opening
    from exomni_core.listening.listen import listen
    from exomni_core.metrics.sync.mouth import measure_mouth, shifted
    from exomni_core.metrics.sync.offset import correlations
    from exomni_core.metrics.sync.smoothness import smoothness
    from exomni_core.metrics.sync.table import Measured
    from exomni_core.phonetics.track import Track
    from exomni_core.voices import espeak

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
            samples,
            rate,
            transcript=text if route == "transcript" else None,
            language=language,
            budget_s=120.0,
        )
    weights = make_face(track, samples, rate, style=style, seed=0)
    clip = Measured(
        id=text,
        language=language or "en",
        route=track.route,
        engine="embedded",
        truth="events",
        duration_s=len(weights) / FPS,
        fps=FPS,
        smoothness=smoothness(weights, FPS),
        mouth=measure_mouth(weights, FPS, truth),
        shifted=measure_mouth(shifted(weights), FPS, truth),
        correlations=correlations(weights, FPS, samples, rate),
    )
    return clip, lip_opening(weights) * FULL_OPENING_MM


def mouth_table(quick: bool, only: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Measure every route; quick takes a few sentences and two voices of each language.

    only: routes to measure (events, transcript, none).
    """
    english = (HELD_OUT[:6], ENGLISH_VOICES[:2]) if quick else (HELD_OUT, ENGLISH_VOICES)
    tuned = (TUNED[:6], ENGLISH_VOICES[:2]) if quick else (TUNED, ENGLISH_VOICES)
    mandarin = (MANDARIN[:6], MANDARIN_VOICES[:1]) if quick else (MANDARIN, MANDARIN_VOICES)
    german = (GERMAN[:6], GERMAN_VOICES[:1]) if quick else (GERMAN, GERMAN_VOICES)
    table: dict[str, dict[str, Any]] = {}
    for name, (sentences, voices), route, language in (
        ("en events, held out", english, "events", "en"),
        ("en events, held out, lively", english, "events", "en"),
        ("en transcript, held out", english, "transcript", "en"),
        ("en no transcript, tuned", tuned, "none", "en"),
        ("en no transcript, held out", english, "none", "en"),
        ("zh events", mandarin, "events", "zh"),
        ("zh transcript", mandarin, "transcript", "zh"),
        ("zh no transcript", mandarin, "none", "zh"),
        ("de events", german, "events", "de"),
        ("de transcript", german, "transcript", "de"),
        ("de no transcript", german, "none", "de"),
    ):
        if route not in only:
            continue
        tally = Tally()
        style = "lively" if name.endswith("lively") else "neutral"
        measure(sentences, voices, route, language, tally, style)
        table[name] = tally.row()
        print(f"{name:28}", json.dumps(table[name], ensure_ascii=False), flush=True)
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
                check=True,
                capture_output=True,
                text=True,
            )
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

    from exomni_core.voices import espeak

    request = {
        "task": "speak",
        "text": TEXT,
        "voice": "en-us",
        "rate_wpm": 175,
        "with_pcm": True,
        "library": espeakng_loader.get_library_path(),
        "data": ".",
    }
    script = Path(espeak.__file__).with_name("espeak_process.py")
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        subprocess.run(
            [*pin, sys.executable, "-I", "-S", str(script)],
            input=json.dumps(request).encode(),
            check=True,
            capture_output=True,
            cwd=espeakng_loader.get_data_path(),
        )
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mouth", action="store_true", help="measure the mouth instead of speed")
    parser.add_argument("--routes", default="events,transcript,none", help="which to measure")
    parser.add_argument("--quick", action="store_true", help="few sentences and voices")
    parser.add_argument("--runs", type=int, default=7, help="how many fresh processes to time")
    parser.add_argument("--json", type=Path, help="also write the result there")
    arguments = parser.parse_args()
    if arguments.mouth:
        report = {
            "benchmark": "embedded mouth",
            "table": mouth_table(arguments.quick, arguments.routes.split(",")),
        }
    else:
        report = speed(arguments.runs)
    print(json.dumps(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
