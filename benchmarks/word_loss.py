# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines in twelve languages in -> how many lose a word when they are spoken, as one JSON line.

The lines are made by a seed: long ones, long ones without commas, numbers, letters of two scripts,
and letters in decomposed form. Each is spoken by the embedded engine. The truth is espeak-ng
itself, asked for every word in a clause of its own, where nothing is dropped: a word is lost if the
clip has no sounds for it, or if words that share sounds have fewer than half of those they have
alone. A decomposed line must also give the very sounds of its composed twin, and a mixed one its
language.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exomni_core.clip import Clip
from exomni_core.clip_notes import clip_notes
from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.phonetics.language import choose_voice
from exomni_core.phonetics.tokens import text_tokens
from exomni_core.prompt import Prompt
from exomni_core.voices import espeak

KINDS = ("long", "run-on", "numbers", "mixed", "decomposed")
WORDS = {
    "en": "the old house stands near a river and people who remember summer often walk there with "
    "their children because nobody believes that winter might come back again so early",
    "de": "das alte Haus steht am Fluss und die Leute gehen im Sommer gern über grüne Wiesen weil "
    "schöne Tage für Mädchen und Brüder kürzer werden als man möchte",
    "fr": "la vieille maison près de la rivière garde les souvenirs d'été où les élèves chantaient "
    "sous les chênes avec leurs mères déjà très âgées",
    "es": "la casa vieja está cerca del río y los niños corren por el camino porque mañana vendrá "
    "otra canción que nadie cantó aquí después del otoño",
    "it": "la vecchia casa vicino al fiume è piena di ricordi perché così tante persone cantavano "
    "più forte della pioggia quando la città dormiva già",
    "pt": "a velha casa perto do rio está cheia de lembranças porque as crianças não esquecem o "
    "verão em que a canção começou com corações e irmãos",
    "ru": "старый дом стоит у реки и люди которые помнят лето часто ходят туда с детьми потому что "
    "мы знали рыбу сыр и тёплый хлеб",
    "zh": "我们 今天 一起 去 公园 看 花 然后 回家 吃饭 再 看 电影 因为 天气 很 好 老师 学生 都 "
    "喜欢 音乐",
    "ja": "わたし は きょう ともだち と こうえん へ いきました そして がくせい が べんきょう を "
    "した あと ばんごはん を たべて ゆっくり ねました",
    "ko": "나는 오늘 아침에 일찍 일어나서 학교에 갔습니다 그리고 친구를 만나서 점심을 먹고 공부를 "
    "했습니다 내일은 가족과 함께 산에 가려고 합니다",
    "hi": "मैं आज सुबह जल्दी उठा और फिर बाज़ार गया क्योंकि मेरे दोस्त ने कहा कि वहाँ बहुत अच्छी "
    "किताबें मिलती हैं",
    "ar": "ذهبت اليوم إلى المدرسة مع أصدقائي وتعلمنا الكثير من الأشياء الجديدة ثم عدنا إلى البيت "
    "قبل المساء",
}  # fmt: skip
NAMES = ("Blender", "Python", "iPhone", "ChatGPT", "Berlin", "GitHub", "Linux", "Anna Smith")
FOREIGN_FOR_LATIN = ("Москва", "北京", "مرحبا")
LONG_NUMBER, LONG_WORD = 30, 25  # characters, above which a word is asked for in pieces
SHOWN = 10


@dataclass(frozen=True)
class Line:
    """text: to be spoken. language: of it. is_told: whether the prompt names the language."""

    kind: str
    language: str
    text: str
    is_told: bool


@dataclass
class Loss:
    """What a run found; lost: lines that lost a word, silently or not."""

    lines: int = 0
    silent: int = 0
    noted: int = 0
    wrong_language: int = 0
    other_sounds: int = 0
    shortest_word_ms: float = 1000.0
    kinds: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """As plain data, for the JSON line."""
        return {
            "lines": self.lines,
            "lose_a_word_silently": self.silent,
            "tell_a_lost_word": self.noted,
            "wrong_language": self.wrong_language,
            "other_sounds": self.other_sounds,
            "shortest_word_ms": round(self.shortest_word_ms, 1),
            "kinds": dict(self.kinds),
            "examples": self.examples[:SHOWN],
        }


def make_lines(count: int, seed: int = 0) -> list[Line]:
    """`count` lines, all languages and kinds in turn; the same seed gives the same lines."""
    draw = random.Random(seed)
    lines = []
    for number in range(count):
        language = tuple(WORDS)[number % len(WORDS)]
        kind = KINDS[number // len(WORDS) % len(KINDS)]
        lines.append(_line(draw, kind, language))
    return lines


def _line(draw: random.Random, kind: str, language: str) -> Line:
    joint = "" if language == "zh" else " "
    stop = {"zh": "。", "hi": "। "}.get(language, ". ")
    words = WORDS[language].split()
    drawn = [draw.choice(words) for _ in range(draw.randint(60, 260))]
    if kind == "run-on":
        text = joint.join(drawn[: draw.randint(60, len(drawn))])
        if language == "ja" and draw.random() < 0.5:
            text = text.replace(" ", "")
    elif kind == "numbers":
        text = _numbers(draw)
    elif kind == "mixed":
        drawn = drawn[: draw.randint(5, 16)]
        others = FOREIGN_FOR_LATIN if language in ("en", "de", "fr", "es", "it", "pt") else NAMES
        for _ in range(draw.randint(1, 3)):
            drawn.insert(draw.randint(1, len(drawn)), draw.choice(others))
        text = joint.join(drawn)
    else:
        text = ""
        while drawn:
            length = draw.randint(4, 25)
            text += joint.join(drawn[:length]) + stop
            drawn = drawn[length:]
        text = text.strip()
    if kind == "decomposed":
        text = unicodedata.normalize("NFD", text)
    told = kind == "numbers" or language in ("de", "fr", "es", "it", "pt")
    return Line(kind, language, text, told)


def _numbers(draw: random.Random) -> str:
    form = draw.randrange(4)
    if form == 0:
        first = draw.randint(1, 900)
        return " ".join(str(n) for n in range(first, first + draw.randint(60, 220)))
    if form == 1:
        return " ".join(str(draw.randint(0, 10**6)) for _ in range(draw.randint(20, 90)))
    if form == 2:
        return "".join(str(draw.randint(1, 9)) for _ in range(draw.randint(20, 160)))
    return " ".join(f"{draw.randint(1, 99)}:{draw.randint(10, 59)}" for _ in range(40))


def lost_words(line: Line, clip: Clip) -> list[str]:
    """The words of a line that its clip does not say."""
    alone = _sounds_alone(line)
    said: list[tuple[str, int]] = []
    middles = [(p.start_s + p.end_s) / 2 for p in clip.phones if p.symbol]
    for word in clip.words:
        inside = sum(word.start_s <= middle < word.end_s for middle in middles)
        said.append((unicodedata.normalize("NFC", word.text), inside))
    lost, at = [], 0
    for text, sounds in alone:
        where = next((k for k in range(at, len(said)) if said[k][0] == text), None)
        if where is None:
            lost.append(text)
            continue
        at = where + 1
        around = said[max(0, where - 1) : where + 2]  # words spoken as one share their sounds
        if sounds and 2 * sum(count for _, count in around) < sounds:
            lost.append(text)
    return lost


def _sounds_alone(line: Line) -> list[tuple[str, int]]:
    """Each word with how many sounds it has in clauses of its own, where nothing is dropped."""
    text = unicodedata.normalize("NFC", line.text)
    words = [t.text for t in text_tokens(text) if any(c.isalnum() for c in t.text)]
    pieces: list[str] = []
    owners: list[int] = []
    for number, word in enumerate(words):
        size = 1 if word.isdigit() and len(word) > LONG_NUMBER else LONG_WORD
        for k in range(0, len(word), size):
            pieces.append(word[k : k + size])
            owners.append(number)
    voice = choose_voice(text, line.language, None, ()).voice
    speech = espeak.speak("; ".join(pieces), voice, with_pcm=False)
    if len(speech.words) != len(pieces):  # a piece without letters of its own
        return [(word, 1) for word in words]
    counts = Counter(owners[owner] for owner in speech.word_of_phone if owner >= 0)
    return [(word, _fair_share(counts, k, len(words))) for k, word in enumerate(words)]


def _fair_share(counts: Counter[int], number: int, words: int) -> int:
    """The sounds of a word; espeak-ng gives those of some Korean words to the word before."""
    first = last = number
    while first > 0 and not counts[first]:
        first -= 1
    while last + 1 < words and not counts[last + 1]:
        last += 1
    return sum(counts[k] for k in range(first, last + 1)) // (last + 1 - first)


def measure(lines: Sequence[Line], engine: EmbeddedEngine) -> Loss:
    """Speak every line and look for what is missing."""
    found = Loss()
    for number, line in enumerate(lines):
        language = line.language if line.is_told else None
        clip = engine.generate(Prompt(id=f"l{number}", text=line.text, language=language))
        found.lines += 1
        found.kinds[line.kind] += 1
        lost = lost_words(line, clip)
        told = any("not spoken by the voice" in note for note in clip_notes(clip))
        found.noted += told
        found.silent += bool(lost) and not told
        if lost:
            found.examples.append(f"{line.language} {line.kind}: {', '.join(lost[:5])}")
        found.wrong_language += clip.language != line.language
        found.shortest_word_ms = min(
            found.shortest_word_ms, *(1000 * (w.end_s - w.start_s) for w in clip.words)
        )
        if line.kind == "decomposed":
            twin = Prompt(
                id="twin", text=unicodedata.normalize("NFC", line.text), language=language
            )
            same = [p.symbol for p in engine.generate(twin).phones]
            found.other_sounds += same != [p.symbol for p in clip.phones]
    return found


def main() -> int:
    """Run the command; the exit status is 1 if a line lost a word without a note."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    begun = time.perf_counter()
    found = measure(make_lines(args.lines, args.seed), EmbeddedEngine())
    row = found.row() | {"seconds": round(time.perf_counter() - begun, 1), "seed": args.seed}
    print(json.dumps(row, ensure_ascii=False))
    if args.json:
        args.json.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if found.silent else 0


if __name__ == "__main__":
    sys.exit(main())
