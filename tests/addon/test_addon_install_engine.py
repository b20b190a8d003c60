# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's environment is made, or nothing of it is left: failures and cancel, without pip."""

import importlib.util
import sys
import time
from pathlib import Path

import pytest

from exomni_core.errors import EnvironmentProblem, InputError

SOURCE = Path(__file__).resolve().parents[2] / "blender_addon" / "install.py"


@pytest.fixture(scope="module")
def install():
    """blender_addon/install.py by itself: it knows no bpy."""
    spec = importlib.util.spec_from_file_location("addon_install", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def python(code):
    return [sys.executable, "-c", code]


def ended(installer):
    installer.wait(30)
    assert not installer.is_busy
    return installer.state


def test_a_real_environment_is_made(install, tmp_path):
    folder = tmp_path / "engine"
    install.check_place(folder, needed=1)
    steps = install.commands(sys.executable, folder, "nothing", tmp_path)[:1]
    steps[0] = [*steps[0][:-1], "--without-pip", steps[0][-1]]  # quick
    installer = install.Installer()
    installer.begin(steps, folder, tmp_path / "log.txt")
    assert ended(installer) == "done", list(installer.lines)
    assert install.python_in(folder).exists()
    assert "-m venv" in (tmp_path / "log.txt").read_text()


def test_only_pinned_packages_are_installed(install, repo, tmp_path):
    pins = repo / "requirements"
    _, step = install.commands(sys.executable, tmp_path / "engine", "THE.whl", pins)
    assert step[0] == str(install.python_in(tmp_path / "engine"))
    assert Path(step[1]).is_file()
    assert step[2:] == ["omni", "--project", "THE.whl"]
    assert {f"{name}.txt" for name in ("base", "omni", "torch", "torch-cpu")} <= {
        path.name for path in pins.iterdir()
    }


def test_failure_is_a_sentence_and_leaves_nothing(install, tmp_path):
    folder = tmp_path / "engine"
    folder.mkdir()
    installer = install.Installer()
    steps = [python("print('fine')"), python("print('ERROR: no such wheel'); raise SystemExit(1)")]
    installer.begin(steps, folder, tmp_path / "log.txt")
    assert ended(installer) == "failed"
    assert "no such wheel" in installer.sentence
    assert not folder.exists()
    installer.begin([["/nowhere/python"]], folder, tmp_path / "log.txt")
    assert ended(installer) == "failed"


def test_cancel_ends_the_process_and_leaves_nothing(install, tmp_path):
    folder = tmp_path / "engine"
    folder.mkdir()
    installer = install.Installer()
    installer.begin([python("import time; time.sleep(60)")], folder, tmp_path / "log.txt")
    with pytest.raises(InputError, match="running already"):
        installer.begin([], folder, tmp_path / "log.txt")
    until = time.monotonic() + 10
    while installer._process is None and time.monotonic() < until:
        time.sleep(0.01)
    started = time.monotonic()
    installer.cancel()
    assert ended(installer) == "cancelled"
    assert time.monotonic() - started < 5
    assert installer._process.poll() is not None
    assert not folder.exists()


def test_bad_places(install, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    with pytest.raises(InputError, match="other things"):
        install.check_place(tmp_path / "photos")
    with pytest.raises(EnvironmentProblem, match="are needed"):
        install.check_place(tmp_path / "new", needed=1 << 60)
    (tmp_path / "file").write_text("x")
    with pytest.raises((InputError, NotADirectoryError)):
        install.check_place(tmp_path / "file" / "engine")
