# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of faces as phones, spreadsheets and trackers save them: read, with a note, or refused."""

from __future__ import annotations

import json
import math
import os
import sys

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52
from exomni_core.audio import write_wav
from exomni_core.clip import load_clip
from exomni_core.clip_notes import clip_notes
from exomni_core.errors import InputError
from exomni_core.formats.convert import convert, read_face

JAW = CHANNEL_INDEX["jawOpen"]


def cells(count, scale=1.0):
    """(count, 52) values in [0, 1) times `scale`, with four digits."""
    return np.round(np.random.default_rng(5).random((count, 52)) * scale, 4)


def table(times, values, *, names=LIVE_LINK_52, sep=",", clock="Timecode", comma=False):
    lines = [sep.join([clock, *names])]
    for moment, row in zip(times, values, strict=True):
        texts = [f"{v:.4f}" for v in row]
        lines.append(sep.join([moment, *(t.replace(".", ",") if comma else t for t in texts)]))
    return "\n".join(lines) + "\n"


def timecodes(count, per_second=30, first=0):
    numbers = [divmod(first + k, per_second) for k in range(count)]
    return [f"12:21:{s % 60:02}:{f:02}.595" for s, f in numbers]


def drop_frame(first, count, per_second, mark=";"):
    """The timecodes of `count` frames from number `first`, by the rule of the standard."""
    told, dropped = [], per_second // 15
    for frame in range(first, first + count):
        tens, rest = divmod(frame, per_second * 600 - 9 * dropped)
        more = 0 if rest < per_second * 60 else (rest - dropped) // (per_second * 60 - dropped)
        label = frame + dropped * (9 * tens + more)
        seconds, number = divmod(label, per_second)
        told.append(
            f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{number:02}"
        )
    return told


def read(tmp_path, text, encoding="utf-8", **options):
    (tmp_path / "take.csv").write_bytes(text.encode(encoding))
    return read_face(tmp_path / "take.csv", **options)


class TestGivenFiles:
    """The inputs that failed; each has a twin below that is made here."""

    def convert(self, shared, tmp_path, name, **options):
        facts = convert(shared / "cases" / name, tmp_path / "a.clip", **options)
        return facts, load_clip(tmp_path / "a.clip")

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("live_link_face_lost.csv", "4 of 40 rows hold no face"),
            ("live_link_face_lost_at_start.csv", "the first 3 hold the first face seen"),
        ],
    )
    def test_a_lost_face(self, shared, tmp_path, name, words):
        facts, clip = self.convert(shared, tmp_path, name)
        assert (facts["frames"], facts["fps"]) == (40, 30)
        assert any(words in note for note in facts["notes"])
        assert any(words in note for note in clip_notes(clip))
        assert clip.weights[0].max() > 0.1

    def test_percent(self, shared, tmp_path):
        facts, clip = self.convert(shared, tmp_path, "percent_0_100.csv")
        assert clip.channel("jawOpen")[0] == pytest.approx(0.115441, abs=1e-6)
        assert any("percent" in note for note in facts["notes"])

    def test_a_german_spreadsheet(self, shared, tmp_path):
        facts, clip = self.convert(shared, tmp_path, "excel_german.csv")
        assert (facts["frames"], facts["fps"]) == (35, 30)
        assert clip.channel("eyeBlinkLeft")[:2] == pytest.approx([0.5, 0.5831646763])

    def test_mediapipe(self, shared, tmp_path):
        facts, clip = self.convert(shared, tmp_path, "mediapipe_frame_ms.csv")
        assert facts["fps"] == 30
        assert facts["ignored_columns"] == ["frame", "_neutral"]
        assert clip.channel("browDownLeft")[0] == pytest.approx(0.8365883939)

    def test_head_positions(self, shared, tmp_path):
        facts, _ = self.convert(shared, tmp_path, "head_position_columns.csv")
        assert facts["missing_channels"] == []
        assert any("HeadPosX, HeadPosY, HeadPosZ" in note for note in facts["notes"])

    def test_audio2face_rates(self, shared, tmp_path):
        facts, _ = self.convert(shared, tmp_path, "a2f_fps_string.json")
        assert (facts["fps"], facts["frames"]) == (30, 60)
        with pytest.raises(InputError, match="--fps") as caught:
            self.convert(shared, tmp_path, "a2f_no_fps.json")
        assert caught.value.field == "fps"
        assert self.convert(shared, tmp_path, "a2f_no_fps.json", fps=30)[0]["fps"] == 30


class TestSpreadsheets:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize(("sep", "comma"), [(",", False), (";", False), (";", True),
                                                ("\t", False), ("\t", True)])  # fmt: skip
    def test_separators_commas_and_encodings(self, tmp_path, encoding, sep, comma):
        values = cells(40)
        text = table(timecodes(40), values, sep=sep, comma=comma)
        track = read(tmp_path, text, encoding)
        plain = read(tmp_path, table(timecodes(40), values))
        assert track.fps == 30
        assert np.array_equal(track.weights, plain.weights)
        assert track.notes == ()

    @pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
    def test_excels_own_first_line_and_line_ends(self, tmp_path, end):
        text = "sep=;\n" + table(timecodes(40), cells(40), sep=";", comma=True)
        track = read(tmp_path, text.replace("\n", end))
        assert (len(track.weights), track.fps) == (40, 30)

    def test_commas_for_both_are_named(self, tmp_path):
        text = table(timecodes(40), cells(40), comma=True)
        with pytest.raises(InputError, match="decimal commas, save it with semicolons"):
            read(tmp_path, text)

    def test_quoted_decimal_commas(self, tmp_path):
        text = 'jawOpen,mouthClose\n"0,25","1,0"\n"0,5","0"\n'
        track = read(tmp_path, text, fps=30)
        assert track.weights[:, JAW].tolist() == [0.25, 0.5]

    def test_empty_columns_at_the_end(self, tmp_path):
        text = table(timecodes(40), cells(40)).replace("\n", ",,\n")
        assert len(read(tmp_path, text).weights) == 40

    def test_latin_1_is_one_sentence(self, tmp_path):
        text = table(timecodes(40), cells(40)).replace("Timecode", "Zeit für alle")
        with pytest.raises(InputError, match="save it as CSV in UTF-8"):
            read(tmp_path, text, "latin-1")


class TestUnknownColumns:
    def test_they_are_passed_over_by_name(self, tmp_path):
        names = ["Take", *LIVE_LINK_52, "HeadPosX", "confidence"]
        lines = [",".join(["Timecode", *names])]
        for moment, row in zip(timecodes(40), cells(40), strict=True):
            lines.append(",".join([moment, "take 1", *(f"{v}" for v in row), "-12.5", ""]))
        track = read(tmp_path, "\n".join(lines))
        assert track.missing == ()
        assert track.ignored == ("Take", "HeadPosX", "confidence")
        assert any("Take, HeadPosX, confidence" in note for note in track.notes)

    def test_a_misspelt_channel_is_not_lost(self, tmp_path):
        names = [n.replace("jawOpen", "jawOpenn") for n in LIVE_LINK_52]
        with pytest.raises(InputError, match=r"'jawOpenn'.*jawOpen is missing"):
            read(tmp_path, table(timecodes(40), cells(40), names=names))


class TestLostRows:
    @pytest.mark.parametrize("lost", ["{0},0", "{0},0" + "," * 52, "{0},0" + ",nan" * 52,
                                      "{0},0" + ",0" * 52])  # fmt: skip
    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ((10, 11, 20), "3 are filled from their neighbours"),
            ((0, 1), "the first 2 hold the first face seen"),
            ((38, 39), "the last 2 hold the last face seen"),
        ],
    )
    def test_they_are_filled_and_counted(self, tmp_path, lost, rows, words):
        values = np.tile(np.arange(40)[:, None] / 64, (1, 52))
        lines = table(timecodes(40), values, names=LIVE_LINK_52).splitlines()
        lines = [line.replace(",", ",52,", 1) for line in lines]
        lines[0] = lines[0].replace(",52,", ",BlendShapeCount,", 1)
        for row in rows:
            lines[row + 1] = lost.format(timecodes(40)[row])
        track = read(tmp_path, "\n".join(lines))
        assert (track.fps, len(track.weights)) == (30, 40)
        assert len(track.notes) == 1
        assert f"{len(rows)} of 40 rows" in track.notes[0]
        assert words in track.notes[0]
        wanted = values[:, 0].copy()
        wanted[: 2 if 0 in rows else 0] = wanted[2]
        wanted[38 if 39 in rows else 40 :] = wanted[37]
        assert np.abs(track.weights[:, JAW] - wanted).max() < 1e-4

    def test_never_a_face(self, tmp_path):
        text = "Timecode,BlendShapeCount,jawOpen\n" + "".join(f"{t},0\n" for t in timecodes(40))
        with pytest.raises(InputError, match="holds no face in any of its 40 rows"):
            read(tmp_path, text)

    def test_a_row_that_is_half_there_is_refused(self, tmp_path):
        text = table(timecodes(40), cells(40)).splitlines()
        text[9] = text[9].rpartition(",")[0]
        with pytest.raises(InputError, match="ragged: frame 8"):
            read(tmp_path, "\n".join(text))

    def test_rows_left_out_are_told(self, tmp_path):
        lines = table(timecodes(90), cells(90)).splitlines()
        track = read(tmp_path, "\n".join(lines[:20] + lines[23:]))
        assert len(track.weights) == 90
        assert track.remarks == ("3 rows are missing in its times; they are filled in between",)


class TestClocks:
    @pytest.mark.parametrize("rate", [24, 25, 30 / 1.001, 30, 50, 60])
    @pytest.mark.parametrize(
        ("clock", "unit", "digits"),
        [("timestamp_ms", 1e3, 0), ("Timestamp (ms)", 1e3, 0), ("time_s", 1, 3),
         ("timestamp", 1, 3), ("timestamp", 1e3, 0), ("timestamp", 1e6, 0), ("time", 1e3, 1),
         ("timestamp_ms", 1e3, 3)],
    )  # fmt: skip
    @pytest.mark.parametrize("rounded", [round, math.floor])
    def test_other_clocks(self, tmp_path, rate, clock, unit, digits, rounded):
        count, start = 120, 12.0
        times = [
            f"{rounded((start + k / rate) * unit * 10**digits) / 10**digits:.{digits}f}"
            for k in range(count)
        ]
        track = read(tmp_path, table(times, cells(count), clock=clock))
        assert track.fps == pytest.approx(rate, rel=1e-9)
        assert len(track.weights) == count

    def test_times_of_day_and_dates(self, tmp_path):
        for stem in ("12:59:{:09.6f}", "2024-02-29T12:59:{:09.6f}Z", "2024-02-29 12:59:{:09.6f}"):
            times = [stem.format(3 + k / 25) for k in range(60)]
            assert read(tmp_path, table(times, cells(60), clock="Timestamp")).fps == 25

    def test_frame_numbers_need_the_rate_and_tell_gaps(self, tmp_path):
        numbers = [str(k) for k in range(30) if k != 7]
        text = table(numbers, cells(29), clock="frame")
        with pytest.raises(InputError, match="--fps") as caught:
            read(tmp_path, text)
        assert caught.value.field == "fps"
        assert len(read(tmp_path, text, fps=25).weights) == 30

    def test_without_any_clock_the_option_is_named(self, tmp_path):
        with pytest.raises(InputError, match="--fps"):
            read(tmp_path, "jawOpen\n0.1\n0.2\n")

    @pytest.mark.parametrize("per_second", [30, 60])
    @pytest.mark.parametrize("mark", [";", ":"])
    @pytest.mark.parametrize("start_s", [50, 9 * 60 + 50])
    def test_drop_frame_is_right_to_the_millisecond(self, tmp_path, per_second, mark, start_s):
        rate, count = per_second / 1.001, per_second * 80
        times = drop_frame(start_s * per_second, count, per_second, mark)
        values = np.tile(np.arange(count)[:, None] / count, (1, 1))
        track = read(tmp_path, table(times, values, names=["jawOpen"]))
        assert track.fps == pytest.approx(rate, rel=1e-9)
        assert len(track.weights) == count  # the numbers left out are no lost frames
        assert abs(len(track.weights) / track.fps - count / rate) < 1e-3
        assert np.abs(track.weights[:, JAW] - values[:, 0]).max() < 6e-5

    def test_a_short_take_with_semicolons_is_drop_frame(self, tmp_path):
        times = drop_frame(100, 50, 30)
        assert read(tmp_path, table(times, cells(50))).fps == pytest.approx(30 / 1.001)
        times = [t.replace(";", ":") for t in times]
        assert read(tmp_path, table(times, cells(50))).fps == 30


class TestRange:
    @pytest.mark.parametrize("ending", ["csv", "json", "npy"])
    def test_percent_is_scaled_and_told(self, tmp_path, ending):
        path, values = tmp_path / f"a.{ending}", cells(40, 100.0).astype(np.float32)
        self.write(path, values)
        track = read_face(path)
        assert np.allclose(track.weights, values / 100, atol=1e-6)
        assert any("percent" in note for note in track.notes)

    def test_another_scale_is_refused(self, tmp_path):
        self.write(tmp_path / "a.json", cells(40, 255.0))
        with pytest.raises(InputError, match="weights go from 0 to 1"):
            read_face(tmp_path / "a.json")

    def test_a_stray_value_is_told_and_scales_nothing(self, tmp_path):
        values = cells(40)
        values[3, JAW] = 57.0
        self.write(tmp_path / "a.json", values)
        facts = convert(tmp_path / "a.json", tmp_path / "a.clip")
        clip = load_clip(tmp_path / "a.clip")
        assert clip.weights[4].tolist() == values[4].astype(np.float32).tolist()
        assert any("jawOpen up to 57" in note for note in facts["notes"])
        assert facts["clipped_values"] == 1

    def test_clipped_values_are_always_told(self, tmp_path):
        values = cells(40)
        values[3, JAW], values[4, JAW] = 1.25, -0.25
        self.write(tmp_path / "a.json", values)
        facts = convert(tmp_path / "a.json", tmp_path / "a.clip")
        assert facts["clipped_values"] == 2
        told = ["2 values outside 0 to 1 are clipped"]
        assert clip_notes(load_clip(tmp_path / "a.clip")) == told

    @staticmethod
    def write(path, values):
        if path.suffix == ".csv":
            path.write_text(table(timecodes(len(values)), values, names=ARKIT_52))
        elif path.suffix == ".npy":
            np.save(path, values)
            named = {"names": ARKIT_52, "fps": "30"}
            path.with_suffix(".names.json").write_text(json.dumps(named))
        else:
            data = {"exportFps": " 30.0 ", "facsNames": ARKIT_52, "weightMat": values.tolist()}
            path.write_text(json.dumps(data))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are not UTF-8")
def test_names_that_are_not_utf_8(tmp_path):
    path = tmp_path / os.fsdecode(b"gr\xfc\xdfe.csv")
    path.write_text(table(timecodes(40), cells(40)))
    write_wav(path.with_suffix(".wav"), np.full(21_333, 0.25), 16_000)
    convert(path, tmp_path / "a.clip", audio=path.with_suffix(".wav"))
    assert load_clip(tmp_path / "a.clip").provenance["source"] == "gr\ufffd\ufffde.csv"
