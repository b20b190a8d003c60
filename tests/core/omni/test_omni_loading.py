# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints in every layout load, each tensor once; whatever doesn't fit is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors import safe_open  # noqa: E402 (after the check for torch)
from safetensors.torch import load_file, save_file  # noqa: E402

from exomni_core.errors import EnvironmentProblem, InputError  # noqa: E402
from exomni_core.omni.config import parse_config, to_json  # noqa: E402
from exomni_core.omni.model import OmniModel, find_folders  # noqa: E402
from exomni_core.omni.weights import checkpoint as files  # noqa: E402
from exomni_core.omni.weights.parts import PARTS, PartLoader, read_config  # noqa: E402

FACE = "model.blendshape_generator.out_head.4.bias"


@pytest.fixture
def copy(tiny_model, tmp_path):
    """A copy of the tiny model whose large files are links, and a way to change its tensors."""
    shutil.copytree(tiny_model, tmp_path / "m", copy_function=os.link)

    def change(edit):
        for file in sorted((tmp_path / "m" / "ex-omni").glob("*.safetensors")):
            with safe_open(file, "pt") as opened:
                names = list(opened.keys())
            tensors = load_file(file)
            changed = edit(dict(tensors))
            if changed.keys() != set(names) or any(changed[n] is not tensors[n] for n in names):
                file.unlink()
                save_file(changed, file)
        return tmp_path / "m"

    change.folder = tmp_path / "m"
    return change


def part(folder: Path, name: str, **options):
    config = read_config(folder / "ex-omni")
    settings = {"device": torch.device("cpu"), "dtype": torch.float32} | options
    return PartLoader(folder / "ex-omni", config, **settings).load(name)


class TestNames:
    def test_all_prefixes_are_one(self):
        for prefix in ("model.model.", "model.", ""):
            assert files.canonical(f"{prefix}speech_projector.linear1.bias") == (
                "speech_projector.linear1.bias"
            )
        assert files.canonical("model.layers.0.mlp.up_proj.weight") == (
            "model.layers.0.mlp.up_proj.weight"
        )

    def test_prefixes_give_the_same_tensors(self, tiny_model, copy):
        def longer(tensors):
            return {
                n.replace("model.blend", "model.model.blend").replace(
                    "model.speech_proj", "speech_proj"
                ): t
                for n, t in tensors.items()
            }

        folder = copy(longer)
        for name in ("blendshape_generator", "speech_projector"):
            ours = part(folder, name).state_dict()
            theirs = part(tiny_model, name).state_dict()
            assert all(torch.equal(ours[n], theirs[n]) for n in theirs)

    def test_later_files_win(self, copy):
        folder = copy.folder / "ex-omni"
        save_file({FACE: torch.full((52,), 7.0)}, folder / "zz.safetensors")
        assert part(copy.folder, "blendshape_generator").out_head[4].bias[0] == 7.0

    def test_leftovers_are_ignored(self, copy):
        def add(tensors):
            if FACE not in tensors:
                return tensors
            extra = (
                "model.speech_encoder.model.decoder.layers.0.fc1.weight",
                "model.speech_generator.llm.model.lm_head.weight",
                "model.blendshape_generator.rope.inv_freq",
                "model.blendshape_generator.transformer_encoder.rope.inv_freq",
            )
            return tensors | {name: torch.zeros(2) for name in extra}

        part(copy(add), "blendshape_generator")

    def test_encoder_from_its_own_folder(self, tiny_model, copy):
        taken = {}

        def take(tensors):
            kept = {}
            for name, tensor in tensors.items():
                key = name.removeprefix("model.speech_encoder.")
                (kept if key == name else taken)[name if key == name else key] = tensor
            return kept

        folder = copy(take)
        save_file(taken, folder / "ex-omni" / "whisper" / "model.safetensors")
        ours = part(folder, "speech_encoder").encoder.conv1.weight
        assert torch.equal(ours, part(tiny_model, "speech_encoder").encoder.conv1.weight)


class TestMisfits:
    def test_missing(self, copy):
        folder = copy(lambda t: {n: v for n, v in t.items() if n != FACE})
        with pytest.raises(InputError, match=r"lacks blendshape_generator\.out_head\.4\.bias 52"):
            OmniModel.from_pretrained(folder)

    def test_renamed(self, copy):
        def rename(tensors):
            return {
                ("model.blendshape_generator.out_head.9.bias" if n == FACE else n): t
                for n, t in tensors.items()
            }

        with pytest.raises(InputError) as caught:
            OmniModel.from_pretrained(copy(rename))
        assert "lacks blendshape_generator.out_head.4.bias" in str(caught.value)
        assert "unknown blendshape_generator.out_head.9.bias" in str(caught.value)
        assert str(copy.folder) in str(caught.value)

    def test_misshapen(self, copy):
        folder = copy(lambda t: {n: (v[:51].clone() if n == FACE else v) for n, v in t.items()})
        with pytest.raises(InputError, match=r"out_head\.4\.bias is 51 instead of 52"):
            OmniModel.from_pretrained(folder)

    def test_language_model_tensor(self, copy):
        name = "model.layers.1.mlp.up_proj.weight"
        folder = copy(lambda t: {n: v for n, v in t.items() if n != name})
        with pytest.raises(InputError, match=r"model\.layers\.1\.mlp\.up_proj\.weight 96×48"):
            OmniModel.from_pretrained(folder)

    def test_many_are_counted(self, copy):
        folder = copy(lambda t: {n: v for n, v in t.items() if "layers.0" not in n})
        with pytest.raises(InputError, match=r"and \d+ more"):
            OmniModel.from_pretrained(folder)

    def test_damaged_file(self, copy):
        file = next((copy.folder / "ex-omni").glob("*.safetensors"))
        data = file.read_bytes()[:5000]
        file.unlink()
        file.write_bytes(data)
        with pytest.raises(InputError, match=rf"{file.name} can't be read"):
            OmniModel.from_pretrained(copy.folder)

    def test_no_checkpoint(self, tmp_path):
        with pytest.raises(EnvironmentProblem, match="exorender models pull"):
            OmniModel.from_pretrained(tmp_path)

    def test_no_decoder(self, copy):
        shutil.rmtree(copy.folder / "glm-4-voice-decoder")
        with pytest.raises(EnvironmentProblem, match=r"flow\.pt is missing"):
            _ = OmniModel.from_pretrained(copy.folder).decoder

    def test_config_field(self, copy):
        path = copy.folder / "ex-omni" / "config.json"
        data = json.loads(path.read_text())
        del data["unit_vocab_size"]
        path.unlink()
        path.write_text(json.dumps(data))
        with pytest.raises(InputError, match="lacks unit_vocab_size"):
            OmniModel.from_pretrained(copy.folder)


class TestOptions:
    def test_folders(self, tiny_model):
        inside = find_folders(tiny_model / "ex-omni")
        assert inside == find_folders(tiny_model)

    def test_dtype(self, tiny_model):
        projector = part(tiny_model, "speech_projector", dtype=torch.bfloat16)
        assert {p.dtype for p in projector.parameters()} == {torch.bfloat16}

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"device": "toaster"}, "is not a device"),
            ({"dtype": "float8"}, "float32"),
        ],
    )
    def test_nonsense(self, tiny_model, options, words):
        with pytest.raises(InputError, match=words):
            OmniModel.from_pretrained(tiny_model, **options)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
    def test_no_gpu(self, tiny_model):
        with pytest.raises(EnvironmentProblem, match="--device cpu"):
            OmniModel.from_pretrained(tiny_model, device="cuda")

    def test_memory_limit(self, tiny_model):
        with pytest.raises(EnvironmentProblem, match="--max-memory"):
            OmniModel.from_pretrained(tiny_model, max_memory_bytes=10_000_000)
        OmniModel.from_pretrained(tiny_model, max_memory_bytes=1_000_000_000)

    def test_parts_load_when_needed(self, tiny_model):
        model = OmniModel.from_pretrained(tiny_model)
        assert model.loaded == ()
        _ = model.face
        assert model.loaded == ("blendshape_generator",)
        model.release()
        assert model.loaded == ()


def test_config_goes_both_ways(shared):
    golden = json.loads((shared / "golden" / "exomni" / "config.json").read_text())
    whisper = json.loads((shared / "golden" / "exomni" / "whisper_config.json").read_text())
    config = parse_config(golden, whisper=whisper)
    written = to_json(config)
    assert to_json(parse_config(written, whisper=whisper)) == written
    assert {n: v for n, v in written.items() if n in golden} == golden


def test_every_part_is_known(tiny_model):
    config = read_config(tiny_model / "ex-omni")
    with safe_open(tiny_model / "ex-omni" / "model-00001-of-00002.safetensors", "pt") as opened:
        assert any(name.startswith("model.blendshape_generator.") for name in opened.keys())  # noqa: SIM118
    assert set(PARTS) >= {"language_model", "speech_generator"}
    assert config.units == 64


MEASURE = """
import resource, sys, threading, time
from pathlib import Path
import torch
from exomni_core.omni.weights.parts import PARTS, PartLoader, read_config

folder, dtype = Path(sys.argv[1]), getattr(torch, sys.argv[2])
torch.set_num_threads(1)
torch.ones(8).to(torch.bfloat16).float() @ torch.ones(8)  # what torch allocates for itself
import transformers.models.qwen3.modeling_qwen3, transformers.models.whisper.modeling_whisper
loader = PartLoader(folder, read_config(folder), device=torch.device("cpu"), dtype=dtype)

def resident():
    fields = dict(l.split(":") for l in open("/proc/self/status") if ":" in l)
    return int(fields["VmRSS"].split()[0]) * 1024

before, peak, stop = resident(), 0, False

def watch():
    global peak
    while not stop:
        peak = max(peak, resident())
        time.sleep(0.001)

thread = threading.Thread(target=watch)
thread.start()
parts = [loader.load(name) for name in PARTS]
stop = True
thread.join()
weights = sum(p.nbytes for part in parts for p in part.parameters())
print(weights, max(peak, resident()) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_load_needs_little_more_than_the_weights(tiny_model, dtype):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tiny_model / "ex-omni"), dtype],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    weights, peak = map(int, done.stdout.split())
    print(f"{peak / weights:.3f}")
    assert peak <= 1.15 * weights
