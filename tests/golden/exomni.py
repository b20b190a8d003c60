# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of Ex-Omni golden fixtures in -> one Result per array, float32 on the CPU.

The weights follow from the folder's manifest by a counting hash; they are written as a sharded
checkpoint and loaded like any other. Shapes and seeds come from the folder, none from here.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result import Result
from safetensors.torch import save_file
from torch import Tensor

from exomni_core.arkit import ARKIT_52
from exomni_core.omni.decoding.decode_loop import Decoded, DecodeLoop, Request
from exomni_core.omni.decoding.reference_loop import reference_units
from exomni_core.omni.nets.audio_features import MelExtractor
from exomni_core.omni.nets.backbone import Backbone
from exomni_core.omni.nets.face_decoder import arkit_weights, frame_count, periodic_rope, stretch
from exomni_core.omni.nets.language_model import TextRule
from exomni_core.omni.nets.sampling import RECENT_UNITS, TextSampling, is_repeated, nucleus
from exomni_core.omni.nets.speech_generator import UnitRule, unit_limits
from exomni_core.omni.prompting import Turn, framed
from exomni_core.omni.training.losses import face_loss, unit_loss
from exomni_core.omni.training.splice import splice_batch
from exomni_core.omni.weights.parts import PartLoader, read_config

Arrays = Mapping[str, np.ndarray]
TOLERANCE = {"mel": 1e-4, "encoder": 1e-5, "llm": 1e-4, "prefix": 1e-4, "ar": 2e-4, "face": 5e-5}


def encoded_length(mel_frames: int | Tensor) -> Any:
    """Mel frames -> encoder frames."""
    half = (mel_frames + 1) // 2
    return half.clamp(min=1) if isinstance(half, torch.Tensor) else max(1, half)


def recipe(seed: int, key: str, shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0) -> Any:
    """What the fixtures' hash gives for `key`: float32, uniform, of that mean and deviation."""
    base = np.frombuffer(hashlib.sha256(f"{seed}|{key}".encode()).digest()[:8], "<u8")[0]
    with np.errstate(over="ignore"):
        s = np.arange(int(np.prod(shape)), dtype=np.uint64) + base + np.uint64(0x9E3779B97F4A7C15)
        s = (s ^ (s >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        s = (s ^ (s >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        s = s ^ (s >> np.uint64(31))
    u = ((s >> np.uint64(40)).astype(np.float64) + 0.5) / 2.0**24 - 0.5
    return (mean + std * np.sqrt(12.0) * u).astype(np.float32).reshape(shape)


def write_checkpoint(fixtures: Path, folder: Path) -> int:
    """The manifest's weights in the published layout, in two shards; returns the seed."""
    manifest = json.loads((fixtures / "weights_manifest.json").read_text())
    seed = manifest["seed"]
    tensors = {
        key: torch.from_numpy(recipe(seed, key, tuple(t["shape"]), t["mean"], t["std"]))
        for key, t in manifest["tensors"].items()
        if t["kind"] == "uniform"
    }
    names = sorted(tensors)
    half = len(names) // 2
    for number, part in enumerate((names[:half], names[half:])):
        save_file({n: tensors[n] for n in part}, folder / f"model-{number}.safetensors")
    config = json.loads((fixtures / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    for field, source in (
        ("pretrain_speech_encoder_weights", "whisper_config.json"),
        ("pretrain_speech_generator_weights", "speech_generator_config.json"),
    ):
        side = folder / Path(config[field]).name
        side.mkdir()
        shutil.copyfile(fixtures / source, side / "config.json")
    return int(seed)


@dataclass(frozen=True)
class ForcedEnd:
    """The fixtures' rule: the likeliest unit, and the end as soon as `stop_at` units exist."""

    rule: UnitRule
    stop_at: int
    draws: int = 2
    stream: str = "units"

    def choose(self, hidden: Tensor, made: Tensor, past: Tensor, u: Tensor, low: Tensor) -> Tensor:
        ids = self.rule.choose(hidden, made, past, u, low)
        return torch.where(made >= self.stop_at, self.rule.generator.units, ids)

    def ends(self, ids: Tensor) -> Tensor:
        return self.rule.ends(ids)

    def embed(self, ids: Tensor) -> Tensor:
        return self.rule.embed(ids)


class Fixtures:
    """The folder, its arrays, and the model's parts with its weights."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.seed = write_checkpoint(folder, scratch)
        self.config = read_config(scratch)
        loader = PartLoader(scratch, self.config, device=torch.device("cpu"), dtype=torch.float32)
        self.llm: Any = loader.load("language_model")
        self.encoder: Any = loader.load("speech_encoder")
        self.projector: Any = loader.load("speech_projector")
        self.generator: Any = loader.load("speech_generator")
        self.face: Any = loader.load("blendshape_generator")

    def arrays(self, name: str) -> Arrays:
        return dict(np.load(self.folder / f"{name}.npz"))

    def json(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text())

    def noise(self, name: str, shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0) -> Any:
        return torch.from_numpy(recipe(self.seed, f"input:{name}", shape, mean, std))

    @cached_property
    def has(self) -> set[str]:
        return {p.stem for p in self.folder.iterdir()}

    def features(self, mel: Tensor, mel_frames: int | None = None) -> Tensor:
        """(1, n_mels, frames) -> the block of speech features (s, H)."""
        block: Tensor = self.projector(self.encoder(mel))[0]
        if mel_frames is None:
            mel_frames = mel.shape[-1]
        return block[: encoded_length(mel_frames) // self.config.stack]

    def text(self, prompt: Tensor, count: int, end_ids: tuple[int, ...] = ()) -> Decoded:
        rule = TextRule(self.llm, TextSampling(temperature=0.0), end_ids)
        return _decode(self.llm.backbone, rule, Request(prompt, 0, count, 0))

    def units(self, hidden: Tensor, ids: Tensor, stop_at: int | None = None) -> Decoded:
        """Greedy units for text `ids` (1, N) of which, as in the release, the last is dropped."""
        prompt = self.generator.prompt(hidden, ids[:, :-1])
        least, most = unit_limits(ids.shape[1] - 1)
        rule: Any = UnitRule(self.generator, greedy=True)
        if stop_at is not None:
            rule = ForcedEnd(rule, stop_at)
        return _decode(self.generator.backbone, rule, Request(prompt, least, most, 0))


def check(folder: Path) -> Iterator[Result]:
    """Every array of every fixture file in `folder`."""
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        fixtures = Fixtures(folder, Path(scratch))
        for name, one in CHECKS.items():
            if name.partition("+")[0] in fixtures.has:
                for result in one(fixtures):
                    yield replace(result, name=f"exomni/{name}/{result.name}")


def _decode(backbone: Backbone, rule: Any, request: Request) -> Decoded:
    loop = DecodeLoop(backbone, rule, rows=1, room=request.most, positions=request.prompt.shape[1])
    loop.admit([request])
    loop.run(lambda: None)
    return loop.result(0)


def _t(array: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def close(name: str, ours: Any, golden: Any, tolerance: float) -> Result:
    """Largest absolute difference; a wrong shape counts as infinite."""
    ours, golden = np.asarray(ours), np.asarray(golden)
    if ours.shape != golden.shape:
        return Result(name, np.inf, tolerance, f"shape {ours.shape} instead of {golden.shape}")
    if golden.size == 0:
        return Result(name, 0.0, tolerance, "empty")
    error = np.abs(ours.astype(np.float64) - golden.astype(np.float64)).max()
    return Result(name, float(error), tolerance)


def same(name: str, ours: Any, golden: Any, note: str = "") -> Result:
    """How many entries differ."""
    ours, golden = np.asarray(ours), np.asarray(golden)
    if ours.shape != golden.shape:
        return Result(name, np.inf, 0.0, f"shape {ours.shape} instead of {golden.shape}")
    return Result(name, float((ours != golden).sum()), 0.0, note)


def check_mel(f: Fixtures) -> Iterator[Result]:
    a = f.arrays("01_mel")
    extractor = MelExtractor(f.json("whisper_preprocessor_config"))
    tolerance = TOLERANCE["mel"]
    yield close("mel", extractor.chunk_features(a["wav"]), a["mel"], tolerance)
    long = extractor.chunk_features(a["wav_long"])
    yield close("mel_long_truncated", long, a["mel_long_truncated"], tolerance)
    if "mel30_strided" in a:
        mel = MelExtractor().chunk_features(a["wav_long"])
        yield same("mel30_shape", mel.shape, a["mel30_shape"])
        stride = -(-mel.numel() // len(a["mel30_strided"]))
        yield close("mel30_strided", mel.flatten()[::stride], a["mel30_strided"], tolerance)


def check_encoder(f: Fixtures) -> Iterator[Result]:
    a, tolerance = f.arrays("02_speech_encoder"), TOLERANCE["encoder"]
    mel = _t(a["mel"])
    encoded = f.encoder(mel)
    yield close("encoder_out", encoded, a["encoder_out"], tolerance)
    yield close("projector_out", f.projector(encoded), a["projector_out"], tolerance)
    yield close("feature_for_full_length", f.features(mel), a["feature_for_full_length"], tolerance)
    partial = f.features(mel, int(a["partial_mel_length"]))
    yield close("feature_for_partial_length", partial, a["feature_for_partial_length"], tolerance)
    lengths = encoded_length(_t(a["mel_lengths"]))
    yield same("encoder_lengths", lengths, a["encoder_lengths"])
    yield same("token_lengths", lengths // f.config.stack, a["token_lengths"])
    remainder = f.projector(_t(a["projector_in_remainder"]))
    yield close("projector_out_remainder", remainder, a["projector_out_remainder"], tolerance)
    silent = f.encoder(torch.zeros_like(mel))
    yield close("encoder_out_zero_mel", silent, a["encoder_out_zero_mel"], tolerance)


def check_splice(f: Fixtures) -> Iterator[Result]:
    a, tolerance = f.arrays("03_splice"), TOLERANCE["encoder"]
    mel = _t(a["mel"])
    spliced = f.llm.spliced(_t(a["ids"])[0], [f.features(mel)])
    yield close("embeds", spliced, a["embeds"], tolerance)
    plain = f.llm.spliced(_t(a["ids_textonly"])[0], [])
    yield close("embeds_textonly", plain, a["embeds_textonly"], tolerance)
    blocks = [
        f.features(mel * float(scale), int(length))
        for scale, length in zip(a["batch_speech_scale"], a["batch_mel_lengths"], strict=True)
    ]
    inputs = (f.llm, _t(a["batch_ids"]), blocks)
    named = {"mask": _t(a["batch_mask"]), "labels": _t(a["batch_labels"])}
    batch = splice_batch(*inputs, **named)
    yield close("batch_embeds", batch.vectors, a["batch_embeds"], tolerance)
    yield same("batch_mask_out", batch.mask, a["batch_mask_out"])
    yield same("batch_labels_out", batch.labels, a["batch_labels_out"])
    for prefix in {k.partition("_")[0] for k in a if k.startswith("left")}:
        most = int(prefix.removeprefix("left"))
        left = splice_batch(*inputs, **named, padding_side="left", most=most)
        yield close(f"{prefix}_embeds", left.vectors, a[f"{prefix}_embeds"], tolerance)
        yield same(f"{prefix}_mask", left.mask, a[f"{prefix}_mask"])
        yield same(f"{prefix}_labels", left.labels, a[f"{prefix}_labels"])
        yield same(f"{prefix}_positions", left.positions, a[f"{prefix}_positions"])


def check_llm(f: Fixtures) -> Iterator[Result]:
    a, tolerance = f.arrays("04_llm_greedy"), TOLERANCE["llm"]
    prompt, wanted = _t(a["inputs_embeds"]), a["sequences"].shape[1]
    made = f.text(prompt, wanted)
    yield same("sequences", made.ids[None], a["sequences"])
    yield close("gathered_hidden", made.hidden, a["gathered_hidden"], tolerance)
    yield close("logits", f.llm.logits(made.hidden), a["logits"], tolerance)
    taught = f.llm.teach(prompt, _t(a["sequences"])[:, :-1])
    yield close("gathered_hidden, forced", taught, a["gathered_hidden"], tolerance)
    last = f.llm.backbone.prefill(prompt)
    yield close("prefill_last_layer_hidden", last, a["prefill_last_layer_hidden"], tolerance)
    yield close("prefill_embedding_hidden", prompt, a["prefill_embedding_hidden"], 0.0)
    first = Backbone({**f.config.llm, "num_hidden_layers": 1, "layer_types": None})
    first.body.layers[0].load_state_dict(f.llm.backbone.body.layers[0].state_dict())
    golden = first.body.norm(_t(a["prefill_layer1_hidden"]))
    result = close("prefill_layer1_hidden", first.prefill(prompt), golden, tolerance)
    yield replace(result, note="both after a final norm")
    ended = f.text(prompt, wanted, (int(a["eos_id"]),))
    ids = [*ended.ids.tolist(), int(a["eos_id"])] if ended.ended else ended.ids.tolist()
    yield same("eos_sequences", [ids], a["eos_sequences"])
    yield same("eos_n_hidden", ended.hidden.shape[1], a["eos_n_hidden"])


def check_prefix(f: Fixtures) -> Iterator[Result]:
    a, tolerance = f.arrays("05_generator_prefix"), TOLERANCE["prefix"]
    hidden, ids, generator = _t(a["gathered_hidden"]), _t(a["sequences"])[:, :-1], f.generator
    memory = generator.memory(hidden)
    yield close("input_proj_expanded", memory, a["input_proj_expanded"], tolerance)
    words = generator.backbone.embed(ids)
    yield close("text_embed", words, a["text_embed"], tolerance)
    attention, feed_forward = generator.tqgf.layers[0]
    branch = attention(words, *attention.remember(memory), None)
    yield close("tqgf_layer0_attn", branch, a["tqgf_layer0_attn"], tolerance)
    after = words + branch
    after = after + feed_forward(after)
    yield close("tqgf_layer0_out", after, a["tqgf_layer0_out"], tolerance)
    yield close("tqgf_out", generator.fuse(hidden, ids), a["tqgf_out"], tolerance)
    masked = generator.fuse(hidden, ids, _t(a["text_mask"]))
    yield close("tqgf_out_masked", masked, a["tqgf_out_masked"], tolerance)
    yield close("lm_prompt", generator.prompt(hidden, ids), a["lm_prompt"], tolerance)


def check_units(f: Fixtures) -> Iterator[Result]:
    a, tolerance = f.arrays("06_ar"), TOLERANCE["ar"]
    hidden, ids = _t(a["gathered_hidden"]), _t(a["sequences"])
    prompt = f.generator.prompt(hidden, ids[:, :-1])
    taught = f.generator.teach(prompt, _t(a["teacher_units"])[None])
    yield close("teacher_hidden", taught, a["teacher_hidden"], tolerance)
    yield close("teacher_logits", f.generator.logits(taught), a["teacher_logits"], tolerance)
    yield same("eos_id", f.generator.units, a["eos_id"])
    yield same("min_len, max_len", unit_limits(ids.shape[1] - 1), (a["min_len"], a["max_len"]))
    free = f.units(hidden, ids)
    note = f"smallest margin {float(a['argmax_min_margin']):.2g}"
    yield same("argmax_units", free.ids, a["argmax_units"], note)
    yield close("argmax_hidden", free.hidden, a["argmax_hidden"], tolerance)
    stopped = f.units(hidden, ids, len(a["stopped_units"]))
    yield same("stopped_units", stopped.ids, a["stopped_units"])
    yield same("stopped_n_hidden", stopped.hidden.shape[1], a["stopped_n_hidden"])


def check_sampler(f: Fixtures) -> Iterator[Result]:
    a = f.arrays("07_sampler")
    ids, candidates = nucleus(_t(a["logits"]).softmax(dim=-1))
    counts = (candidates > 0).sum(dim=-1)
    yield same("n_candidates", counts, a["n_candidates"])
    inside = np.arange(ids.shape[1]) < a["n_candidates"][:, None]
    wanted = a["candidates"][:, : ids.shape[1]]
    yield same("candidates", np.where(inside, ids, 0), np.where(inside, wanted, 0))
    golden = np.where(inside, a["candidate_probs_unnormalised"][:, : ids.shape[1]], 0)
    yield close("candidate_probs_unnormalised", candidates, golden, 1e-5)
    yield from _seeded_run(f, a)


def _seeded_run(f: Fixtures, a: Arrays) -> Iterator[Result]:
    """The release's own sampler, seeded: only where torch draws as it did there."""
    prefix = "seeded_units_torch_manual_seed_"
    name = next((n for n in a if n.startswith(prefix)), None)
    if name is None or "06_ar" not in f.has or str(a["torch_version"]) != torch.__version__:
        return
    text = f.arrays("06_ar")
    ids = _t(text["sequences"])
    made = reference_units(
        f.generator,
        f.generator.prompt(_t(text["gathered_hidden"]), ids[:, :-1]),
        unit_limits(ids.shape[1] - 1),
        torch.Generator().manual_seed(int(name.removeprefix(prefix))),
        lambda: None,
    )
    yield same("seeded_units", made.ids, a[name])
    yield same("seeded_n_hidden", made.hidden.shape[1], a["seeded_n_hidden"])


def check_repetition(f: Fixtures) -> Iterator[Result]:
    rule = f.json("07_repetition_rule")
    recent = torch.full((len(rule["histories"]), RECENT_UNITS), -1)
    for row, history in zip(recent, rule["histories"], strict=True):
        last = history[-RECENT_UNITS:]
        row[: len(last)] = torch.tensor(last)
    picks = torch.full((len(recent),), rule["nucleus_pick"])
    yield same("falls_back", is_repeated(picks, recent), rule["falls_back"])


def check_face(f: Fixtures) -> Iterator[Result]:
    a, tolerance = f.arrays("08_face"), TOLERANCE["face"]
    for i, rows in enumerate(a["hidden_len"]):
        hidden = f.noise(f"faceh{i}", (1, int(rows), f.config.face.memory_width))
        units = _t(a[f"case{i}_units"])[None]
        out = f.face(hidden, units, compat="reference")
        yield close(f"case{i}_out", out, a[f"case{i}_out"], tolerance)
        if f"case{i}_mask" in a:
            mask = _t(a[f"case{i}_mask"])
            out = f.face(hidden, units, memory_mask=mask, compat="reference")
            yield close(f"case{i}_out_masked", out, a[f"case{i}_out_masked"], tolerance)
    for stage in sorted({k.partition("_")[0] for k in a if k.startswith("stage")}):
        yield from _face_stages(f, a, stage)
    units = _t(a["batch_units"])
    hidden = f.noise("facehB", (*a["batch_mask"].shape, f.config.face.memory_width))
    out = f.face(hidden, units, memory_mask=_t(a["batch_mask"]), compat="reference")
    yield close("batch_out", out, a["batch_out"], tolerance)


def _face_stages(f: Fixtures, a: Arrays, stage: str) -> Iterator[Result]:
    tolerance, case = TOLERANCE["face"], int(stage.removeprefix("stage"))
    units = _t(a[f"case{case}_units"])[None]
    rows = int(a["hidden_len"][case])
    memory = f.face.speech_gen_projection(
        f.noise(f"faceh{case}", (1, rows, f.config.face.memory_width))
    )
    yield close(f"{stage}_gen_proj", memory, a[f"{stage}_gen_proj"], tolerance)
    features = f.face.unit_features(units)
    yield close(f"{stage}_token_feat", features, a[f"{stage}_token_feat"], tolerance)
    x = stretch(features, frame_count(units, "reference"))
    yield close(f"{stage}_interp", x, a[f"{stage}_interp"], tolerance)
    x = f.face.tqgf(x, memory)
    yield close(f"{stage}_tqgf", x, a[f"{stage}_tqgf"], tolerance)
    x = periodic_rope(x, f.config.face.period)
    yield close(f"{stage}_rope", x, a[f"{stage}_rope"], tolerance)
    for layer in f.face.layers:
        x, _ = layer(x, None, None)
    yield close(f"{stage}_decoded", x, a[f"{stage}_decoded"], tolerance)


def check_face_long(f: Fixtures) -> Iterator[Result]:
    a = f.arrays("08_face_long")
    hidden = f.noise("facehL", (1, int(a["n_hidden"]), f.config.face.memory_width))
    out = f.face(hidden, _t(a["units"])[None], compat="reference")
    yield same("out_shape", out.shape, a["out_shape"])
    strided = out[:, :: int(a["stride"])]
    yield close("out_strided", strided, a["out_strided"], TOLERANCE["face"])


def check_frames(f: Fixtures) -> Iterator[Result]:
    table = f.json("09_frames")
    ours = [frame_count(torch.ones(n, dtype=torch.long), "reference") for n in table["n_units"]]
    yield same("frames", ours, table["frames"])
    differs = [n for n, t in zip(table["n_units"], ours, strict=True) if t != 12 * n // 5]
    yield same("differs_from_integer_rule", differs, table["differs_from_integer_rule"])
    quirks = [
        frame_count(torch.tensor(row, dtype=torch.long), "reference")
        for row in table["quirk_inputs"]
    ]
    yield same("quirk_frames", quirks, table["quirk_frames"])


def check_losses(f: Fixtures) -> Iterator[Result]:
    a = f.arrays("10_losses")
    loss = face_loss(_t(a["bs_pred"]), _t(a["bs_target"]), _t(a["bs_len"]))
    yield close("bs_loss", loss, a["bs_loss"], 1e-5)
    short = face_loss(_t(a["bs_pred_short"]), _t(a["bs_target_long"]), _t(a["bs_len2"]))
    yield close("bs_loss_short", short, a["bs_loss_short"], 1e-5)
    losses, logits = unit_loss(
        f.generator,
        _t(a["text_reps"]),
        _t(a["text_labels"]),
        _t(a["text_tokens"]),
        _t(a["speech_tokens"]),
    )
    yield close("speech_ce_per_sample", losses, a["speech_ce_per_sample"], TOLERANCE["ar"])
    yield same("speech_logits_shape", logits.shape, a["speech_logits_shape"])
    stride = -(-logits.numel() // len(a["speech_logits_strided"]))
    strided = logits.flatten()[::stride]
    yield close("speech_logits_strided", strided, a["speech_logits_strided"], TOLERANCE["ar"])
    yield from _face_train_loss(f, a)


def _face_train_loss(f: Fixtures, a: Arrays) -> Iterator[Result]:
    # These inputs stand in the fixtures' README, in words.
    rows, frames = 6, 13
    units, lengths, valid = [[3, 4, 5, 6, 7], [8, 9, 10, -100, -100]], [13, 7], [6, 4]
    readme = f.folder / "README.md"
    told = re.search(
        r"input:flh`? \[\d+,(\d+),\d+\], units (\[\[[-\d, \[\]]+\]\]), target `?input:flb`? "
        r"\[\d+,(\d+),out_dim\], lengths (\[[\d, ]+\]), mask rows (\d+(?:(?:,| and) ?\d+)*) valid",
        readme.read_text(encoding="utf-8") if readme.is_file() else "",
    )
    if told:
        rows, frames = int(told[1]), int(told[3])
        units, lengths = json.loads(told[2]), json.loads(told[4])
        valid = [int(n) for n in re.findall(r"\d+", told[5])]
    count, width = len(units), f.config.face.memory_width
    target = f.noise("flb", (count, frames, f.config.face.outputs))
    mask = torch.arange(rows) < torch.tensor(valid)[:, None]
    hidden = f.noise("flh", (count, rows, width))
    predicted = f.face(hidden, torch.tensor(units), memory_mask=mask, frames=frames)
    loss = face_loss(predicted, target, torch.tensor(lengths))
    yield close("face_train_loss", loss, a["face_train_loss"], TOLERANCE["face"])


def check_end_to_end(f: Fixtures) -> Iterator[Result]:
    a = f.arrays("11_end_to_end")
    for kind in ("speech", "text"):
        blocks = [f.features(_t(a["mel"]))] if kind == "speech" else []
        prompt = f.llm.spliced(_t(a[f"{kind}_ids"])[0], blocks)
        text = f.text(prompt, a[f"{kind}_sequences"].shape[1])
        yield same(f"{kind}_sequences", text.ids[None], a[f"{kind}_sequences"])
        units = f.units(text.hidden, text.ids[None], int(a["stop_at"]))
        yield same(f"{kind}_units", units.ids, a[f"{kind}_units"])
        face = f.face(units.hidden, units.ids[None], compat="reference")
        yield close(f"{kind}_blendshapes", face, a[f"{kind}_blendshapes"], TOLERANCE["face"])


def check_rope(f: Fixtures) -> Iterator[Result]:
    a = f.arrays("12_periodic_rope")
    for name in sorted(k.removesuffix("_in") for k in a if k.endswith("_in")):
        period = int(name.rpartition("_p")[2])
        ours = periodic_rope(_t(a[f"{name}_in"]), period)
        yield close(f"{name}_out", ours, a[f"{name}_out"], 1e-5)


def check_postprocess(f: Fixtures) -> Iterator[Result]:
    a = f.arrays("13_postprocess")
    for columns in (51, 52):
        golden = a[f"post{columns}"]
        raw = f.noise(f"pp{columns}", (len(golden), columns), 0.3, 0.6)
        yield close(f"post{columns}", arkit_weights(raw), golden, 1e-6)
    names = [str(n) for n in a["template_names"]]
    mapping = [names.index(n) if n in names else -1 for n in ARKIT_52]
    yield same("mapping", mapping, a["mapping"])
    remapped = np.zeros_like(a["remapped"])
    for ours, theirs in enumerate(mapping):
        if theirs >= 0:
            remapped[:, theirs] = a["post52"][:, ours]
    yield close("remapped", remapped, a["remapped"], 1e-6)
    mean = f.noise("mean", a["verts"].shape[1:], 0.2, 1.0).numpy()
    shapes = f.noise("bs", (len(names), *mean.shape), 0.0, 0.2).numpy()
    verts = mean + np.einsum("tk,kvc->tvc", remapped, shapes)
    yield close("verts", verts, a["verts"], 1e-5)


def check_prompts(f: Fixtures) -> Iterator[Result]:
    for name, case in f.json("14_prompts").items():
        turns = [Turn(m["role"], m["content"]) for m in case["messages"]]
        pieces = (p.content if isinstance(p, Turn) else p for p in framed(turns))
        yield same(name, ["".join(pieces)], [case["prompt"]])


CHECKS: dict[str, Callable[[Fixtures], Iterator[Result]]] = {
    "01_mel": check_mel,
    "02_speech_encoder": check_encoder,
    "03_splice": check_splice,
    "04_llm_greedy": check_llm,
    "05_generator_prefix": check_prefix,
    "06_ar": check_units,
    "07_sampler": check_sampler,
    "07_repetition_rule": check_repetition,
    "08_face": check_face,
    "08_face_long": check_face_long,
    "09_frames": check_frames,
    "10_losses": check_losses,
    "11_end_to_end": check_end_to_end,
    "12_periodic_rope": check_rope,
    "13_postprocess": check_postprocess,
    "14_prompts": check_prompts,
}
