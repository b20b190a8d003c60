# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder in, an installed package with one engine, voice, listener and format of its own out."""

from __future__ import annotations

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]

KINDS = """
from exomni_core.engine_kind import Capabilities, EngineKind, Option

TINY = EngineKind(
    name="tiny",
    title="Tiny",
    about="Opens the jaw for each letter",
    maker="tiny_face.engine:TinyEngine",
    capabilities=Capabilities(modes=("say",), languages=(), needs="nothing", fps=25.0),
    options=(Option("width", "number", "How far the jaw opens.", 0.5, least=0.0, most=1.0),),
)
"""

ENGINE = """
import numpy as np

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.clip import Clip
from exomni_core.engine import EngineDefaults
from tiny_face.kinds import TINY


class TinyEngine(EngineDefaults):
    name = "tiny"

    def __init__(self, width=0.5):
        self.width = width

    def capabilities(self):
        return TINY.capabilities

    def version(self):
        return f"tiny-1.{self.width}"

    def generate(self, prompt, *, progress=None, cancel=None):
        weights = np.zeros((len(prompt.text), 52), np.float32)
        weights[::2, CHANNEL_INDEX["jawOpen"]] = self.width
        audio = np.zeros(len(prompt.text) * 640, np.float32)
        return Clip(audio, 16000, weights, 25.0, text=prompt.text, engine=self.name,
                    prompt=prompt.to_json())
"""

VOICE = '''
from exomni_core.voices.espeak import Espeak
from exomni_core.voices.voice import Utterance, VoiceFacts


class Parrot:
    """espeak-ng that keeps the times to itself."""

    def facts(self):
        return VoiceFacts("Parrot", ("en",), tells_times=False, licence="for parrots only")

    def names(self):
        return ("grey", "green")

    def version(self):
        return "parrot-1"

    def reason(self):
        return ""

    def speak(self, text, *, language, voice, rate, seed, cancel=None):
        said = Espeak().speak(text, language=language, voice=None, rate=rate, seed=seed)
        return Utterance(said.samples, said.sample_rate_hz, said.language, None, {"bird": voice})
'''

LISTENER = '''
from exomni_core.clip import Phone
from exomni_core.listening.listener import ListenerFacts
from exomni_core.phonetics.track import Track


class Owl:
    """Hears one long ah in everything."""

    def facts(self):
        return ListenerFacts("Owl", ())

    def version(self):
        return "owl-1"

    def reason(self):
        return ""

    def listen(self, samples, sample_rate_hz, *, transcript, language, budget_s, progress=None,
               cancel=None):
        seconds = len(samples) / sample_rate_hz
        return Track((), (Phone("ɑ", 0.0, seconds),), transcript or "", language or "en", "owl",
                     0.1)
'''

FORMAT = """
from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.formats.face_track import read_text, track_of
from exomni_core.formats.format import Format


def read(path, wishes):
    fps, *values = read_text(path).split()
    return track_of(["jawOpen"], [[float(v)] for v in values], float(fps), path)


def write(path, weights, fps):
    jaw = weights[:, CHANNEL_INDEX["jawOpen"]]
    path.write_text(" ".join([str(fps), *(f"{value:.9g}" for value in jaw)]))


FORMAT = Format("jaw", "Jaw alone", ".jaw", "jawOpen and the rate", read, write)
"""

POINTS = """
[exomni.engines]
tiny = tiny_face.kinds:TINY
[exomni.voices]
parrot = tiny_face.voice:Parrot
[exomni.listeners]
owl = tiny_face.listener:Owl
[exomni.formats]
jaw = tiny_face.format:FORMAT
"""
BROKEN_POINTS = """
[exomni.engines]
lost = no_such_module:ENGINE
embedded = tiny_face.kinds:TINY
[exomni.voices]
mute = tiny_face.kinds:TINY
[exomni.formats]
wrong = tiny_face.voice:Parrot
"""


def install_tiny(folder: Path) -> Path:
    """Lay the package into `folder`, as pip would; returns `folder`."""
    sources = {
        "__init__": "", "kinds": KINDS, "engine": ENGINE, "voice": VOICE, "listener": LISTENER,
        "format": FORMAT,
    }  # fmt: skip
    (folder / "tiny_face").mkdir(parents=True)
    for name, text in sources.items():
        (folder / "tiny_face" / f"{name}.py").write_text(text, encoding="utf-8")
    install_points(folder, "tiny-face", POINTS)
    return folder


def install_points(folder: Path, name: str, points: str) -> None:
    """A package that has nothing but entry points."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


def environment_with(folder: Path) -> dict[str, str]:
    """The environment in which a program finds this product and the packages in `folder`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), str(folder)])}
