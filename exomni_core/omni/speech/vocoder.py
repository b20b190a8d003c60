# SPDX-License-Identifier: GPL-3.0-or-later
"""A mel spectrogram in -> a waveform at 22,050 Hz out: the HiFT vocoder, whole or piece by piece.

Convolutions shape the spectrum of a harmonic source. They see `reach` mel frames to either
side, so a mel in pieces gives, piece by piece, the same wave as the whole mel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exomni_core.omni.config import Compat
from exomni_core.omni.speech.vocoder_source import (
    HarmonicSource,
    NormConv,
    Phases,
    PitchPredictor,
    Spectrum,
    image,
)

LOUDEST: Final = 0.99
LARGEST_MAGNITUDE: Final = 100.0
SLOPE: Final = 0.1
PIECE_FRAMES: Final = 256  # at once: larger ones leave the caches, smaller ones see more twice
LAST_SLOPE: Final = 0.01  # the framework's default, left in place by the original

# (first sample, how many) -> (1, harmonics, n) standard normal
SampleNoise = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of the vocoder; published defaults."""

    mel: int = 80
    channels: int = 512
    ups: tuple[int, ...] = (16, 16)  # kernels; each doubles as twice the stride
    kernels: tuple[int, ...] = (3, 7, 11)
    source_kernels: tuple[int, ...] = (7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)
    harmonics: int = 9
    spectrum: int = 16
    pitch_width: int = 512
    pitch_layers: int = 5
    sample_rate_hz: int = 22_050

    @classmethod
    def from_state_dict(cls, shapes: Mapping[str, Sequence[int]]) -> VocoderConfig:
        """The sizes behind the tensors' shapes; KeyError if such a tensor is missing."""

        def kernels(names: str) -> tuple[int, ...]:
            found: list[int] = []
            while (name := names.format(len(found))) in shapes:
                found.append(shapes[name][2])
            return tuple(found)

        ups = kernels("ups.{}.weight_v")
        blocks = kernels("resblocks.{}.convs1.0.weight_v")
        dilated = len(kernels("resblocks.0.convs1.{}.weight_v"))
        pitch = [n for n in shapes if re.fullmatch(r"f0_predictor\.condnet\.\d+\.weight_v", n)]
        channels, mel, _ = shapes["conv_pre.weight_v"]
        return cls(
            mel=mel,
            channels=channels,
            ups=ups,
            kernels=blocks[: len(blocks) // max(len(ups), 1)],
            source_kernels=kernels("source_resblocks.{}.convs1.0.weight_v"),
            dilations=tuple(range(1, 2 * dilated, 2)),
            harmonics=shapes["m_source.l_linear.weight"][1],
            spectrum=shapes["conv_post.weight_v"][0] - 2,
            pitch_width=shapes["f0_predictor.condnet.0.weight_v"][0],
            pitch_layers=len(pitch),
        )

    @property
    def hop(self) -> int:
        """Samples in a mel frame."""
        return self.spectrum // 4 * math.prod(kernel // 2 for kernel in self.ups)


@dataclass
class VocoderState:
    """The state of a sound that is made in pieces.

    mel: (1, mel, n) the last frames, of which `first` is the number of the first. source: (1, 1, N)
    the raw sound from frame `first` on. done: frames whose samples are out.
    """

    noise: SampleNoise
    phases: Phases
    mel: Tensor
    source: Tensor
    first: int = 0
    done: int = 0


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, channel by channel, in float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(channels), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 1, T) -> the same shape."""
        alpha = self.alpha.float().view(-1, 1, 1)
        wave = (x * alpha).sin_()  # in place from here on: memory is what limits this
        return wave.square_().mul_(1.0 / (alpha + 1e-9)).add_(x)


class ResBlock(nn.Module):
    """Pairs of dilated and plain convolutions, each pair summed onto its input."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(NormConv(channels, channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(NormConv(channels, channels, kernel) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 1, T) -> the same shape."""
        for conv1, conv2, snake1, snake2 in zip(
            self.convs1, self.convs2, self.activations1, self.activations2, strict=True
        ):
            x = conv2(snake2(conv1(snake1(x)))).add_(x)
        return x


class Vocoder(nn.Module):
    """Mel to wave; parameters named as in hift.pt. Call `fuse_weight_norm` after loading.

    Batches hold rows of one length. The trunk's products run in the type of its weights.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        bins = config.spectrum + 2
        width = config.channels
        self.m_source = HarmonicSource(config.harmonics, config.sample_rate_hz, config.hop)
        self.conv_pre = NormConv(config.mel, width, 7)
        self.ups = nn.ModuleList()
        self.source_downs = nn.ModuleList()
        self.source_resblocks = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for stage, kernel in enumerate(config.ups):
            rest = math.prod(k // 2 for k in config.ups[stage + 1 :])
            width //= 2
            self.ups.append(NormConv(2 * width, width, kernel, transposed=True))
            down = nn.Conv1d(bins, width, 1 if rest == 1 else 2 * rest, rest, rest // 2)
            self.source_downs.append(down)
            own = config.source_kernels[stage]
            self.source_resblocks.append(ResBlock(width, own, config.dilations))
            self.resblocks.extend(ResBlock(width, k, config.dilations) for k in config.kernels)
        self.conv_post = NormConv(width, bins, 7)
        self.f0_predictor = PitchPredictor(config.mel, config.pitch_width, config.pitch_layers)
        self._spectrum = Spectrum(config.spectrum)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.conv_pre.bias.device

    def fuse_weight_norm(self) -> None:
        """Turn each pair of direction and length into the weight itself; no state dict fits then.

        Pitch and source become float32.
        """
        for layer in self.modules():
            if isinstance(layer, NormConv):
                layer.fuse()
        self.f0_predictor.float()
        self.m_source.float()

    @property
    def reach(self) -> int:
        """Mel frames to either side that the wave of a frame depends on, given the source."""
        config = self.config
        rate = config.hop / self._spectrum.hop  # steps of the grid at hand in a mel frame
        fine = 1.0 / rate
        trunk = 5 * fine  # two frames of the spectrum, then the last convolution
        source = 0.0
        for stage in reversed(range(len(config.ups))):
            trunk += block_reach(max(config.kernels), config.dilations) / rate
            own = block_reach(config.source_kernels[stage], config.dilations) / rate
            rate /= config.ups[stage] // 2
            # The source comes down from the fine grid: a kernel's width, and its own spectrum.
            lowered = (2 * math.prod(k // 2 for k in config.ups[stage + 1 :]) + 2) * fine
            source = max(source, trunk + own + lowered)
            trunk += 1.0 / rate + fine  # the rise in rate, and the mirrored step
        return math.ceil(max(trunk + 3.0, source))

    @torch.inference_mode()
    def pitch(self, mel: Tensor) -> Tensor:
        """(B, mel, T) -> (B, T) in Hz."""
        hz: Tensor = self.f0_predictor(mel.float())
        return hz

    @torch.inference_mode()
    def wave(self, mel: Tensor, source: Tensor, *, clamp: bool = True) -> Tensor:
        """(B, mel, T) mel and (B, 1, hop * T) source -> (B, hop * T) float32 in [-0.99, 0.99]."""
        wave = self.head(self._trunk(image(mel.float()), self._spectrum.analyse(source)))
        return wave.clamp_(-LOUDEST, LOUDEST) if clamp else wave

    @torch.inference_mode()
    def head(self, x: Tensor) -> Tensor:
        """(B, 2 bins, F) float32: logarithms of magnitudes, then angles' arcs -> (B, (F - 1) hop).

        Not clamped. The angle is the sine of what the network gives, as in the original.
        """
        size, turn = x.transpose(1, 2).chunk(2, 2)  # (B, F, bins)
        size = size.exp().clamp_(max=LARGEST_MAGNITUDE)
        turn = turn.sin()
        return self._spectrum.combine(torch.cat((size * turn.cos(), size * turn.sin()), 2))

    def spectrum(self, source: Tensor) -> Tensor:
        """(B, 1, N) -> (B, 2 bins, N / 4 + 1): real parts, then imaginary ones."""
        return self._spectrum.analyse(source).transpose(1, 2)

    def _trunk(self, x: Tensor, spectrum: Tensor) -> Tensor:
        """(B, mel, 1, T), (B, F, 2 bins) -> (B, 2 bins, F) float32."""
        parts = len(self.config.kernels)
        x = self.conv_pre(x)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            if stage == len(self.ups) - 1:  # the spectrum has one frame more: mirror the second
                x = torch.cat((x[:, :, :, 1:2], x), 3)
            x = self.source_resblocks[stage](self._lowered(spectrum, stage)).add_(x)
            blocks = self.resblocks[stage * parts : (stage + 1) * parts]
            total = blocks[0](x)
            for block in blocks[1:]:
                total.add_(block(x))
            x = total.div_(parts)
        y: Tensor = self.conv_post(F.leaky_relu(x, LAST_SLOPE)).squeeze(2)
        return y

    def _lowered(self, spectrum: Tensor, stage: int) -> Tensor:
        """The source's spectrum at the rate of a stage, (B, C, 1, T) float32."""
        down = self.source_downs[stage]
        assert isinstance(down, nn.Conv1d)
        x = spectrum.transpose(1, 2).unsqueeze(2).to(down.weight.dtype)
        y = F.conv2d(
            x, down.weight.unsqueeze(2), down.bias, (1, down.stride[0]), (0, int(down.padding[0]))
        )
        return y.float().contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(
        self,
        mel: Tensor,
        *,
        phases: Tensor,
        noise: Tensor,
        cached_source: Tensor | None = None,
        compat: Compat = "fixed",
    ) -> tuple[Tensor, Tensor]:
        """(1, mel, T) -> (1, hop * T) wave and (1, 1, hop * T) source.

        phases: (1, H, 1) in radians, the first counts as 0. noise: (1, H, hop * T) standard normal.
        cached_source: (1, 1, n), put over the beginning of the source.
        """
        source, _ = self.m_source(self.pitch(mel), self.m_source.begin(phases), noise, compat)
        if cached_source is not None:
            source[:, :, : cached_source.shape[2]] = cached_source
        return self.wave(mel, source), source

    @torch.inference_mode()
    def start(self, phases: Tensor, noise: SampleNoise) -> VocoderState:
        """A state before the first frame; phases as in `forward`."""
        return VocoderState(
            noise=noise,
            phases=self.m_source.begin(phases.to(self.device)),
            mel=torch.zeros(1, self.config.mel, 0, device=self.device),
            source=torch.zeros(1, 1, 0, device=self.device),
        )

    @torch.inference_mode()
    def push(self, state: VocoderState, mel: Tensor, *, final: bool) -> Tensor:
        """Take the next frames (1, mel, n); return all finished samples (1, m).

        Without `final` the last reach + 5 frames wait for what comes after them. All samples joined
        are, to rounding, those of the whole mel at once.
        """
        hop, reach = self.config.hop, self.reach
        state.mel = torch.cat((state.mel, mel.float()), 2)
        end = state.first + state.mel.shape[2]
        self._extend_source(state, end if final else end - self.f0_predictor.reach)
        sourced = state.first + state.source.shape[2] // hop
        stop = end if final else sourced - reach
        waves = [state.mel.new_zeros(1, 0)]
        while state.done < stop:
            waves.append(self._piece(state, min(stop, state.done + PIECE_FRAMES), end))
        first = max(min(state.done - reach, sourced - self.f0_predictor.reach), state.first)
        state.mel = state.mel[:, :, first - state.first :]
        state.source = state.source[:, :, (first - state.first) * hop :]
        state.first = first
        return torch.cat(waves, 1)

    def _piece(self, state: VocoderState, stop: int, end: int) -> Tensor:
        """The samples of the frames before `stop` that were not returned yet."""
        hop = self.config.hop
        left, right = max(state.done - self.reach, 0), min(stop + self.reach, end)
        shown = slice(left - state.first, right - state.first)
        heard = slice(shown.start * hop, shown.stop * hop)
        wave = self.wave(state.mel[:, :, shown], state.source[:, :, heard])
        wave = wave[:, (state.done - left) * hop : (stop - left) * hop]
        state.done = stop
        return wave

    def _extend_source(self, state: VocoderState, stop: int) -> None:
        """Make the source of all frames before `stop`."""
        hop = self.config.hop
        begin = state.first + state.source.shape[2] // hop
        if stop <= begin:
            return
        left = max(begin - self.f0_predictor.reach, state.first)
        hz = self.pitch(state.mel[:, :, left - state.first :])[:, begin - left : stop - left]
        noise = state.noise(begin * hop, (stop - begin) * hop).to(self.device)
        made, state.phases = self.m_source(hz, state.phases, noise)
        state.source = torch.cat((state.source, made), 2)


def block_reach(kernel: int, dilations: Sequence[int]) -> int:
    """How far a ResBlock sees to either side."""
    return sum((dilation + 1) * (kernel - 1) // 2 for dilation in dilations)
