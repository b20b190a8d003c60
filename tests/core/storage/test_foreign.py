# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate lets in, and what it refuses before it costs time or memory."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from exomni_core.audio import read_audio
from exomni_core.clip import load_clip, save_clip
from exomni_core.errors import ClipError, InputError
from exomni_core.formats.format import Wishes
from exomni_core.formats.npz import read_npz
from exomni_core.omni.config import parse_config
from exomni_core.prompt import read_prompts
from exomni_core.storage.codecs import flac_bytes, samples_from_flac
from exomni_core.storage.foreign import load_json, open_zip, parse_json, read_at_most, read_text
from exomni_core.storage.json_lines import read_json_lines
from exomni_core.storage.npz import read_arrays


@pytest.fixture(params=["pipe", "folder", "device", "link to a device"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Something with a path that is no regular file."""
    path = tmp_path / "foreign"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "device":
        path = Path("/dev/zero")
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize(
    "read", [load_clip, read_arrays, read_json_lines, read_prompts, read_audio]
)
def test_readers_refuse_at_once_what_is_no_regular_file(read, no_file):
    with pytest.raises(InputError, match=r"folder|regular file"):
        read(no_file)


def test_a_link_to_a_file_is_followed_and_a_limit_holds(tmp_path):
    (tmp_path / "real").write_bytes(b"\xef\xbb\xbfa\r\nb\rc")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_text(tmp_path / "link") == "a\nb\nc"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_at_most(tmp_path / "real", 4)


@pytest.mark.parametrize("text", ["[" + "{}," * 2_000_000 + "{}]", "[" * 100_000, '["\ud800'])
def test_json_that_would_fill_the_memory_is_one_sentence(text):
    with pytest.raises(ValueError):
        parse_json(text, input_bytes=100)


def test_json_of_sound_size_is_read_as_it_is(tmp_path):
    data = {"rows": [[0.25] * 52] * 2_000, "text": "ä, [{"}
    (tmp_path / "a.json").write_text(json.dumps(data), encoding="utf-8")
    assert load_json(tmp_path / "a.json") == data


def packed(members: dict[str, bytes]) -> bytes:
    """A zip of them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def test_a_zip_with_too_long_a_list_is_refused():
    data = packed({f"{i:0200d}": b"" for i in range(25_000)})
    with pytest.raises(ValueError, match="list"):
        open_zip(data)


def test_a_clip_whose_json_unpacks_to_much_is_refused(tmp_path, make_clip):
    save_clip(make_clip(), tmp_path / "a.clip")
    with zipfile.ZipFile(tmp_path / "a.clip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    head = members["clip.json"].rstrip()[:-1]
    for filler in (b"{}," * 3_000_000, b" " * (60 << 20)):
        body = head + b',"x":[' + filler + b"0]}"
        (tmp_path / "b.clip").write_bytes(packed(members | {"clip.json": body}))
        with pytest.raises(ClipError, match="MB"):
            load_clip(tmp_path / "b.clip")


def test_silence_that_unpacks_to_much_is_refused():
    data = bytearray(flac_bytes(np.zeros(4_000, np.float32), 48_000))
    claimed = 3600 * 48_000
    data[18:26] = (int.from_bytes(data[18:26], "big") & ~((1 << 36) - 1) | claimed).to_bytes(8)
    with pytest.raises(ValueError, match="too many"):
        samples_from_flac(bytes(data), claimed)


def test_an_npz_that_unpacks_to_much_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", blendshape=np.zeros(50 << 20, np.int8))
    with pytest.raises(InputError, match="MB of memory"):
        read_arrays(tmp_path / "a.npz")


def test_names_that_are_not_utf8_are_one_sentence(tmp_path):
    names = np.array([b"\xff"] * 52)
    np.savez(tmp_path / "a.npz", weights=np.zeros((4, 52)), names=names, fps=30.0)
    with pytest.raises(InputError, match="not UTF-8"):
        read_npz(tmp_path / "a.npz", Wishes())


@pytest.mark.parametrize("header", [b"{'descr': '<U4', (", b"{'descr': '<U1', 'shape': (3,)}\n\n("])
def test_headers_that_numpy_stumbles_over_are_one_sentence(tmp_path, header):
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    (tmp_path / "a.npz").write_bytes(packed({"names.npy": member}))
    with pytest.raises(InputError, match="can't be read as an npz"):
        read_arrays(tmp_path / "a.npz")


def test_letters_that_are_none_are_one_sentence(tmp_path):
    names = np.frombuffer(b"\xff\xff\xff\x7f" * 52, "<U1")
    np.savez(tmp_path / "a.npz", coef=np.zeros((4, 52)), names=names, fps=30.0)
    with pytest.raises(InputError, match="damaged"):
        read_npz(tmp_path / "a.npz", Wishes())


def config(**changes: object) -> dict[str, object]:
    """A small config.json."""
    names = (
        "unit_vocab_size", "speech_encoder_ds_rate", "bs_decoder_dimension", "speech_vocab_size",
        "speech_embed_dim", "num_bs_decoder_layers", "hidden_size", "vocab_size",
    )  # fmt: skip
    return {**dict.fromkeys(names, 8), "nhead": 2, "out_dim": 52, **changes}


@pytest.mark.parametrize("value", [-8, 0, 10**12, "8", [8], True, 1.5, float("nan")])
@pytest.mark.parametrize("name", ["bs_decoder_dimension", "hidden_size", "speech_encoder_ds_rate"])
def test_sizes_of_a_model_that_no_model_has(name, value):
    assert parse_config(config()).stack == 8
    with pytest.raises(InputError, match=name):
        parse_config(config(**{name: value}))
