# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech units (12.5 a second) in -> a waveform at 22,050 Hz out, whole or as the units come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from exomni_core.errors import InputError
from exomni_core.omni.config import Compat
from exomni_core.omni.speech.flow import Flow, FlowConfig
from exomni_core.omni.speech.flow_encoder import frames_of
from exomni_core.omni.speech.speech_noise import DrawnNoise, NoiseBank, ReferenceNoise
from exomni_core.omni.speech.speech_reference import ReferenceState, reference_block
from exomni_core.omni.speech.speech_stream import SCHEDULE, StreamState, next_frames
from exomni_core.omni.speech.vocoder import Vocoder, VocoderConfig
from exomni_core.omni.tensor_files import tensors_in

# Longer utterances are decoded block by block, so that cost and memory grow with length alone.
WHOLE_UNITS: Final = 500
LONG_SCHEDULE: Final = (250,)
# Rows of several lengths that one batch holds: on CPUs a batch costs what its rows cost.
BATCH_ROWS: Final = {"cpu": 1, "cuda": 8}

Units = Sequence[int] | Tensor
DecoderState = StreamState | ReferenceState
_Model = TypeVar("_Model", Flow, Vocoder)
_Shapes = Mapping[str, Sequence[int]]
_MEND: Final = "get the speech decoder's files again (flow.pt, hift.pt)"


class SpeechDecoder(nn.Module):
    """Flow and vocoder, always without dropout; the host's random numbers stay as they are.

    compat: "fixed" corrects the release's streaming and draws noise by its place in the utterance;
    "reference" repeats the release exactly, with its seed 42 and its growing cost.
    Units below 0 count as 0, as in the release.
    """

    sample_rate_hz: Final = 22_050

    def __init__(self, flow: Flow, vocoder: Vocoder, *, compat: Compat = "fixed") -> None:
        super().__init__()
        self.flow = flow
        self.vocoder = vocoder
        self.compat = compat
        self.eval()

    @classmethod
    def load(
        cls,
        flow_pt: Path,
        hift_pt: Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        compat: Compat = "fixed",
    ) -> SpeechDecoder:
        """Load the published files; InputError names the file and the tensors that don't fit.

        dtype: of the flow's products. The vocoder stays float32: it costs little, and what bfloat16
        would add to it is noise at -48 dB, right in the sound.
        """
        flow = _loaded(flow_pt, FlowConfig, Flow)
        flow.to(device=device, dtype=dtype).fuse()
        vocoder = _loaded(hift_pt, VocoderConfig, Vocoder)
        vocoder.to(device=device, dtype=torch.float32).fuse_weight_norm()
        for parameter in (*flow.parameters(), *vocoder.parameters()):
            parameter.data = parameter.data.clone()  # no longer mapped from the file
        return cls(flow, vocoder, compat=compat)

    def decode(self, units: Units, *, seed: int = 0) -> Tensor:
        """(S,) float32 in [-0.99, 0.99] on the CPU, S = 256 * frames_of(number of units).

        seed: the same one gives the same sound; "reference" always uses 42. InputError if a unit is
        unknown. More than 500 units are decoded in blocks of 250, as a stream would be.
        """
        numbers = self._checked(units)
        if self.compat == "reference":
            return self.push(self.start(), numbers, final=True)
        return self.push(self._new_stream(seed, _schedule(len(numbers))), numbers, final=True)

    def decode_many(
        self, rows: Sequence[Units], seeds: Sequence[int] | None = None, *, at_once: int = 0
    ) -> list[Tensor]:
        """The result of `decode` for each row (up to rounding), with several rows in one batch.

        seeds: one for each row, 0 by default. at_once: rows in a batch; 0 for what suits the
        device: 1 on CPUs, which gain nothing, 8 on CUDA.
        """
        numbers = [self._checked(row) for row in rows]
        seeds = [0] * len(rows) if seeds is None else seeds
        at_once = at_once or BATCH_ROWS.get(self.flow.device.type, 1)
        together: list[int] = []
        waves: dict[int, Tensor] = {}
        for row, (units, seed) in enumerate(zip(numbers, seeds, strict=True)):
            if at_once > 1 and self.compat == "fixed" and 0 < len(units) <= WHOLE_UNITS:
                together.append(row)
            else:
                waves[row] = self.decode(units, seed=seed)
        together.sort(key=lambda row: len(numbers[row]))  # so that little is padded
        for begin in range(0, len(together), at_once):
            batch = together[begin : begin + at_once]
            found = self._batch([numbers[row] for row in batch], [seeds[row] for row in batch])
            waves.update(zip(batch, found, strict=True))
        return [waves[row] for row in range(len(rows))]

    def start(self, *, seed: int = 0, noise: ReferenceNoise | None = None) -> DecoderState:
        """The state of a new utterance, for `push`; seed as in `decode`.

        noise: for "reference" alone, other numbers than those that the release draws.
        """
        if self.compat == "fixed":
            return self._new_stream(seed, SCHEDULE)
        config = self.vocoder.config
        return ReferenceState(noise or (lambda _call: DrawnNoise(config.mel, config.harmonics)))

    @torch.inference_mode()
    def push(self, state: DecoderState, units: Units, *, final: bool) -> Tensor:
        """Take more units; return the finished samples, (n,) float32 on the CPU, n >= 0.

        final: no more will come. All calls together return as many samples as `decode`. How the
        units are split over calls changes nothing: they are worked on in blocks of 10, 25, 50, 50
        and so on. In "reference" each call is a block, and a last call without units gives
        nothing. ValueError after the last call.
        """
        if state.ended:
            raise ValueError("this utterance has ended; start another")
        numbers = self._checked(units)
        if isinstance(state, StreamState):
            return self._push_stream(state, numbers, final=final)
        if not numbers:
            state.ended = final
            return torch.zeros(0)
        return reference_block(self.flow, self.vocoder, state, numbers, final=final).wave[0].cpu()

    def _push_stream(self, state: StreamState, units: list[int], *, final: bool) -> Tensor:
        state.units += units
        waves = [torch.zeros(0)]
        while (mel := next_frames(self.flow, state, final=final)) is not None:
            state.ended = final and not state.waiting and state.held is None
            waves.append(self.vocoder.push(state.vocoder, mel, final=state.ended)[0].cpu())
        state.ended = final
        return torch.cat(waves)

    def _new_stream(self, seed: int, schedule: Sequence[int]) -> StreamState:
        config = self.vocoder.config
        noise = NoiseBank(seed, mel=config.mel, harmonics=config.harmonics, hop=config.hop)
        return StreamState(
            noise=noise,
            vocoder=self.vocoder.start(noise.phases(), noise.samples),
            mel=torch.zeros(1, config.mel, 0, device=self.flow.device),
            schedule=schedule,
        )

    @torch.inference_mode()
    def _batch(self, rows: list[list[int]], seeds: list[int]) -> list[Tensor]:
        lengths = [len(row) for row in rows]
        counts = [frames_of(length) for length in lengths]
        units = torch.zeros(len(rows), max(lengths), dtype=torch.int64)
        states = [self._new_stream(seed, SCHEDULE) for seed in seeds]
        noise = torch.zeros(len(rows), self.vocoder.config.mel, max(counts))
        for number, (row, state) in enumerate(zip(rows, states, strict=True)):
            units[number, : len(row)] = torch.tensor(row)
            noise[number, :, : counts[number]] = state.noise.mel(0, counts[number])[0]
        device = self.flow.device
        mels = self.flow(units.to(device), noise=noise.to(device), lengths=lengths)
        return [
            self.vocoder.push(state.vocoder, mel[None, :, :count], final=True)[0].cpu()
            for state, mel, count in zip(states, mels, counts, strict=True)
        ]

    def _checked(self, units: Units) -> list[int]:
        numbers = units.flatten().tolist() if isinstance(units, Tensor) else list(units)
        vocab = self.flow.config.vocab
        if numbers and max(numbers) >= vocab:
            raise InputError(
                f"speech unit {max(numbers)} is unknown to this speech decoder, which has {vocab}; "
                "use the decoder that belongs to the model"
            )
        return numbers


def _schedule(units: int) -> tuple[int, ...]:
    """One block that holds everything, or long ones."""
    return LONG_SCHEDULE if units > WHOLE_UNITS else (units + 1,)


def _loaded(
    path: Path, sizes: type[FlowConfig] | type[VocoderConfig], kind: type[_Model]
) -> _Model:
    """A model with the weights of `path`, mapped from the file; InputError if they don't fit."""
    if not path.is_file():
        raise InputError(f"there is no file {path}; {_MEND}")
    tensors = dict(tensors_in(path))
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        config = sizes.from_state_dict(shapes)
    except (LookupError, ValueError, ArithmeticError):
        config = sizes()  # the published sizes show best what is wrong
    with torch.device("meta"):
        model = kind(config)  # type: ignore[arg-type]
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    _compare(path, wanted, shapes)
    if any(not tensor.is_floating_point() for tensor in tensors.values()):
        raise InputError(f"{path} holds quantised weights, which this version can't use; {_MEND}")
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.requires_grad_(False)


def _compare(path: Path, wanted: _Shapes, found: _Shapes) -> None:
    """InputError if names or shapes differ."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(f"{path} lacks {_some(missing)}; {_MEND}")
    unknown = [name for name in found if name not in wanted]
    if unknown:
        raise InputError(f"{path} holds what no speech decoder has: {_some(unknown)}; {_MEND}")
    misshapen = [
        f"{name} of shape {list(found[name])} instead of {list(shape)}"
        for name, shape in wanted.items()
        if found[name] != shape
    ]
    if misshapen:
        raise InputError(f"{path} doesn't fit: {_some(misshapen)}; {_MEND}")


def _some(names: Sequence[str], most: int = 3) -> str:
    """The first few of `names`, and how many there are."""
    count = "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
    more = ", ..." if len(names) > most else ""
    return f"{count} ({', '.join(names[:most])}{more})"
