# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of golden arrays of the speech decoder in -> how far ours is from each of them.

Sizes come from the folder's own manifests, arrays and noise names; the seed, the estimator's times
and the recipes of a few inputs from its README. Float32 on the CPU, with the weights fused.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from exomni_core.omni.speech.flow import Flow, FlowConfig, time_grid
from exomni_core.omni.speech.flow_encoder import frames_of
from exomni_core.omni.speech.speech_decoder import SpeechDecoder
from exomni_core.omni.speech.speech_noise import DrawnNoise
from exomni_core.omni.speech.speech_reference import ReferenceState, reference_block
from exomni_core.omni.speech.vocoder import Vocoder, VocoderConfig
from tests.golden.result import Result

PUBLIC_SEED: Final = 0x5EED0001
PUBLIC_TIMES: Final = (0.3, 0.85)
# The README's; the first pattern that fits the array's name counts.
TOLERANCES: Final = (
    (r"[EA]\.\w*wav, stored", 1e-5),
    (r"A\.t_used", 1e-6),
    (r"[AB]\.(spk\w*|encoder_out|proj_out|regulator_out)|D\.", 1e-5),
    (r"[FG]\.mel", 1e-4),
    (r"[FG]\.wav|H\.native_stream", 3e-3),
    (r"[ABCFGH]\..*(est|x_step|mel)", 5e-5),
    (r"E\.(srcgen|stft)|H\.native_z", 1e-5),
    (r"E\.head", 2e-5),
    (r"[AE]\.f0", 2e-3),
    (r"[AE]\..*source", 5e-3),
    (r"[AEH]\..*wav", 2e-3),
)


class Numbers:
    """The named random numbers of one set, as its README defines them."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng((zlib.crc32(name.encode()) ^ self._seed) & 0xFFFFFFFF)

    def normal(
        self, name: str, shape: Sequence[int], mean: float = 0.0, std: float = 1.0
    ) -> Tensor:
        drawn = mean + std * self.rng(name).standard_normal(tuple(shape))
        return torch.from_numpy(drawn.astype(np.float32))

    def uniform(self, name: str, shape: Sequence[int], low: float, high: float) -> Tensor:
        return torch.from_numpy(self.rng(name).uniform(low, high, shape).astype(np.float32))


@dataclass(frozen=True)
class TaggedNoise:
    """The numbers of one call, by its tag."""

    numbers: Numbers
    tag: str
    bins: int
    harmonics: int

    def mel(self, frames: int) -> Tensor:
        return self.numbers.normal(f"{self.tag}/cfm_z", (1, self.bins, frames))

    def phases(self) -> Tensor:
        return self.numbers.uniform(f"{self.tag}/phase", (1, self.harmonics, 1), -np.pi, np.pi)

    def samples(self, count: int) -> Tensor:
        return self.numbers.normal(f"{self.tag}/sine_noise", (1, self.harmonics, count))


class Fixtures:
    """One configuration of a folder: its arrays, its numbers, and the models with its weights."""

    def __init__(self, folder: Path, part: str) -> None:
        with np.load(folder / f"decoder_{part}.npz") as found:
            self.golden = {name: found[name] for name in found.files}
        names = folder / f"decoder_{part}_noise_names.json"
        self.noise_shapes: Mapping[str, list[int]] = json.loads(names.read_text())
        self._manifests = {
            kind: json.loads((folder / f"{kind}_{part}_manifest.json").read_text())
            for kind in ("flow", "hift")
        }
        readme = folder / "README.md"
        self.readme = readme.read_text(encoding="utf-8") if readme.is_file() else ""
        self.numbers = Numbers(self._seed())
        self.units = torch.from_numpy(self.golden["in.tokens"])
        self.seen = {"in.tokens"}

    def _seed(self) -> int:
        """The README's, if it makes the units; else the public one."""
        units = self.golden["in.tokens"]
        vocab = self._manifests["flow"]["input_embedding.weight"]["shape"][0]
        told = re.findall(r"SET_SEED\s*=\s*(0x[0-9A-Fa-f]+|\d+)", self.readme)
        for seed in [*(int(text, 0) for text in told), PUBLIC_SEED]:
            made = Numbers(seed).rng("inputs/tokens").integers(0, vocab, size=units.shape)
            if (made == units).all():
                return seed
        raise ValueError(
            f"no seed makes in.tokens: tried {told} of the README and {PUBLIC_SEED:#x}"
        )

    def _weights(self, kind: str) -> dict[str, Tensor]:
        return {
            name: self.numbers.normal(name, one["shape"], one["mean"], one["std"])
            for name, one in self._manifests[kind].items()
        }

    @cached_property
    def flow(self) -> Flow:
        weights = self._weights("flow")
        shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        config = FlowConfig.from_state_dict(shapes)
        estimator = config.estimator
        # No shape tells the number of heads; the README does for sizes that aren't the published.
        for heads, width, inner in re.findall(
            r"(\d+) heads x (\d+) \(inner width (\d+)\)", self.readme
        ):
            if int(inner) == estimator.heads * estimator.head_width:
                estimator = replace(estimator, heads=int(heads), head_width=int(width))
        flow = Flow(replace(config, estimator=estimator))
        flow.load_state_dict(weights, strict=True)
        flow.fuse()
        return flow

    @cached_property
    def vocoder(self) -> Vocoder:
        weights = self._weights("hift")
        shapes = {n: tuple(t.shape) for n, t in weights.items()}
        vocoder = Vocoder(VocoderConfig.from_state_dict(shapes))
        vocoder.load_state_dict(weights, strict=True)
        vocoder.fuse_weight_norm()
        return vocoder

    def noise(self, tag: str) -> TaggedNoise:
        return TaggedNoise(self.numbers, tag, self.flow.config.mel, self.vocoder.config.harmonics)

    def tags(self, pattern: str) -> list[str]:
        """Tags with starting noise for the flow that fit, in the order of the file."""
        found = [re.fullmatch(f"({pattern})/cfm_z", name) for name in self.noise_shapes]
        return [match[1] for match in found if match]

    def units_of(self, tag: str) -> int:
        """How many units the call of that tag sees: their mel has as many frames as its noise."""
        frames = self.noise_shapes[f"{tag}/cfm_z"][2]
        return next(n for n in range(1, frames + 1) if frames_of(n) >= frames)

    def recipe(
        self, name: str, shape: Sequence[int], mean: float = 0.0, std: float = 1.0
    ) -> Tensor:
        """normal(name, ...) as the README writes it, else as given."""
        number = r"\s*,\s*(-?[\d.]+)"
        text = rf'normal\("{re.escape(name)}"\s*,\s*\(([\d\s,]+)\)(?:{number}{number})?\)'
        if told := re.search(text, self.readme):
            shape = [int(n) for n in told[1].split(",") if n.strip()]
            mean, std = (float(told[2]), float(told[3])) if told[2] else (mean, std)
        return self.numbers.normal(name, shape, mean, std)

    def compare(self, name: str, found: Any, note: str = "") -> Iterator[Result]:
        """The Result for the array `name`, if the folder has it; note: what stands behind it."""
        if name not in self.golden:
            return
        self.seen.add(name)
        wanted = self.golden[name]
        title = f"{name}, {note}" if note else name
        tolerance = next((t for pattern, t in TOLERANCES if re.match(pattern, title)), 0.0)
        found = np.asarray(found, np.float64)
        if found.shape != wanted.shape:
            yield Result(title, np.inf, tolerance, f"{found.shape} instead of {wanted.shape}")
        else:
            yield Result(title, float(np.abs(found - wanted).max()), tolerance)


def check(folder: Path, parts: Sequence[str] = ("reduced", "published")) -> Iterator[Result]:
    """Compare with everything about the speech decoder that lies in `folder`."""
    for part in parts:
        if (folder / f"decoder_{part}.npz").is_file():
            for result in _check_part(Fixtures(folder, part)):
                name = f"decoder_{part} {result.name}"
                yield Result(name, result.error, result.tolerance, result.note)


@torch.inference_mode()
def _check_part(fx: Fixtures) -> Iterator[Result]:
    for group in (_front, _offline, _prompted, _estimator, _blocks, _vocoder, _pieces):
        yield from group(fx)
    for name in ("F", "G"):
        yield from _stream(fx, name)
    yield from _native(fx)
    for name in fx.golden:
        if name not in fx.seen:
            yield Result(name, np.inf, 0.0, "nothing here compares with it")


def _front(fx: Fixtures) -> Iterator[Result]:
    flow, units = fx.flow, fx.units
    yield from fx.compare("A.spk_zero", flow.speaker_share())
    encoded = flow.encoder(flow.input_embedding(units))
    yield from fx.compare("A.encoder_out", encoded)
    yield from fx.compare("A.proj_out", flow.encoder_proj(encoded))
    yield from fx.compare("A.regulator_out", flow.encode(units))
    yield from fx.compare("A.t_used", time_grid()[0])


def _offline(fx: Fixtures) -> Iterator[Result]:
    flow = fx.flow
    noise = fx.noise(fx.tags(r"offline\d*")[0])
    mu, speaker = flow.encode(fx.units), flow.speaker_share()
    start = noise.mel(mu.shape[1])
    nothing = torch.zeros_like(mu)
    shares = {
        "cond": flow.estimator.share(mu, speaker, nothing),
        "uncond": flow.estimator.share(nothing, torch.zeros_like(speaker), nothing),
    }
    steps = [m for name in fx.golden if (m := re.fullmatch(r"A\.est_(\w+)_step(\d+)", name))]
    for kind, step in ((m[1], int(m[2])) for m in steps):
        x = torch.from_numpy(fx.golden[f"A.x_step{step}"]) if step else start
        time = flow.time_table(time_grid()[0])[step]
        v = flow.estimator.velocity(x.transpose(1, 2), *shares[kind], time)
        yield from fx.compare(f"A.est_{kind}_step{step}", v.transpose(1, 2))
        if step and kind == "cond":
            yield from fx.compare(f"A.x_step{step}", _x_before(flow, mu, start, step))
    mel = flow(fx.units, noise=start)
    yield from fx.compare("A.mel", mel)
    golden_mel = torch.from_numpy(fx.golden["A.mel"])
    yield from fx.compare("A.f0", fx.vocoder.pitch(golden_mel))
    samples = noise.samples(fx.vocoder.config.hop * mel.shape[2])
    wave, source = fx.vocoder(mel, phases=noise.phases(), noise=samples, compat="reference")
    yield from fx.compare("A.source", source)
    yield from fx.compare("A.wav", wave)
    stored = fx.vocoder.wave(golden_mel, torch.from_numpy(fx.golden["A.source"]))
    yield from fx.compare("A.wav", stored, "stored mel and source")


def _x_before(flow: Flow, mu: Tensor, start: Tensor, step: int) -> Tensor:
    """The solver's state before a step: as `_solve` does it, but not to the end."""
    nothing, speaker = torch.zeros_like(mu), flow.speaker_share()
    estimator, x = flow.estimator, start.transpose(1, 2)
    guided = estimator.share(mu, speaker, nothing)
    free = estimator.share(nothing, torch.zeros_like(speaker), nothing)
    pair = [torch.cat(both) for both in zip(guided, free, strict=True)]
    times, lasts = time_grid()
    for number in range(step):
        x = x + lasts[number] * flow._guided(x, *pair, flow.time_table(times)[number])
    return x.transpose(1, 2)


def _prompted(fx: Fixtures) -> Iterator[Result]:
    if "B.mel" not in fx.golden:
        return
    flow, bins = fx.flow, fx.flow.config.mel
    speaker = fx.recipe("inputs/embedding", (1, flow.config.speaker))
    tag = fx.tags("prompt")[0]
    frames = fx.noise_shapes[f"{tag}/cfm_z"][2]
    units = fx.units[:, : fx.units_of(tag)]
    known = (1, frames - fx.golden["B.mel"].shape[2], bins)
    mel = fx.numbers.normal("inputs/prompt_feat", known).transpose(1, 2)
    yield from fx.compare("B.spk", flow.speaker_share(speaker))
    yield from fx.compare("B.regulator_out", flow.encode(units))
    noise = fx.noise(tag).mel(frames)
    made = flow(units, noise=noise, speaker=speaker, prompt_mel=mel)
    yield from fx.compare("B.mel", made)


def _estimator(fx: Fixtures) -> Iterator[Result]:
    estimator, bins = fx.flow.estimator, fx.flow.config.mel
    told = re.findall(r"(\d+)\s*\(\s*t\s*=\s*([\d.]+?)\.?\s*\)", fx.readme)
    times = {int(frames): float(time) for frames, time in told}
    counts = [int(m[1]) for name in fx.golden if (m := re.fullmatch(r"C\.est(\d+)", name))]
    for number, frames in enumerate(counts):
        time = times.get(frames, PUBLIC_TIMES[number % len(PUBLIC_TIMES)])
        x, mu, cond = (
            fx.numbers.normal(f"est{frames}/{kind}", (1, bins, frames)).transpose(1, 2)
            for kind in ("x", "mu", "cond")
        )
        speaker = fx.numbers.normal(f"est{frames}/spk", (1, bins))
        vector = estimator.time_vectors(torch.tensor([time]))[0]
        v = estimator.velocity(x, *estimator.share(mu, speaker, cond), vector)
        yield from fx.compare(f"C.est{frames}", v.transpose(1, 2))


def _blocks(fx: Fixtures) -> Iterator[Result]:
    for name in fx.golden:
        if match := re.fullmatch(r"D\.enc(\d+)", name):
            embedded = fx.flow.input_embedding(fx.units[:, : int(match[1])])
            yield from fx.compare(name, fx.flow.encoder(embedded))


def _vocoder(fx: Fixtures) -> Iterator[Result]:
    if "E.wav" not in fx.golden:
        return
    vocoder, hop, noise = fx.vocoder, fx.vocoder.config.hop, fx.noise("hift")
    frames = fx.golden["E.wav"].shape[1] // hop
    mel = fx.recipe("hift/mel", (1, vocoder.config.mel, frames))
    cache = fx.recipe("hift/cache", (1, 1, hop), 0.0, 0.1)
    yield from fx.compare("E.f0", vocoder.pitch(mel))
    for cached, names in (
        (None, ("E.source", "E.wav")),
        (cache, ("E.cache_source_out", "E.cache_wav")),
    ):
        wave, source = vocoder(
            mel,
            phases=noise.phases(),
            noise=noise.samples(hop * frames),
            cached_source=cached,
            compat="reference",
        )
        yield from fx.compare(names[0], source)
        yield from fx.compare(names[1], wave)
        if names[0] in fx.golden:
            stored = vocoder.wave(mel, torch.from_numpy(fx.golden[names[0]]))
            yield from fx.compare(names[1], stored, "stored mel and source")


def _pieces(fx: Fixtures) -> Iterator[Result]:
    vocoder, golden = fx.vocoder, fx.golden
    hop, size = vocoder.config.hop, vocoder.config.spectrum
    if "E.srcgen_f0" in golden:
        noise = fx.noise("srcgen")
        made = fx.numbers.normal("hift/f0", golden["E.srcgen_f0"].shape).abs() * 20
        yield from fx.compare("E.srcgen_f0", made)
        hz = torch.from_numpy(golden["E.srcgen_f0"])
        begin = vocoder.m_source.begin(noise.phases())
        samples = noise.samples(hop * hz.shape[1])
        yield from fx.compare("E.srcgen", vocoder.m_source(hz, begin, samples, "reference")[0])
    if "E.head" in golden:
        steps = golden["E.head"].shape[1] // (size // 4) + 1
        wave = vocoder.head(fx.recipe("hift/head", (1, size + 2, steps), 0.0, 2.5))
        yield from fx.compare("E.head_unclamped", wave)
        yield from fx.compare("E.head", wave.clamp(-0.99, 0.99))
    if "E.stft" in golden:
        samples = fx.recipe("hift/stft", (1, (golden["E.stft"].shape[2] - 1) * (size // 4)))
        yield from fx.compare("E.stft", vocoder.spectrum(samples.unsqueeze(1)))


def _stream(fx: Fixtures, group: str) -> Iterator[Result]:
    tags = sorted(fx.tags(rf"{group}/b\d+"), key=lambda tag: int(tag.rpartition("b")[2]))
    state = ReferenceState(lambda call: fx.noise(tags[call]))
    ends = [fx.units_of(tag) for tag in tags]
    waves = []
    for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        units, final = fx.units[0, begin:end].tolist(), end == ends[-1]
        made = reference_block(fx.flow, fx.vocoder, state, units, final=final)
        yield from fx.compare(f"{group}.flowmel{number}", made.flow_mel)
        yield from fx.compare(f"{group}.mel{number}", made.mel)
        yield from fx.compare(f"{group}.wav{number}", made.wave)
        waves.append(made.wave)
    if waves:
        yield from fx.compare(f"{group}.wav", torch.cat(waves, 1))


def _native(fx: Fixtures) -> Iterator[Result]:
    if not any(name.startswith("H.") for name in fx.golden):
        return
    config = fx.vocoder.config
    z = DrawnNoise(config.mel, config.harmonics).mel(frames_of(fx.units.shape[1]))
    ends = {"first": z.flatten(), "last": z.flatten().flip(0)}
    for name in fx.golden:
        if match := re.fullmatch(r"H\.native_z_(first|last)(\d+)", name):
            part = ends[match[1]][: int(match[2])]
            yield from fx.compare(name, part if match[1] == "first" else part.flip(0))
    yield from fx.compare("H.native_mel", fx.flow(fx.units, noise=z))
    decoder = SpeechDecoder(fx.flow, fx.vocoder, compat="reference")
    yield from fx.compare("H.native_wav", decoder.decode(fx.units)[None])
    if "H.native_stream_wav" not in fx.golden:
        return
    told = re.search(r"native_stream_wav\W+blocks of (\d+)", fx.readme)
    block = int(told[1]) if told else 10
    units = fx.units[0].tolist()
    state = decoder.start()
    waves = [
        decoder.push(state, units[n : n + block], final=n + block >= len(units))
        for n in range(0, len(units), block)
    ]
    yield from fx.compare("H.native_stream_wav", torch.cat(waves)[None])
