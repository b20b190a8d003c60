# SPDX-License-Identifier: GPL-3.0-or-later
"""Other tools' face files: by name, exact there and back, one sentence for each broken one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52
from exomni_core.audio import read_audio, write_wav
from exomni_core.clip import load_clip, save_clip
from exomni_core.errors import ClipError, InputError
from exomni_core.formats.convert import convert, read_face, write_face
from exomni_core.formats.face_track import FaceTrack
from exomni_core.formats.format import Format, endings, format_of, known_formats, readable

RATES = [12.5, 24 / 1.001, 24, 25, 30 / 1.001, 30, 50, 60 / 1.001, 60, 120]
JAW = CHANNEL_INDEX["jawOpen"]


@pytest.fixture
def weights():
    table = np.random.default_rng(0).random((150, 52)).astype(np.float32)
    table[0, :4] = 0.0, 1.0, 1e-7, 0.1  # ends, tiny, and one that float32 can't hold evenly
    return table


def pascal(name: str) -> str:
    return name[0].upper() + name[1:]


def refused(path, words, **options):
    with pytest.raises(InputError, match=words) as caught:
        read_face(path, **options)
    message = str(caught.value)
    assert str(path.with_suffix(""))[-8:] in message
    assert "\n" not in message
    assert len(message) < 2 * len(str(path)) + 250
    return message


class TestThereAndBack:
    @pytest.mark.parametrize("fps", RATES)
    @pytest.mark.parametrize("ending", ["json", "csv", "npy"])
    def test_exact_at_every_rate(self, tmp_path, weights, ending, fps):
        path = tmp_path / f"ü 世界.{ending}"
        write_face(path, weights, fps)
        track = read_face(path)
        assert track.fps == pytest.approx(fps, rel=1e-9)
        assert np.array_equal(track.weights, weights)
        assert track.weights.dtype == np.float32
        assert track.missing == ()

    @pytest.mark.parametrize("ending", ["json", "csv", "npy"])
    def test_values_outside_the_range_are_kept(self, tmp_path, weights, ending):
        weights[3, JAW], weights[4, JAW] = -0.25, 1.5
        write_face(tmp_path / f"a.{ending}", weights, 30)
        assert np.array_equal(read_face(tmp_path / f"a.{ending}").weights, weights)

    @pytest.mark.parametrize("ending", ["json", "csv", "npy"])
    def test_no_temporary_files_stay(self, tmp_path, weights, ending):
        write_face(tmp_path / f"a.{ending}", weights, 30)
        write_face(tmp_path / f"a.{ending}", weights[:5], 30)
        names = sorted(p.name for p in tmp_path.iterdir())
        assert names == (["a.names.json", "a.npy"] if ending == "npy" else [f"a.{ending}"])

    def test_a_short_csv_needs_its_rate(self, tmp_path, weights):
        write_face(tmp_path / "a.csv", weights[:20], 25)
        with pytest.raises(InputError, match="shorter than a second") as caught:
            read_face(tmp_path / "a.csv")
        assert caught.value.field == "fps"
        track = read_face(tmp_path / "a.csv", fps=25)
        assert np.array_equal(track.weights, weights[:20])

    def test_a_given_rate_wins(self, tmp_path, weights):
        for ending in ("json", "npy"):
            write_face(tmp_path / f"a.{ending}", weights, 30)
            assert read_face(tmp_path / f"a.{ending}", fps=60).fps == 60

    def test_what_is_written_is_checked(self, tmp_path, weights):
        for table, fps in ((weights[:, :51], 30), (weights[:0], 30), (weights * np.nan, 30),
                           (weights, 0), (weights, 1e9), (weights, float("nan"))):  # fmt: skip
            with pytest.raises(InputError):
                write_face(tmp_path / "a.json", table, fps)
        for name in ("a.clip", "a.txt", "a"):
            with pytest.raises(InputError, match="can't be written"):
                write_face(tmp_path / name, weights, 30)
        assert list(tmp_path.iterdir()) == []


GOOD_JSON = {"exportFps": 30, "facsNames": ["jawOpen", "mouthClose"], "weightMat": [[0, 0.5]] * 2}


class TestAudio2Face:
    def test_the_file_is_as_others_expect(self, tmp_path, weights):
        write_face(tmp_path / "a.json", weights, 30)
        data = json.loads((tmp_path / "a.json").read_text())
        assert list(data) == [
            "exportFps", "trackPath", "numPoses", "numFrames", "facsNames", "weightMat",
        ]  # fmt: skip
        assert data["exportFps"] == 30
        assert (data["numPoses"], data["numFrames"]) == (52, 150)
        assert data["facsNames"][JAW] == "jawOpen"

    def test_old_exports_with_46_poses(self, tmp_path):
        data = {"exportFps": 60, "facsNames": list(ARKIT_52[:46]), "weightMat": [[0.5] * 46] * 3,
                "numPoses": 46, "numFrames": 3, "joints": [], "rotations": []}  # fmt: skip
        (tmp_path / "a.json").write_text(json.dumps(data))
        track = read_face(tmp_path / "a.json")
        assert track.missing == ARKIT_52[46:]
        assert track.fps == 60

    def test_columns_go_by_name(self, tmp_path):
        names = ["_neutral", "mouthSmile_L", "JawOpen", "TongueTipUp", "HeadYaw"]
        data = {"exportFps": 30, "facsNames": names, "weightMat": [[9, 0.1, 0.2, 9, 9]]}
        (tmp_path / "a.json").write_text(json.dumps(data))
        track = read_face(tmp_path / "a.json")
        assert track.weights[0, JAW] == np.float32(0.2)
        assert track.weights[0, CHANNEL_INDEX["mouthSmileLeft"]] == np.float32(0.1)
        assert track.ignored == ("_neutral", "TongueTipUp", "HeadYaw")
        assert len(track.missing) == 50
        assert track.weights.max() == np.float32(0.2)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"facsNames": None}, "facsNames or weightMat is missing"),
            ({"weightMat": {}}, "facsNames or weightMat is missing"),
            ({"weightMat": []}, "no frames"),
            ({"weightMat": [[0]]}, "ragged: frame 0"),
            ({"weightMat": [[0, 1], [0, 1, 2]]}, "ragged: frame 1"),
            ({"weightMat": [[0, 1], 5]}, "ragged: frame 1"),
            ({"weightMat": [[0, "0.5"]]}, "frame 0 that is no number"),
            ({"weightMat": [[0, None]]}, "no number"),
            ({"weightMat": [[0, True]]}, "no number"),
            ({"weightMat": [[0, [1]]]}, "no number"),
            ({"weightMat": [[0, float("nan")]]}, "mouthClose in frame 0"),
            ({"weightMat": [[0, 1], [float("inf"), 0]]}, "jawOpen in frame 1"),
            ({"weightMat": [[0, 1e300]]}, "mouthClose in frame 0"),
            ({"weightMat": [[0, 10**400]]}, "table of numbers"),
            ({"facsNames": ["jawOpen", "JawOpen"]}, "stands twice"),
            ({"facsNames": ["jawOpen", "smirk"]}, "'smirk'"),
            ({"facsNames": ["jawOpen", 7]}, "of type int"),
            ({"facsNames": ["HeadYaw", "HeadRoll"]}, "none of ARKit's"),
            ({"numPoses": 52}, "numPoses 52 but holds 2"),
            ({"numFrames": 3}, "numFrames 3 but holds 2"),
            ({"numFrames": "many"}, "numFrames"),
            ({"exportFps": 0}, "0 as frames per second"),
            ({"exportFps": -30}, "-30 as frames"),
            ({"exportFps": 100_000}, "100000 as frames"),
            ({"exportFps": "fast"}, "'fast' as frames"),
            ({"exportFps": None}, "no number"),
            ({"exportFps": True}, "no number"),
            ({"exportFps": float("nan")}, "nan"),
            ({"exportFps": 10**400}, "no number"),
        ],
    )
    def test_broken_files(self, tmp_path, changes, words):
        (tmp_path / "face.json").write_text(json.dumps(GOOD_JSON | changes))
        refused(tmp_path / "face.json", words)

    @pytest.mark.parametrize(
        ("raw", "words"),
        [
            (b"", "is empty"),
            (b" \n", "is empty"),
            (b"{", "broken JSON .*line 1"),
            (b'{"a": 1,\n}', "broken JSON .*line 2"),
            (b"[]", "JSON object"),
            (b"[" * 100_000, "no usable JSON"),
            (b'{"exportFps": ' + b"9" * 5_000 + b"}", "no usable JSON"),
            (b"\xff\xfe{}", "not UTF-8"),
            (b"PK\x03\x04\0\0", "broken JSON"),
        ],
        ids=lambda v: repr(v)[:20],
    )
    def test_broken_json(self, tmp_path, raw, words):
        (tmp_path / "face.json").write_bytes(raw)
        refused(tmp_path / "face.json", words)

    def test_bom(self, tmp_path):
        (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD_JSON).encode())
        assert read_face(tmp_path / "a.json").fps == 30


def live_link(times: list[str], names=LIVE_LINK_52, rotations: int = 9, values=None) -> str:
    """A take as the app writes it; the value of every cell of row k is k / 1000."""
    turns = ["HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll",
             "RightEyeYaw", "RightEyePitch", "RightEyeRoll"][:rotations]  # fmt: skip
    lines = [",".join(["Timecode", "BlendshapeCount", *map(pascal, names), *turns])]
    for k, moment in enumerate(times):
        value = k / 1000 if values is None else values[k]
        cells = [str(value)] * len(names) + ["-0.3"] * rotations
        lines.append(",".join([moment, str(len(names) + rotations), *cells]))
    return "\n".join(lines) + "\n"


def clock(count: int, fps: float, per_second: int, start_s: float = 0.0, jitter=None) -> list[str]:
    times = []
    for k in range(count):
        moment = start_s + k / fps + (jitter[k] if jitter is not None else 0.0)
        ticks = round(moment * per_second * 1000)
        seconds, ticks = divmod(ticks, per_second * 1000)
        hours, minutes = seconds // 3600 % 24, seconds // 60 % 60
        times.append(
            f"{hours:02}:{minutes:02}:{seconds % 60:02}:{ticks // 1000:02}.{ticks % 1000:03}"
        )
    return times


class TestLiveLink:
    def read(self, tmp_path, text: str, **options) -> FaceTrack:
        (tmp_path / "take.csv").write_text(text)
        return read_face(tmp_path / "take.csv", **options)

    def test_the_file_is_as_the_app_writes_it(self, tmp_path, weights):
        write_face(tmp_path / "a.csv", weights, 30)
        lines = (tmp_path / "a.csv").read_text().splitlines()
        header = lines[0].split(",")
        assert header[:4] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
        assert header[-9:-7] == ["HeadYaw", "HeadPitch"]
        assert len(header) == 2 + 61
        assert header.index("JawRight") < header.index("JawLeft")
        first, last = lines[1].split(","), lines[150].split(",")
        assert first[:2] == ["00:00:00:00.000", "61"]
        assert last[0] == "00:00:04:29.000"
        assert float(first[header.index("JawOpen")]) == pytest.approx(weights[0, JAW], abs=1e-6)
        assert set(first[-9:]) == {"0"}
        assert "e" not in "".join(lines[1:])  # no exponents, which some readers choke on

    @pytest.mark.parametrize(("names", "rotations"), [(LIVE_LINK_52, 9), (LIVE_LINK_52, 0),
                                                      (LIVE_LINK_52[:51], 0)])  # fmt: skip
    def test_61_52_and_51_columns(self, tmp_path, names, rotations):
        track = self.read(tmp_path, live_link(clock(90, 60, 60), names, rotations))
        assert track.fps == 60
        assert track.missing == (() if len(names) == 52 else ("tongueOut",))
        assert len(track.ignored) == rotations
        assert track.weights[50, JAW] == np.float32(0.05)

    @pytest.mark.parametrize(
        ("fps", "per_second"),
        [(30, 30), (60, 60), (60, 30), (30, 60), (24, 24), (25, 25), (30 / 1.001, 30), (15, 60)],
    )
    @pytest.mark.parametrize("start_s", [0.0, 50_000.37, 86_399.0])
    def test_the_rate_is_found(self, tmp_path, fps, per_second, start_s):
        track = self.read(tmp_path, live_link(clock(200, fps, per_second, start_s)))
        assert track.fps == pytest.approx(fps, rel=1e-9)
        assert len(track.weights) == 200

    def test_whole_frames_without_subframes(self, tmp_path):
        times = [t.partition(".")[0] for t in clock(100, 25, 25)]
        assert self.read(tmp_path, live_link(times)).fps == 25

    def test_jitter_is_put_on_an_even_clock(self, tmp_path):
        jitter = np.random.default_rng(0).uniform(-0.004, 0.004, 300)
        jitter[0] = 0
        values = (np.arange(300) / 60 + jitter).tolist()  # the value is the time
        track = self.read(tmp_path, live_link(clock(300, 60, 60, 1.0, jitter), values=values))
        assert track.fps == 60
        even = np.arange(len(track.weights)) / track.fps
        assert np.abs(track.weights[5:-5, JAW] - even[5:-5]).max() < 2e-3

    def test_dropped_frames_are_filled(self, tmp_path):
        times = clock(180, 60, 60)
        kept = [k for k in range(180) if k % 37 != 20]
        text = live_link([times[k] for k in kept], values=[k / 180 for k in kept])
        track = self.read(tmp_path, text)
        assert track.fps == 60
        assert np.abs(track.weights[:, JAW] - np.arange(180) / 180).max() < 1e-3

    def test_midnight(self, tmp_path):
        track = self.read(tmp_path, live_link(clock(120, 30, 30, 86_398.0)))
        assert (track.fps, len(track.weights)) == (30, 120)

    def test_audio2face_csv_with_seconds(self, tmp_path):
        rows = [",timeCode," + ",".join("blendShapes." + pascal(n) for n in ARKIT_52)]
        rows += [f"{k},{k / 30},{','.join(['0.25'] * 52)}" for k in range(10)]
        track = self.read(tmp_path, "\n".join(rows))
        assert track.fps == 30
        assert track.missing == ()
        assert (track.weights == 0.25).all()

    def test_without_times_the_rate_must_be_given(self, tmp_path):
        text = "jawOpen\n0.1\n0.2\n"
        with pytest.raises(InputError, match="no Timecode column"):
            self.read(tmp_path, text)
        assert self.read(tmp_path, text, fps=24).fps == 24

    def test_one_frame(self, tmp_path):
        assert len(self.read(tmp_path, live_link(["00:00:00:00.000"]), fps=30).weights) == 1

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda t: "", "is empty"),
            (lambda t: t.partition("\n")[0], "no frames"),
            (lambda t: t.replace("JawOpen", "JawOpened"), "'JawOpened'"),
            (lambda t: t.replace("JawOpen", "JawLeft"), "stands twice"),
            (lambda t: t.replace("0.007", "x", 1), "'x' for EyeBlinkLeft in frame 7"),
            (lambda t: t.replace("0.007", "nan", 1), "'nan' for EyeBlinkLeft in frame 7"),
            (lambda t: t.replace("0.007", "inf", 1), "'inf'"),
            (lambda t: t.replace("0.007", "1e99", 1), "frame 7"),
            (lambda t: t.replace("0.007", "", 1), "'' for EyeBlinkLeft"),
            (lambda t: t.replace("0.007,", "", 1), "ragged: frame 7"),
            (lambda t: t.replace("0.007,", "0.007,0,", 1), "ragged: frame 7"),
            (lambda t: t.replace("00:00:00:07.000", "soon"), "timecode 'soon' in frame 7"),
            (lambda t: t.replace("00:00:00:07.000", "00:00:00:06.000"), "frame 7 is not later"),
            (lambda t: t.replace("00:00:00:07.000", "00:00:00:03.500"), "frame 7 is not later"),
            (lambda t: t.replace("00:00:01:00.000", "20:00:01:00.000"), "gaps|later|per second"),
            (lambda t: t.replace("0.007", '"0.007', 1), "CSV|ragged"),
            (lambda t: t.replace("0.007", "\0", 1), "a number is needed|CSV"),
        ],
        ids=lambda v: v if isinstance(v, str) else "",
    )
    def test_broken_files(self, tmp_path, change, words):
        (tmp_path / "take.csv").write_text(change(live_link(clock(60, 30, 30))))
        refused(tmp_path / "take.csv", words)

    def test_not_text(self, tmp_path):
        (tmp_path / "take.csv").write_bytes(np.random.default_rng(0).bytes(2_000))
        refused(tmp_path / "take.csv", "not UTF-8")


class TestNpy:
    def test_an_unnamed_array_is_refused(self, tmp_path, weights):
        np.save(tmp_path / "face.npy", weights)
        message = refused(tmp_path / "face.npy", "52 columns without names")
        assert 'face.names.json beside it with {"names"' in message

    @pytest.mark.parametrize(
        ("sidecar", "words"),
        [
            ("{", "broken JSON"),
            ("[]", "JSON object"),
            ('{"fps": 30}', 'no list "names"'),
            ('{"names": "jawOpen", "fps": 30}', 'no list "names"'),
            ('{"names": ["jawOpen"], "fps": 30}', "1 channel names"),
            (json.dumps({"names": ARKIT_52}), "no number as frames"),
            (json.dumps({"names": ARKIT_52, "fps": 0}), "0 as frames"),
        ],
    )
    def test_broken_sidecars(self, tmp_path, weights, sidecar, words):
        np.save(tmp_path / "face.npy", weights)
        (tmp_path / "face.names.json").write_text(sidecar)
        refused(tmp_path / "face.npy", words)

    def test_other_order_and_type(self, tmp_path):
        np.save(tmp_path / "a.npy", np.asfortranarray(np.array([[1, 2, 0], [3, 4, 1]], np.int64)))
        names = {"names": ["jaw_L", "_neutral", "mouthClose"], "fps": 25}
        (tmp_path / "a.names.json").write_text(json.dumps(names))
        track = read_face(tmp_path / "a.npy")
        assert track.weights[:, CHANNEL_INDEX["jawLeft"]].tolist() == [1, 3]
        assert track.weights[:, CHANNEL_INDEX["mouthClose"]].tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.zeros((3, 52), object), "plain numbers"),
            (np.zeros((3, 52), complex), "plain numbers"),
            (np.zeros((3, 2, 52)), "shape"),
            (np.zeros(52), "shape"),
            (np.zeros((0, 52)), "0 frames"),
            (np.full((3, 52), np.nan), "browDownLeft in frame 0"),
        ],
    )
    def test_broken_arrays(self, tmp_path, array, words):
        np.save(tmp_path / "face.npy", array, allow_pickle=True)
        (tmp_path / "face.names.json").write_text(json.dumps({"names": ARKIT_52, "fps": 30}))
        refused(tmp_path / "face.npy", words)

    def test_not_an_array(self, tmp_path):
        (tmp_path / "face.npy").write_bytes(b"no array at all")
        refused(tmp_path / "face.npy", "not an npy")


class TestFiles:
    @pytest.mark.parametrize("ending", ["json", "csv", "npy", "clip"])
    def test_missing(self, tmp_path, ending):
        with pytest.raises(InputError, match="can't be read"):
            read_face(tmp_path / f"none.{ending}")

    def test_folders_and_unknown_kinds(self, tmp_path):
        (tmp_path / "a.json").mkdir()
        refused(tmp_path / "a.json", "can't be read")
        known = re.escape(", ".join(endings(readable())))
        assert {".json", ".clip", ".csv", ".npy", ".npz"} <= set(endings(readable()))
        for name in ("a.bvh", "a", "a.clip.txt"):
            with pytest.raises(InputError, match=f"known are {known}$"):
                read_face(tmp_path / name)

    def test_huge_files_are_not_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr("exomni_core.formats.face_track.MAX_FILE_BYTES", 1 << 20)
        (tmp_path / "face.json").write_bytes(b" " * ((1 << 20) + 1) + b"{}")
        refused(tmp_path / "face.json", "larger than 1 MB|is empty")


class TestConvert:
    @pytest.mark.parametrize("ending", ["json", "csv", "npy"])
    def test_a_clip_out_and_in_again(self, tmp_path, make_clip, ending):
        clip = make_clip(duration_s=2.0)
        save_clip(clip, tmp_path / "a.clip")
        write_wav(tmp_path / "a.wav", clip.audio, clip.sample_rate_hz)
        convert(tmp_path / "a.clip", tmp_path / f"b.{ending}")
        facts = convert(tmp_path / f"b.{ending}", tmp_path / "c.clip", audio=tmp_path / "a.wav")
        back = load_clip(tmp_path / "c.clip")
        assert np.array_equal(back.weights, clip.weights)
        assert np.array_equal(back.audio, clip.audio)
        assert back.fps == facts["fps"] == clip.fps
        assert facts["frames"] == 60
        assert facts["sound"] == "a.wav"
        assert back.engine == "imported"
        assert back.provenance["source"] == f"b.{ending}"
        assert back.provenance["sound"] == "a.wav"
        assert back.provenance["clipped_values"] == 0

    @pytest.mark.parametrize("fps", [23.976, 24, 29.97, 30, 60])
    @pytest.mark.parametrize("rows", [1, 2, 29, 150])
    def test_without_sound_there_is_silence_of_the_right_length(self, tmp_path, weights, fps, rows):
        write_face(tmp_path / "a.json", weights[:rows], fps)
        convert(tmp_path / "a.json", tmp_path / "a.clip")
        clip = load_clip(tmp_path / "a.clip")
        assert np.array_equal(clip.weights, weights[:rows])
        assert not clip.audio.any()
        assert clip.duration_s == pytest.approx(rows / fps, abs=1e-4)
        assert clip.provenance["sound"] == "silence"

    def test_what_was_changed_is_counted(self, tmp_path):
        names = ["jawOpen", "mouthClose", "HeadYaw"]
        data = {"exportFps": 30, "facsNames": names, "weightMat": [[-0.1, 1.5, 9], [0.5, 1.0, 9]]}
        (tmp_path / "a.json").write_text(json.dumps(data))
        facts = convert(tmp_path / "a.json", tmp_path / "a.clip")
        json.dumps(facts)  # plain data, for the command line
        clip = load_clip(tmp_path / "a.clip")
        assert facts["clipped_values"] == 2
        assert facts["ignored_columns"] == ["HeadYaw"]
        assert clip.channel("jawOpen").tolist() == [0.0, 0.5]
        assert clip.channel("mouthClose").tolist() == [1.0, 1.0]
        assert clip.provenance["clipped_values"] == 2
        assert clip.provenance["ignored_columns"] == ["HeadYaw"]
        assert "tongueOut" in clip.provenance["missing_channels"]

    @pytest.mark.parametrize(("rows", "added", "cut"), [(30, 0, 0), (28, 2, 0), (33, 0, 3)])
    def test_a_few_frames_more_or_less(self, tmp_path, weights, tone, rows, added, cut):
        write_face(tmp_path / "a.json", weights[:rows], 30)
        write_wav(tmp_path / "a.wav", tone, 16_000)
        convert(tmp_path / "a.json", tmp_path / "a.clip", audio=tmp_path / "a.wav")
        clip = load_clip(tmp_path / "a.clip")
        assert len(clip.weights) == 30
        assert clip.provenance["frames_added"] == added
        assert clip.provenance["frames_cut"] == cut
        assert (clip.weights[-1] == weights[min(rows, 30) - 1]).all()

    @pytest.mark.parametrize("rows", [20, 45])
    def test_a_sound_of_another_length(self, tmp_path, weights, tone, rows):
        write_face(tmp_path / "a.json", weights[:rows], 30)
        write_wav(tmp_path / "a.wav", tone, 16_000)
        with pytest.raises(InputError, match="don't belong together") as caught:
            convert(tmp_path / "a.json", tmp_path / "a.clip", audio=tmp_path / "a.wav")
        assert caught.value.field == "audio"
        assert not (tmp_path / "a.clip").exists()

    def test_clip_to_clip_is_the_same_clip(self, tmp_path, make_clip):
        digest = save_clip(make_clip(), tmp_path / "a.clip")
        convert(tmp_path / "a.clip", tmp_path / "b.clip")
        assert (tmp_path / "a.clip").read_bytes() == (tmp_path / "b.clip").read_bytes()
        assert len(digest) == 64

    def test_in_place_and_between_others(self, tmp_path, weights):
        write_face(tmp_path / "a.npy", weights, 60)
        convert(tmp_path / "a.npy", tmp_path / "a.csv")
        convert(tmp_path / "a.csv", tmp_path / "a.csv")
        convert(tmp_path / "a.csv", tmp_path / "a.json")
        assert np.array_equal(read_face(tmp_path / "a.json").weights, weights)

    def test_errors_leave_the_old_target(self, tmp_path, weights):
        write_face(tmp_path / "good.json", weights, 30)
        shutil.copy(tmp_path / "good.json", tmp_path / "target.json")
        (tmp_path / "bad.json").write_text("{")
        (tmp_path / "bad.clip").write_bytes(b"PK no clip")
        with pytest.raises(InputError):
            convert(tmp_path / "bad.json", tmp_path / "target.json")
        with pytest.raises(ClipError):
            convert(tmp_path / "bad.clip", tmp_path / "target.json")
        with pytest.raises(InputError, match="only be kept in a"):
            convert(tmp_path / "good.json", tmp_path / "target.json", audio=tmp_path / "a.wav")
        assert np.array_equal(read_face(tmp_path / "target.json").weights, weights)


def test_a_clips_sound_becomes_a_wav_and_nothing_else_does(tmp_path, make_clip, weights):
    clip = make_clip()
    save_clip(clip, tmp_path / "a.clip")
    facts = convert(tmp_path / "a.clip", tmp_path / "a.wav")
    sound = read_audio(tmp_path / "a.wav")
    assert (sound.sample_rate_hz, facts["sample_rate_hz"]) == (clip.sample_rate_hz,) * 2
    np.testing.assert_allclose(sound.samples, clip.audio, atol=1 / 32_000)
    write_face(tmp_path / "b.json", weights, 30.0)
    with pytest.raises(InputError, match="holds no sound"):
        convert(tmp_path / "b.json", tmp_path / "b.wav")
    with pytest.raises(InputError, match="only be kept"):
        convert(tmp_path / "a.clip", tmp_path / "c.wav", audio=tmp_path / "a.wav")


def test_the_docs_list_every_format():
    text = (Path(__file__).parents[3] / "docs" / "extending.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `.")]
    assert rows == [
        f"| `{one.ending}` | {one.title} | {one.ways}; keeps {one.keeps} |"
        for one in known_formats()
    ]


class TestSharedEndings:
    @pytest.fixture
    def mine(self):
        """A format that shares .json, and knows its own files."""
        return Format("mine", "Mine", ".json", "", read=lambda path, wishes: None,
                      claims=lambda path: b"mine" in path.read_bytes())  # fmt: skip

    def test_who_claims_a_file_reads_it(self, tmp_path, mine):
        both = [*readable(), mine]
        (tmp_path / "a.json").write_text('{"mine": 1}')
        (tmp_path / "b.json").write_text('{"facsNames": []}')
        assert format_of(tmp_path / "a.json", both) is mine
        assert format_of(tmp_path / "b.json", both).name == "a2f"
        assert format_of(tmp_path / "none.json", both).name == "a2f"
        assert format_of(tmp_path / "a.json", [mine]) is mine
