# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech units in, mel and wave out, the plain way: what our speech decoder is measured against.

Written by us from the published shapes (flow.pt, hift.pt) and formulas, as research code lays such
models out: channels first, torch's own convolutions, norms and weight norm, three separate
attention products, the time embedded anew at every step, the guided and the free answer in two
passes. Nothing is slower on purpose: inference mode, SDPA attention, no mask where none is needed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from exomni_core.omni.speech.flow import Flow, FlowConfig
from exomni_core.omni.speech.flow_encoder import EncoderConfig
from exomni_core.omni.speech.flow_estimator import EstimatorConfig
from exomni_core.omni.speech.vocoder import Vocoder, VocoderConfig

STEPS, GUIDANCE = 10, 0.7


def named(**modules: nn.Module) -> nn.ModuleDict:
    """Modules under the names of the checkpoint."""
    return nn.ModuleDict(modules)


class Relative(nn.Module):
    """Attention with relative positions, by padding and shifting the scores."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for name in ("q", "k", "v", "out"):
            setattr(self, f"linear_{name}", nn.Linear(width, width))
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(heads, width // heads))
        self.pos_bias_v = nn.Parameter(torch.empty(heads, width // heads))

    def forward(self, x: Tensor, table: Tensor, mask: Tensor) -> Tensor:
        """x: (1, T, C). table: (1, 2T - 1, C). mask: (T, T) bool, True where seen."""
        q, k, v = (f(x).unflatten(2, (self.heads, -1)) for f in self._projections())
        p = self.linear_pos(table).unflatten(2, (self.heads, -1)).transpose(1, 2)
        k, v = k.transpose(1, 2), v.transpose(1, 2)  # (1, heads, T, C / heads)
        content = (q + self.pos_bias_u).transpose(1, 2) @ k.transpose(2, 3)
        place = self._shifted((q + self.pos_bias_v).transpose(1, 2) @ p.transpose(2, 3))
        scores = (content + place) / math.sqrt(q.shape[3])
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=3)
        return self.linear_out((weights @ v).transpose(1, 2).flatten(2))

    def _projections(self) -> tuple[Any, ...]:
        return self.linear_q, self.linear_k, self.linear_v

    def _shifted(self, scores: Tensor) -> Tensor:
        batch, heads, rows, columns = scores.shape
        padded = torch.cat((scores.new_zeros(batch, heads, rows, 1), scores), dim=3)
        padded = padded.view(batch, heads, columns + 1, rows)[:, :, 1:]
        return padded.reshape(batch, heads, rows, columns)[:, :, :, : columns // 2 + 1]


class Encoder(nn.Module):
    """Units' vectors -> vectors that know their neighbourhood; blocks of units see each other."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.embed = named(out=nn.Sequential(nn.Linear(config.inputs, width), nn.LayerNorm(width)))
        self.encoders = nn.ModuleList(
            named(
                self_attn=Relative(width, config.heads),
                feed_forward=named(
                    w_1=nn.Linear(width, config.feed_forward),
                    w_2=nn.Linear(config.feed_forward, width),
                ),
                norm_ff=nn.LayerNorm(width),
                norm_mha=nn.LayerNorm(width),
            )
            for _ in range(config.layers)
        )
        self.after_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(1, T, inputs) -> (1, T, C)."""
        units, width = x.shape[1], self.config.width
        x = self.embed["out"](x) * math.sqrt(width)
        distance = torch.arange(units - 1, -units, -1.0, device=x.device)[:, None]
        rates = torch.exp(
            torch.arange(0, width, 2.0, device=x.device) * -(math.log(10_000.0) / width)
        )
        table = torch.zeros(1, len(distance), width, device=x.device, dtype=x.dtype)
        table[0, :, 0::2] = torch.sin(distance * rates)
        table[0, :, 1::2] = torch.cos(distance * rates)
        block = torch.arange(units, device=x.device) // self.config.block
        mask = block[None] <= block[:, None]
        layers: Any = self.encoders
        for layer in layers:
            x = x + layer["self_attn"](layer["norm_mha"](x), table, mask)
            inner = layer["feed_forward"]
            x = x + inner["w_2"](F.silu(inner["w_1"](layer["norm_ff"](x))))
        return self.after_norm(x)


class Regulator(nn.Module):
    """(1, C, T) at the rate of units -> (1, C, L) at that of frames."""

    def __init__(self, mel: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(4):
            layers += [nn.Conv1d(mel, mel, 3, padding=1), nn.GroupNorm(1, mel), nn.Mish()]
        self.model = nn.Sequential(*layers, nn.Conv1d(mel, mel, 1))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Nearest neighbours, then convolutions."""
        return self.model(F.interpolate(x, size=frames, mode="nearest"))


class Block(nn.Module):
    """Convolution, group norm, Mish."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv1d(inputs, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.Mish()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, L) -> (B, outputs, L)."""
        return self.block(x)


class Residual(nn.Module):
    """Two blocks with the time between them, beside a plain product."""

    def __init__(self, inputs: int, outputs: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time, outputs))
        self.block1, self.block2 = Block(inputs, outputs), Block(outputs, outputs)
        self.res_conv = nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x: (B, inputs, L), time: (1, inner)."""
        h = self.block2(self.block1(x) + self.mlp(time)[:, :, None])
        return h + self.res_conv(x)


class Attention(nn.Module):
    """Self-attention over all frames."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        q, k, v = (
            f(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for f in (self.to_q, self.to_k, self.to_v)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return self.to_out[0](y.transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """Attention and feed-forward, each behind its norm."""

    def __init__(self, width: int, config: EstimatorConfig) -> None:
        super().__init__()
        self.norm1, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn1 = Attention(width, config.heads, config.heads * config.head_width)
        self.ff = named(
            net=nn.ModuleList(
                [
                    named(proj=nn.Linear(width, config.feed_forward)),
                    nn.Identity(),
                    nn.Linear(config.feed_forward, width),
                ]
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        x = x + self.attn1(self.norm1(x))
        first, _, last = self.ff["net"]
        return x + last(F.gelu(first["proj"](self.norm3(x))))


class Estimator(nn.Module):
    """The UNet."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.channels

        def stage(inputs: int, outputs: int, *rate: nn.Module) -> nn.ModuleList:
            blocks = nn.ModuleList(Transformer(outputs, config) for _ in range(config.blocks))
            return nn.ModuleList([Residual(inputs, outputs, config.time_inner), blocks, *rate])

        half = named(conv=nn.Conv1d(first, first, 3, 2, 1))
        double = named(conv=nn.ConvTranspose1d(first, first, 4, 2, 1))
        self.time_mlp = named(
            linear_1=nn.Linear(config.inputs, config.time_inner),
            linear_2=nn.Linear(config.time_inner, config.time_inner),
        )
        self.down_blocks = nn.ModuleList(
            [
                stage(config.inputs, first, half),
                stage(first, second, nn.Conv1d(second, second, 3, padding=1)),
            ]
        )
        self.mid_blocks = nn.ModuleList(stage(second, second) for _ in range(config.middle))
        self.up_blocks = nn.ModuleList(
            [
                stage(2 * second, first, double),
                stage(2 * first, first, nn.Conv1d(first, first, 3, padding=1)),
            ]
        )
        self.final_block = Block(first, first)
        self.final_proj = nn.Conv1d(first, config.mel, 1)

    def forward(self, x: Tensor, mu: Tensor, time: Tensor, speaker: Tensor, cond: Tensor) -> Tensor:
        """x, mu, cond: (1, mel, L). time: a number. speaker: (1, mel). Gives (1, mel, L)."""
        embedded = self._embedded(time, x.dtype)
        x = torch.cat((x, mu, speaker[:, :, None].expand_as(x), cond), dim=1)
        skips = []
        for number, (residual, blocks, rate) in enumerate(self.down_blocks):  # type: ignore[misc]
            x = self._stage(x, embedded, residual, blocks)
            skips.append(x)
            x = rate["conv"](x) if number == 0 else rate(x)
        for residual, blocks in self.mid_blocks:  # type: ignore[misc]
            x = self._stage(x, embedded, residual, blocks)
        for number, (residual, blocks, rate) in enumerate(self.up_blocks):  # type: ignore[misc]
            skip = skips.pop()
            x = torch.cat((x[:, :, : skip.shape[2]], skip), dim=1)
            x = self._stage(x, embedded, residual, blocks)
            x = rate["conv"](x) if number == 0 else rate(x)
        return self.final_proj(self.final_block(x))

    def _stage(self, x: Tensor, time: Tensor, residual: Any, blocks: Any) -> Tensor:
        x = residual(x, time).transpose(1, 2)
        for block in blocks:
            x = block(x)
        return x.transpose(1, 2)

    def _embedded(self, time: Tensor, dtype: torch.dtype) -> Tensor:
        half = self.config.inputs // 2
        index = torch.arange(half, device=time.device).float()
        angle = 1000.0 * time * torch.exp(index * -(math.log(10_000.0) / (half - 1)))
        table = torch.cat((angle.sin(), angle.cos()))[None].to(dtype)
        return self.time_mlp["linear_2"](F.silu(self.time_mlp["linear_1"](table)))


class RivalFlow(nn.Module):
    """Units to mel."""

    def __init__(self, flow: Flow) -> None:
        """flow: ours, not yet fused; its weights are shared."""
        super().__init__()
        self.config: FlowConfig = flow.config
        config = flow.config
        with torch.device("meta"):
            self.input_embedding = nn.Embedding(config.vocab, config.encoder.inputs)
            self.spk_embed_affine_layer = nn.Linear(config.speaker, config.mel)
            self.encoder = Encoder(config.encoder)
            self.encoder_proj = nn.Linear(config.encoder.width, config.mel)
            self.length_regulator = Regulator(config.mel)
            self.decoder = named(estimator=Estimator(config.estimator))
        self.load_state_dict(flow.state_dict(), strict=True, assign=True)
        self.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, units: Sequence[int], noise: Tensor) -> Tensor:
        """noise: (1, mel, L) float32 -> (1, mel, L) float32."""
        device = noise.device
        weight = self.encoder_proj.weight
        ids = torch.tensor([list(units)], device=device)
        speaker = torch.zeros(1, self.config.speaker, device=device, dtype=weight.dtype)
        speaker = self.spk_embed_affine_layer(F.normalize(speaker, dim=1))
        x = self.encoder_proj(self.encoder(self.input_embedding(ids)))
        mu = self.length_regulator(x.transpose(1, 2), noise.shape[2])
        cond = torch.zeros_like(mu)
        nothing, nobody = torch.zeros_like(mu), torch.zeros_like(speaker)
        times = 1 - torch.cos(torch.linspace(0, 1, STEPS + 1, device=device) * 0.5 * math.pi)
        x, time = noise.to(weight.dtype), times[0]
        length = times[1] - times[0]
        estimator = self.decoder["estimator"]
        for step in range(1, STEPS + 1):
            guided = estimator(x, mu, time, speaker, cond)
            free = estimator(x, nothing, time, nobody, cond)
            x = x + (length * ((1 + GUIDANCE) * guided - GUIDANCE * free)).to(x.dtype)
            time = time + length
            if step < STEPS:
                length = times[step + 1] - time
        return x.float()


def norm_conv(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Module:
    """A convolution that multiplies its length back onto its direction at every call."""
    padding = dilation * (kernel - 1) // 2
    return _normed(nn.Conv1d(inputs, outputs, kernel, padding=padding, dilation=dilation))


def _normed(conv: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has a newer kind, with other names
        return nn.utils.weight_norm(conv)


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        alpha = self.alpha[None, :, None]
        return x + torch.sin(x * alpha).pow(2) / (alpha + 1e-9)


class ResBlock(nn.Module):
    """Pairs of convolutions, each pair summed onto its input."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(norm_conv(channels, channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(norm_conv(channels, channels, kernel) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        for conv1, conv2, snake1, snake2 in zip(
            self.convs1, self.convs2, self.activations1, self.activations2, strict=True
        ):
            x = x + conv2(snake2(conv1(snake1(x))))
        return x


class RivalVocoder(nn.Module):
    """Mel to wave."""

    def __init__(self, vocoder: Vocoder) -> None:
        """vocoder: ours, not yet fused; its weights are shared."""
        super().__init__()
        self.config: VocoderConfig = vocoder.config
        config = vocoder.config
        width, bins = config.channels, config.spectrum + 2
        self.m_source = named(l_linear=nn.Linear(config.harmonics, 1))
        self.conv_pre = norm_conv(config.mel, width, 7)
        ups, downs, own, blocks = [], [], [], []
        for stage, kernel in enumerate(config.ups):
            stride, width = kernel // 2, width // 2
            up = nn.ConvTranspose1d(2 * width, width, kernel, stride, stride // 2)
            ups.append(_normed(up))
            rest = math.prod(k // 2 for k in config.ups[stage + 1 :])
            kernel = 1 if rest == 1 else 2 * rest
            downs.append(nn.Conv1d(bins, width, kernel, rest, rest // 2))
            own.append(ResBlock(width, config.source_kernels[stage], config.dilations))
            blocks += [ResBlock(width, k, config.dilations) for k in config.kernels]
        self.ups, self.source_downs = nn.ModuleList(ups), nn.ModuleList(downs)
        self.source_resblocks, self.resblocks = nn.ModuleList(own), nn.ModuleList(blocks)
        self.conv_post = norm_conv(width, bins, 7)
        layers: list[nn.Module] = []
        for number in range(config.pitch_layers):
            inputs = config.pitch_width if number else config.mel
            layers += [norm_conv(inputs, config.pitch_width, 3), nn.ELU()]
        self.f0_predictor = named(
            condnet=nn.Sequential(*layers), classifier=nn.Linear(config.pitch_width, 1)
        )
        # Weight norm makes a tensor at construction, so this isn't built without memory.
        self.load_state_dict(vocoder.state_dict(), strict=True, assign=True)
        self.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, mel: Tensor, phases: Tensor, noise: Tensor) -> Tensor:
        """(1, mel, T), (1, H, 1) phases and (1, H, hop T) noise -> (1, hop T)."""
        size = self.config.spectrum
        predictor = self.f0_predictor
        hz = predictor["classifier"](predictor["condnet"](mel).transpose(1, 2)).abs()
        source = self._source(hz.transpose(1, 2), phases, noise)
        window = torch.hann_window(size, device=mel.device)
        spectrum = torch.stft(source[:, 0], size, size // 4, window=window, return_complex=True)
        spectrum = torch.cat((spectrum.real, spectrum.imag), dim=1)
        x = self.conv_pre(mel)
        parts = len(self.config.kernels)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            if stage == len(self.ups) - 1:
                x = F.pad(x, (1, 0), mode="reflect")
            x = x + self.source_resblocks[stage](self.source_downs[stage](spectrum))
            blocks = self.resblocks[stage * parts : (stage + 1) * parts]
            x = sum(block(x) for block in blocks) / parts
        x = self.conv_post(F.leaky_relu(x))
        size_of, turn = x.chunk(2, dim=1)
        size_of, turn = size_of.exp().clamp(max=100.0), turn.sin()
        made = torch.complex(size_of * turn.cos(), size_of * turn.sin())
        wave = torch.istft(made, size, size // 4, window=window)
        return wave.clamp(-0.99, 0.99)

    def _source(self, hz: Tensor, phases: Tensor, noise: Tensor) -> Tensor:
        hz = F.interpolate(hz, scale_factor=float(self.config.hop), mode="nearest")  # (1, 1, N)
        harmonics = [hz * (n + 1) / self.config.sample_rate_hz for n in range(phases.shape[1])]
        cycles = torch.cat(harmonics, dim=1).double().cumsum(dim=2) % 1
        sine = 0.1 * torch.sin(2 * math.pi * cycles.float() + phases)
        voiced = (hz > 10.0).float()
        mixed = sine * voiced + (0.003 * voiced + (0.1 / 3) * (1 - voiced)) * noise
        return torch.tanh(self.m_source["l_linear"](mixed.transpose(1, 2))).transpose(1, 2)
