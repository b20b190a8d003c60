# SPDX-License-Identifier: GPL-3.0-or-later
"""The clip file: exact, the same bytes each time, and only ClipError whatever the file holds."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import soundfile

from exomni_core import clip as clip_module
from exomni_core.arkit import ARKIT_52
from exomni_core.clip import (
    Clip,
    ClipFace,
    Phone,
    Word,
    clip_from_bytes,
    clip_to_bytes,
    frame_count,
    load_clip,
    load_face,
    save_clip,
)
from exomni_core.errors import ClipError, InputError


def one_sentence(error: BaseException) -> bool:
    return isinstance(error, ClipError) and 10 < len(str(error)) < 400 and "\n" not in str(error)


def unzip(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezip(members: dict[str, bytes], *, fix_hashes: bool = True, packed: int = 0) -> bytes:
    """A zip of changed members; the header's hashes are made right unless told otherwise."""
    if fix_hashes:
        header = json.loads(members["clip.json"])
        header["sha256"] = {
            name: hashlib.sha256(members[name]).hexdigest()
            for name in ("audio.flac", "weights.npy")
        }
        members = members | {"clip.json": json.dumps(header).encode()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def npy(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def flac(samples, rate: int = 16_000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


class TestExactness:
    def test_everything_comes_back(self, make_clip, tmp_path):
        clip = make_clip()
        digest = save_clip(clip, tmp_path / "a.clip")
        assert digest == hashlib.sha256((tmp_path / "a.clip").read_bytes()).hexdigest()
        back = load_clip(tmp_path / "a.clip")
        assert np.array_equal(back.weights, clip.weights)
        assert np.array_equal(back.audio, clip.audio)
        for name in (
            "sample_rate_hz",
            "fps",
            "words",
            "phones",
            "text",
            "language",
            "engine",
            "seed",
            "route",
            "confidence",
            "channels",
        ):
            assert getattr(back, name) == getattr(clip, name), name
        assert dict(back.prompt) == dict(clip.prompt)
        assert dict(back.provenance) == dict(clip.provenance)

    def test_equal_clips_have_equal_bytes(self, make_clip):
        one = make_clip(fps=30, confidence=1, words=(Word("a", 0, 1),))
        two = make_clip(fps=30.0, confidence=1.0, words=[Word("a", 0.0, 1.0)])
        assert clip_to_bytes(one) == clip_to_bytes(two)
        assert clip_to_bytes(clip_from_bytes(clip_to_bytes(one))) == clip_to_bytes(one)

    def test_minus_zero_is_zero(self, make_clip):
        plus, minus = np.zeros((30, 52), np.float32), np.full((30, 52), -0.0, np.float32)
        assert clip_to_bytes(make_clip(weights=plus)) == clip_to_bytes(make_clip(weights=minus))

    @pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_099, 44_100, 48_000,
                                      65_535, 96_000, 192_000])  # fmt: skip
    def test_16_bit_sound_is_exact_at_any_rate(self, make_clip, rate):
        steps = np.random.default_rng(rate).integers(-32768, 32768, rate // 4)
        audio = (steps / 32768).astype(np.float32)
        clip = make_clip(audio=audio, rate_hz=rate, weights=np.zeros((8, 52)))
        data = clip_to_bytes(clip)
        back = clip_from_bytes(data)
        assert np.array_equal(back.audio, audio)
        assert back.sample_rate_hz == rate
        assert soundfile.info(io.BytesIO(unzip(data)["audio.flac"])).subtype == "PCM_16"

    def test_finer_sound_is_kept_at_24_bits(self, make_clip):
        audio = np.random.default_rng(0).uniform(-1, 1, 16_000).astype(np.float32)
        audio[:2] = 1.0, -1.0
        back = clip_from_bytes(clip_to_bytes(make_clip(audio=audio)))
        assert np.abs(back.audio - audio).max() <= 1 / 2**23
        assert back.audio[0] > 1 - 1 / 2**22  # a 16-bit file would fall short by 1/32768

    def test_full_scale_takes_24_bits_where_16_would_fall_short(self, make_clip, tone):
        tone[0] = 1.0  # one step above what 16 bits can say
        back = clip_from_bytes(clip_to_bytes(make_clip(audio=tone)))
        assert back.audio[0] > 1 - 1 / 2**22
        assert np.array_equal(back.audio[1:], tone[1:])

    def test_arrays_are_frozen_copies(self, make_clip, tone):
        clip = make_clip(audio=tone)
        tone[:] = 0
        assert clip.audio.any()
        with pytest.raises(ValueError, match="read-only"):
            clip.weights[0, 0] = 1

    def test_odd_layouts_are_taken(self, make_clip):
        weights = np.random.default_rng(0).random((52, 60)).T[::2]  # strided, float64
        assert np.array_equal(make_clip(weights=weights).weights, weights.astype(np.float32))

    @pytest.mark.parametrize("meta", ["\u2028", "\x01", "😀", '"\\', "长" * 1000])
    def test_odd_texts_survive(self, make_clip, meta):
        clip = make_clip(text=meta, prompt={"meta": {meta: meta}})
        back = clip_from_bytes(clip_to_bytes(clip))
        assert back.text == meta
        assert dict(back.prompt) == {"meta": {meta: meta}}


class TestFace:
    def test_load_face_gives_the_same_face(self, make_clip, tmp_path):
        clip = make_clip(duration_s=1.25, rate_hz=22_050)
        save_clip(clip, tmp_path / "a.clip")
        face = load_face(tmp_path / "a.clip")
        assert isinstance(face, ClipFace)
        assert np.array_equal(face.weights, clip.weights)
        assert face.fps == clip.fps
        assert face.duration_s == clip.duration_s
        samples, rate = soundfile.read(io.BytesIO(face.flac), dtype="float32")
        assert rate == 22_050
        assert np.array_equal(samples, clip.audio)

    def test_channel_by_name(self, make_clip):
        clip = make_clip()
        assert np.array_equal(clip.channel("jawOpen"), clip.weights[:, ARKIT_52.index("jawOpen")])
        with pytest.raises(ClipError, match="no channel 'jaw'"):
            clip.channel("jaw")

    @pytest.mark.parametrize(
        ("duration_s", "fps", "frames"),
        [(1.0, 30, 30), (1.001, 30, 31), (0.0, 30, 1), (10.0, 30 / 1.001, 300), (2.0, 24, 48)],
    )
    def test_frame_count_covers_the_sound(self, duration_s, fps, frames):
        assert frame_count(duration_s, fps) == frames


class TestContract:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"audio": np.zeros((10, 2))}, "mono"),
            ({"audio": []}, "mono and not empty"),
            ({"audio": np.full(16000, np.nan)}, "finite"),
            ({"audio": np.full(16000, 1.01)}, r"\[-1, 1\]"),
            ({"audio": np.full(16000, 1e300)}, "finite"),
            ({"audio": ["a"] * 16000}, "arrays of numbers"),
            ({"audio": [[1.0], [1.0, 2.0]]}, "arrays of numbers"),
            ({"audio": None}, "arrays of numbers"),
            ({"audio": np.zeros(16000, complex)}, "arrays of numbers"),
            ({"sample_rate_hz": 16000.0}, "sample rate"),
            ({"sample_rate_hz": 0}, "sample rate"),
            ({"sample_rate_hz": True}, "sample rate"),
            ({"sample_rate_hz": 10**30}, "sample rate"),
            ({"sample_rate_hz": 65_537}, "sample rate"),  # FLAC has no way to say it
            ({"weights": np.zeros((30, 51))}, r"\(frames, 52\)"),
            ({"weights": np.zeros((0, 52))}, r"\(frames, 52\)"),
            ({"weights": np.full((30, 52), 1.1)}, r"\[0, 1\]"),
            ({"weights": np.full((30, 52), -0.1)}, r"\[0, 1\]"),
            ({"weights": np.full((30, 52), np.nan)}, "finite"),
            ({"weights": np.zeros((60, 52))}, "differ"),
            ({"fps": 0}, "fps"),
            ({"fps": -30.0}, "fps"),
            ({"fps": float("nan")}, "fps"),
            ({"fps": float("inf")}, "fps"),
            ({"fps": "30"}, "fps"),
            ({"fps": 10**400}, "fps"),
            ({"fps": True}, "fps"),
            ({"fps": None}, "fps"),
            ({"confidence": 1.5}, "confidence"),
            ({"confidence": None}, "confidence"),
            ({"seed": -1}, "seed"),
            ({"seed": 1.0}, "seed"),
            ({"seed": True}, "seed"),
            ({"text": None}, "text must be a text"),
            ({"engine": 3}, "engine must be a text"),
            ({"prompt": None}, "prompt must be a mapping"),
            ({"prompt": [1]}, "prompt must be a mapping"),
            ({"provenance": "x"}, "provenance must be a mapping"),
            ({"channels": ARKIT_52[::-1]}, "ARKIT_52 order"),
            ({"channels": 52}, "ARKIT_52 order"),
            ({"words": None}, "tuple of Word"),
            ({"words": ("a",)}, "tuple of Word"),
            ({"phones": (Word("a", 0.0, 0.1),)}, "tuple of Phone"),
            ({"words": (Word("a", 0.5, 0.4),)}, "ascend"),
            ({"words": (Word("a", 0.5, 0.6), Word("b", 0.1, 0.2))}, "ascend"),
            ({"words": (Word("a", float("nan"), 0.4),)}, "start of 'a'"),
            ({"words": (Word("a", 0.0, "1"),)}, "end of 'a'"),
            ({"words": (Word(3, 0.0, 1.0),)}, "no text"),
            ({"phones": (Phone("a", 0.0, 10**400),)}, "end of 'a'"),
        ],
    )
    def test_broken_promises(self, make_clip, changes, words):
        with pytest.raises(ClipError, match=words) as caught:
            make_clip(**changes)
        assert one_sentence(caught.value)

    @pytest.mark.parametrize(
        "prompt",
        [{"x": float("nan")}, {"x": {1, 2}}, {"x": b"a"}, {"x": "\ud800"}, {"x": np.float32(1)}],
    )
    def test_data_that_json_cannot_hold(self, make_clip, prompt):
        with pytest.raises(ClipError, match="plain JSON") as caught:
            clip_to_bytes(make_clip(prompt=prompt))
        assert one_sentence(caught.value)

    def test_endless_prompt(self, make_clip):
        loop: dict = {}
        loop["x"] = loop
        with pytest.raises(ClipError, match="plain JSON"):
            clip_to_bytes(make_clip(prompt=loop))


@pytest.fixture
def data(make_clip) -> bytes:
    return clip_to_bytes(make_clip(duration_s=0.2, rate_hz=8_000))


def same(one: Clip, other: Clip) -> bool:
    return np.array_equal(one.audio, other.audio) and np.array_equal(one.weights, other.weights)


class TestDamage:
    def test_cut_at_every_percent(self, data, tmp_path):
        path = tmp_path / "cut.clip"
        for percent in range(100):
            cut = data[: len(data) * percent // 100]
            path.write_bytes(cut)
            for read in (lambda c=cut: clip_from_bytes(c), lambda: load_face(path)):
                with pytest.raises(ClipError) as caught:
                    read()
                assert one_sentence(caught.value)

    def test_flipped_bytes_never_pass_unseen(self, data, tmp_path):
        whole, rng = clip_from_bytes(data), np.random.default_rng(1)
        path, errors = tmp_path / "flip.clip", []
        ends = [*range(400), *range(len(data) - 400, len(data))]  # where the zip keeps its lists
        for place in [*ends, *rng.integers(0, len(data), 400).tolist()]:
            broken = bytearray(data)
            broken[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(broken)
            try:
                clip = clip_from_bytes(bytes(broken))
                face = load_face(path)
            except ClipError as error:
                errors.append(error)
            else:  # a date or a permission changed: nothing that we use
                assert same(clip, whole)
                assert clip.text == whole.text
                assert np.array_equal(face.weights, whole.weights)
        assert len(errors) > 400
        assert all(one_sentence(error) for error in errors)

    @pytest.mark.parametrize("size", [0, 1, 22, 1000, 70_000])
    def test_noise_is_no_clip(self, size):
        with pytest.raises(ClipError):
            clip_from_bytes(np.random.default_rng(size).bytes(size))

    def test_missing_folder_and_nul(self, tmp_path):
        for path in (tmp_path / "none.clip", tmp_path, tmp_path / "a\0b"):
            for read in (load_clip, load_face):
                with pytest.raises(ClipError, match="can't be read") as caught:
                    read(path)
                assert isinstance(caught.value, InputError)

    @pytest.mark.parametrize("name", ["clip.json", "audio.flac", "weights.npy"])
    def test_a_lost_member_is_named(self, data, name):
        members = unzip(data)
        del members[name]
        with pytest.raises(ClipError, match=name):
            clip_from_bytes(rezip(members, fix_hashes=False))

    def test_swapped_member_is_noticed(self, data):
        members = unzip(data) | {"audio.flac": flac(np.zeros(1600))}
        with pytest.raises(ClipError, match=r"audio\.flac is not what was saved"):
            clip_from_bytes(rezip(members, fix_hashes=False))

    @pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_unknown_packing(self, data, packed):
        with pytest.raises(ClipError, match="packed"):
            clip_from_bytes(rezip(unzip(data), packed=packed))

    def test_a_repacked_clip_still_opens(self, data):
        again = clip_from_bytes(rezip(unzip(data), packed=zipfile.ZIP_DEFLATED))
        assert same(again, clip_from_bytes(data))

    def test_zip_bomb(self, data, monkeypatch):
        monkeypatch.setitem(clip_module._MAX_MEMBER_BYTES, "weights.npy", 1 << 16)
        bomb = unzip(data) | {"weights.npy": bytes(1 << 22)}
        packed = bytearray(rezip(bomb, packed=zipfile.ZIP_DEFLATED))
        assert len(packed) < 1 << 15
        with pytest.raises(ClipError, match="oversized"):
            clip_from_bytes(bytes(packed))
        # The same with a lie in both lists: 1000 bytes instead of four million.
        size = (1 << 22).to_bytes(4, "little")
        assert packed.count(size) == 2
        lying = bytes(packed).replace(size, (1000).to_bytes(4, "little"))
        with pytest.raises(ClipError):
            clip_from_bytes(lying)


class TestMembers:
    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.zeros((6, 52), object), "plain numbers"),
            (np.zeros((6, 52), complex), "plain numbers"),
            (np.zeros((6, 52), "U3"), "plain numbers"),
            (np.zeros((6, 52), bool), "plain numbers"),
            (np.zeros(6, [("a", "f4")]), "plain numbers"),
            (np.zeros((6, 51), np.float32), "52"),
            (np.zeros((52, 6), np.float32), "52"),
            (np.zeros((2, 3, 52), np.float32), "52"),
            (np.zeros((0, 52), np.float32), "52"),
            (np.float32(1), "52"),
            (np.full((6, 52), 2.0), "finite and lie"),
            (np.full((6, 52), np.nan), "finite and lie"),
        ],
    )
    def test_wrong_weights(self, data, array, words, tmp_path):
        broken = rezip(unzip(data) | {"weights.npy": npy(array)})
        (tmp_path / "a.clip").write_bytes(broken)
        for read in (lambda: clip_from_bytes(broken), lambda: load_face(tmp_path / "a.clip")):
            with pytest.raises(ClipError, match=words) as caught:
                read()
            assert one_sentence(caught.value)

    def test_other_number_types_and_orders_are_fine(self, data):
        ones = np.asfortranarray(np.ones((6, 52), ">f8"))
        assert (clip_from_bytes(rezip(unzip(data) | {"weights.npy": npy(ones)})).weights == 1).all()

    def test_a_pickle_is_never_opened(self, data, tmp_path):
        class Trap:
            def __reduce__(self):
                return (open, (str(tmp_path / "sprung"), "w"))

        for evil in (npy(np.array([Trap()] * 3, object)), pickle.dumps(Trap())):
            with pytest.raises(ClipError):
                clip_from_bytes(rezip(unzip(data) | {"weights.npy": evil}))
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(
        "header",
        [
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000000000000, 52), }",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (-6, 52), }",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (6.0, 52), }",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 52), }",
            b"{'descr': '<f4', 'shape': (6, 52), }",
            b"{'descr': '<f9', 'fortran_order': False, 'shape': (6, 52), }",
            b"{'descr': ['<f4'], 'fortran_order': False, 'shape': (6, 52), }",
            b"__import__('os').getcwd()",
            b"(" * 9000,
            b"'" * 3,
            b"\xff\xfe\0",
            b"",
        ],
    )
    def test_lying_npy_headers(self, data, header):
        body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(6 * 52 * 4)
        with pytest.raises(ClipError) as caught:
            clip_from_bytes(rezip(unzip(data) | {"weights.npy": body}))
        assert one_sentence(caught.value)

    @pytest.mark.parametrize(
        ("sound", "words"),
        [
            (flac(np.zeros((1600, 4)), 8000), "4 channels"),
            (flac(np.zeros(1600), 8000)[:60], "audio"),
            (flac(np.zeros(1600), 16_000), "16000 Hz, not 8000"),
            (b"RIFF" + bytes(100), "not FLAC"),
            (b"fLaC", "not FLAC"),
        ],
    )
    def test_wrong_sound(self, data, sound, words):
        with pytest.raises(ClipError, match=words) as caught:
            clip_from_bytes(rezip(unzip(data) | {"audio.flac": sound}))
        assert one_sentence(caught.value)

    def test_a_flac_that_promises_hours(self, data):
        sound = bytearray(flac(np.zeros(1600), 8000))
        sound[21] |= 0x0F  # the top of the 36 bits that count samples
        with pytest.raises(ClipError, match="samples"):
            clip_from_bytes(rezip(unzip(data) | {"audio.flac": bytes(sound)}))


class TestHeader:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"schema_version": 2}, "newer version.*update"),
            ({"schema_version": 0}, "no schema_version"),
            ({"schema_version": True}, "no schema_version"),
            ({"schema_version": "1"}, "no schema_version"),
            ({"schema_version": None}, "no schema_version"),
            ({"fps": "30"}, "fps"),
            ({"fps": None}, "fps"),
            ({"fps": 10**400}, "fps"),
            ({"fps": [30]}, "fps"),
            ({"seed": "0"}, "seed"),
            ({"seed": 1.5}, "seed"),
            ({"text": 5}, "text"),
            ({"prompt": "x"}, "prompt"),
            ({"prompt": None}, "prompt"),
            ({"provenance": [1]}, "provenance"),
            ({"confidence": "1"}, "confidence"),
            ({"sample_rate_hz": "8000"}, "8000"),
            ({"channels": None}, "52 names"),
            ({"channels": 52}, "52 names"),
            ({"channels": list(ARKIT_52[:51])}, "52 names"),
            ({"channels": [[1]] * 52}, "52 names"),
            ({"words": None}, "row"),
            ({"words": {}}, "row"),
            ({"words": ["a"]}, "row"),
            ({"words": [{}]}, "row"),
            ({"words": [{"text": "a", "start_s": 0.0}]}, "row"),
            ({"words": [{"text": "a", "start_s": 0.0, "end_s": 1.0, "x": 1}]}, "row"),
            ({"words": [{"text": "a", "start_s": "0", "end_s": 1.0}]}, "start of 'a'"),
            ({"words": [{"text": None, "start_s": 0.0, "end_s": 1.0}]}, "no text"),
            ({"phones": [{"text": "a", "start_s": 0.0, "end_s": 1.0}]}, "row"),
            ({"phones": [{"symbol": "a", "start_s": 2.0, "end_s": 1.0}]}, "ascend"),
            ({"sha256": "x"}, "hashes"),
            ({"sha256": None}, "hashes"),
            ({"sha256": {"audio.flac": 5}}, "not what was saved"),
        ],
    )
    def test_wrong_fields(self, data, changes, words):
        members = unzip(data)
        header = json.loads(members["clip.json"]) | changes
        broken = rezip(members | {"clip.json": json.dumps(header).encode()}, fix_hashes=False)
        with pytest.raises(ClipError, match=words) as caught:
            clip_from_bytes(broken, where="x.clip")
        assert one_sentence(caught.value)
        assert "x.clip" in str(caught.value)

    def test_each_missing_field_is_named(self, data):
        members = unzip(data)
        header = json.loads(members["clip.json"])
        for name in set(header) - {"samples", "frames", "schema_version"}:
            less = {key: value for key, value in header.items() if key != name}
            broken = rezip(members | {"clip.json": json.dumps(less).encode()}, fix_hashes=False)
            with pytest.raises(ClipError, match=name):
                clip_from_bytes(broken)

    @pytest.mark.parametrize(
        "raw",
        [b"", b"[]", b"null", b"{", b"[" * 100_000, b"\xff\xfe{}", b'{"schema_version": NaN}',
         b'{"schema_version": 1, "x": ' + b"9" * 5000 + b"}", b'"\\ud800"'],
    )  # fmt: skip
    def test_broken_json(self, data, raw):
        with pytest.raises(ClipError) as caught:
            clip_from_bytes(rezip(unzip(data) | {"clip.json": raw}, fix_hashes=False))
        assert one_sentence(caught.value)

    def test_nan_in_the_prompt(self, data):
        members = unzip(data)
        raw = members["clip.json"].replace(b'"id": "one"', b'"id": NaN')
        assert raw != members["clip.json"]
        with pytest.raises(ClipError, match="NaN"):
            clip_from_bytes(rezip(members | {"clip.json": raw}, fix_hashes=False))

    def test_extra_fields_of_a_later_minor_writer_are_ignored(self, data):
        members = unzip(data)
        header = json.loads(members["clip.json"]) | {"colour": "blue"}
        later = clip_from_bytes(rezip(members | {"clip.json": json.dumps(header).encode()}))
        assert same(later, clip_from_bytes(data))
