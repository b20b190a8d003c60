# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that other packages add to: lazy, in order, and safe from what is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_package import BROKEN_POINTS, install_points, install_tiny

from exomni_core import registry
from exomni_core.engine import ENGINE_KINDS, Engine, EngineDefaults, engine_names
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.listening.listen import SphinxListener
from exomni_core.listening.listener import Listener
from exomni_core.registry import VOICES, Registry
from exomni_core.voices.espeak import Espeak
from exomni_core.voices.voice import Synthesiser, split_voice, voice_names

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Packages installed for one test."""
    monkeypatch.syspath_prepend(str(install_tiny(tmp_path / "site")))
    registry._scan.cache_clear()
    yield tmp_path / "site"
    registry._scan.cache_clear()
    for name in [n for n in sys.modules if n.startswith("tiny_face")]:
        del sys.modules[name]


def test_others_come_after_ours(others: Path) -> None:
    assert engine_names() == (*ENGINE_KINDS.built_in, "tiny")
    assert list(ENGINE_KINDS.members()) == [*ENGINE_KINDS.built_in, "tiny"]
    assert ENGINE_KINDS.find("tiny").title == "Tiny"
    assert ENGINE_KINDS.problems() == ()
    assert "parrot:green" in voice_names()


def test_names_import_nothing(others: Path) -> None:
    assert "tiny" in engine_names()
    assert "tiny_face" not in sys.modules


def test_broken_ones_harm_nobody(others: Path) -> None:
    install_points(others, "broken-face", BROKEN_POINTS)
    registry._scan.cache_clear()
    assert list(ENGINE_KINDS.members()) == [*ENGINE_KINDS.built_in, "tiny"]
    problems = {problem.name: problem.reason for problem in ENGINE_KINDS.problems()}
    assert set(problems) == {"lost", "embedded"}
    with pytest.raises(EnvironmentProblem, match="the engine lost of the package broken-face"):
        ENGINE_KINDS.find("lost")
    assert ENGINE_KINDS.find("embedded").maker.startswith("exomni_core.")


def test_two_packages_with_one_name(others: Path) -> None:
    install_points(others, "second-face", "[exomni.engines]\ntiny = other_face:ENGINE\n")
    registry._scan.cache_clear()
    (problem,) = (p for p in ENGINE_KINDS.problems() if "both register" in p.reason)
    assert "tiny-face" in problem.reason
    assert "second-face" in problem.reason


def test_unknown_names_list_the_choice() -> None:
    with pytest.raises(
        InputError, match=r"there is no engine 'x'.*the choice is embedded, omni"
    ) as e:
        ENGINE_KINDS.find("x")
    assert e.value.field == "engine"


def test_a_check_that_fails_is_a_reason(others: Path) -> None:
    def refuse(name: str, _: Any) -> str:
        raise InputError(f"{name} is not wanted")

    voices = Registry[str](VOICES, "voice", {}, refuse)
    assert voices.members() == {}
    (problem,) = voices.problems()
    assert "parrot is not wanted" in problem.reason


@pytest.mark.parametrize(("voice", "parts"), [
    (None, ("espeak", None)), ("f2", ("espeak", "f2")), ("en-us+m3", ("espeak", "en-us+m3")),
    ("parrot:grey", ("parrot", "grey")), ("parrot:", ("parrot", None)),
])  # fmt: skip
def test_voice_names_are_split(voice: str | None, parts: tuple[str, str | None]) -> None:
    assert split_voice(voice) == parts


def test_ours_keep_the_protocols() -> None:
    assert isinstance(Espeak(), Synthesiser)
    assert isinstance(SphinxListener(), Listener)
    assert "f2" in Espeak().names()


def test_engines_without_extras_have_the_usual_ones() -> None:
    class Plain(EngineDefaults):
        name = "plain"

        def capabilities(self) -> Any:
            """None are asked for."""

        def version(self) -> str:
            return "1"

        def generate(self, prompt: Any, **_: Any) -> Any:
            return f"clip of {prompt}"

    plain: Any = Plain()
    assert isinstance(plain, Engine)
    assert plain.generate_many(["a", "b"]) == ["clip of a", "clip of b"]
    assert plain.depends_on("a") == plain.facts() == {}
    with pytest.raises(InputError, match="the plain engine can't answer; use --engine omni"):
        plain.answer("a")
    plain.close()


def test_listing_engines_is_light() -> None:
    code = (
        "import sys; from exomni_core.engine import engine_names; engine_names();"
        "sys.exit(bool({'numpy', 'torch', 'exomni_core.clip'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True)
