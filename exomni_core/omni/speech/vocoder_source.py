# SPDX-License-Identifier: GPL-3.0-or-later
"""A mel in -> the pitch and the raw sound that the vocoder shapes; and its spectrum.

The raw sound is nine sines at multiples of the pitch plus noise. Pitch and phase are always float32
or better, whatever the type of the vocoder's weights: a phase adds up every error of the pitch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exomni_core.omni.config import Compat

VOICED_ABOVE_HZ: Final = 10.0
SINE: Final = 0.1
VOICED_NOISE: Final = 0.003


class NormConv(nn.Module):
    """A convolution over the last axis of (B, in, 1, T) whose weights are kept as g v / |v|.

    Zero padding of dilation * (kernel - 1) / 2, so T stays. Named as in nn.utils.weight_norm.
    With `transposed` it is a transposed one of stride kernel / 2: (B, out, 1, T * stride).
    """

    weight: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        dilation: int = 1,
        *,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        self.dilation = dilation
        self.padding = dilation * (kernel - 1) // 2
        self.stride = kernel // 2 if transposed else 0
        shape = (inputs, outputs, kernel) if transposed else (outputs, inputs, kernel)
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False)
        self.weight_g = nn.Parameter(torch.empty(shape[0], 1, 1), requires_grad=False)
        self.weight_v = nn.Parameter(torch.empty(shape), requires_grad=False)

    def fuse(self) -> None:
        """Replace the pair by the weight itself, in the order that the convolution needs."""
        if "weight" not in self._parameters:
            weight = self._fused()
            del self.weight_g, self.weight_v
            self.weight = nn.Parameter(weight, requires_grad=False)

    def _fused(self) -> Tensor:
        v = self.weight_v.float()
        length = v.flatten(1).norm(dim=1).view(-1, 1, 1)
        weight = (self.weight_g.float() * v / length).to(self.weight_v.dtype)
        return weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """float32 in channels-last order in and out; the product in the weights' type."""
        weight = self.weight if "weight" in self._parameters else self._fused()
        x = x.to(weight.dtype)
        if self.stride:
            padding = (0, self.stride // 2)
            y = F.conv_transpose2d(x, weight, self.bias, stride=(1, self.stride), padding=padding)
        else:
            y = F.conv2d(
                x, weight, self.bias, padding=(0, self.padding), dilation=(1, self.dilation)
            )
        return y.float()


class PitchPredictor(nn.Module):
    """(B, mel, T) -> (B, T) fundamental frequency in Hz; always in float32.

    Each of its convolutions sees one frame to either side: `reach` frames in all.
    """

    def __init__(self, mel: int, width: int, layers: int) -> None:
        super().__init__()
        self.reach = layers
        # Named by their places in a sequence whose every second entry is an activation.
        self.condnet = nn.ModuleDict(
            {str(2 * n): NormConv(width if n else mel, width, 3) for n in range(layers)}
        )
        self.classifier = nn.Linear(width, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """See the class."""
        x = image(mel)
        for conv in self.condnet.values():
            x = F.elu(conv(x))
        hz: Tensor = self.classifier(x.squeeze(2).transpose(1, 2)).squeeze(2)
        return hz.abs()


@dataclass(frozen=True)
class Phases:
    """Where the sines are: the first phase of each, and the cycles since, between 0 and 1.

    start: (1, H, 1) float32, radians. cycles: (1, H, 1) float64.
    """

    start: Tensor
    cycles: Tensor


class HarmonicSource(nn.Module):
    """Pitch and noise -> (1, 1, N) the raw sound, between -1 and 1."""

    def __init__(self, harmonics: int, sample_rate_hz: int, hop: int) -> None:
        super().__init__()
        self.sample_rate_hz = sample_rate_hz
        self.hop = hop
        self.l_linear = nn.Linear(harmonics, 1)

    @property
    def harmonics(self) -> int:
        """How many sines."""
        return self.l_linear.in_features

    def begin(self, phases: Tensor) -> Phases:
        """The state before the first sample; phases: (1, H, 1), of which the first counts as 0."""
        start = phases.float().clone()
        start[:, 0] = 0.0
        return Phases(start, torch.zeros_like(start, dtype=torch.float64))

    def forward(
        self, hz: Tensor, state: Phases, noise: Tensor, compat: Compat = "fixed"
    ) -> tuple[Tensor, Phases]:
        """hz: (1, T). noise: (1, H, hop * T) standard normal. Also gives the state behind it.

        "reference" rounds the sum of all cycles to float32 before it takes the fraction, as the
        original does; the error of the phase grows with the length of the sound.
        """
        hz = hz.repeat_interleave(self.hop, 1).unsqueeze(1)  # (1, 1, N)
        number = torch.arange(1, self.harmonics + 1, device=hz.device).view(1, -1, 1)
        steps = hz * number / self.sample_rate_hz  # cycles, (1, H, N)
        total = steps.cumsum(2, dtype=torch.float64) + state.cycles
        cycles = (total.float() if compat == "reference" else total) % 1
        sine = SINE * torch.sin(2 * math.pi * cycles.float() + state.start)
        voiced = (hz > VOICED_ABOVE_HZ).float()
        loudness = voiced * VOICED_NOISE + (1 - voiced) * (SINE / 3)
        mixed = self.l_linear((sine * voiced + loudness * noise).transpose(1, 2))  # (1, N, 1)
        after = Phases(state.start, total[:, :, -1:] % 1)
        return torch.tanh(mixed).transpose(1, 2), after


class Spectrum:
    """Short-time spectra of `size` samples every `size / 4`, Hann window, as matrix products.

    Frames are centred, the signal reflected at its ends, as torch.stft and istft do by default.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.hop = size // 4
        place = torch.arange(size, dtype=torch.float64, device="cpu")  # a model's may be "meta"
        angle = 2 * math.pi * torch.outer(place, place[: size // 2 + 1]) / size  # (size, bins)
        window = 0.5 - 0.5 * torch.cos(2 * math.pi * place / size)
        waves = torch.cat((angle.cos(), -angle.sin()), 1)  # (size, 2 bins)
        twice = torch.full_like(place[: size // 2 + 1], 2.0)
        twice[0] = twice[-1] = 1.0
        there = window[:, None] * waves
        back = (waves * twice.repeat(2) * window[:, None] / size).T
        self._made = tuple(part.float() for part in (there, back, window.square()))
        self._on: dict[torch.device, tuple[Tensor, ...]] = {}

    def analyse(self, wave: Tensor) -> Tensor:
        """(B, 1, N) float32 -> (B, N / hop + 1, 2 bins): real parts, then imaginary ones."""
        half = self.size // 2
        padded = F.pad(wave, (half, half), mode="reflect").squeeze(1)
        return padded.unfold(1, self.size, self.hop) @ self._constants(wave.device)[0]

    def combine(self, spectrum: Tensor) -> Tensor:
        """(B, frames, 2 bins) float32 -> (B, (frames - 1) hop): the wave with these spectra."""
        _, back, square = self._constants(spectrum.device)
        frames = spectrum @ back  # (B, frames, size)
        envelope = self._overlapped(square.expand_as(frames[:1]))
        return self._overlapped(frames) / envelope

    def _constants(self, device: torch.device) -> tuple[Tensor, ...]:
        """Matrices there and back and the window's square, copied to a device but once."""
        if device not in self._on:
            self._on[device] = tuple(part.to(device) for part in self._made)
        return self._on[device]

    def _overlapped(self, frames: Tensor) -> Tensor:
        """Sum of all frames at their places, half a frame cut off at either end."""
        batch, count, _ = frames.shape
        parts = frames.reshape(batch, count, 4, self.hop)
        total = frames.new_zeros(batch, count + 3, self.hop)
        for quarter in range(4):
            total[:, quarter : quarter + count] += parts[:, :, quarter]
        half = self.size // 2
        return total.flatten(1)[:, half:-half]


def image(x: Tensor) -> Tensor:
    """(B, C, T) -> (B, C, 1, T) in channels-last order."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
