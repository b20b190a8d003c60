# SPDX-License-Identifier: GPL-3.0-or-later
"""Pretended checkouts of EmoTalk and UniTalker: a torch of numpy, a model of a few lines."""

from __future__ import annotations

import json
from pathlib import Path

TORCH = """
import contextlib, json
import numpy as np
__version__ = "0.0.fake"

class Tensor(np.ndarray):
    def to(self, device): return self
    def detach(self): return self
    def cpu(self): return self
    def numpy(self): return np.asarray(self)

def from_numpy(array): return array.view(Tensor)
def tensor(values): return np.array(values).view(Tensor)
def zeros(*shape): return np.zeros(shape, np.float32).view(Tensor)
def load(path, map_location=None):
    with open(path) as f:
        return {k: np.array(v, np.float32) for k, v in json.load(f).items()}
@contextlib.contextmanager
def no_grad(): yield
class cuda:
    @staticmethod
    def is_available(): return False

class Module:
    keys = ()
    def load_state_dict(self, weights, strict=True):
        assert not strict
        self.weights = weights
        class Result: pass
        Result.missing_keys = [k for k in self.keys if k not in weights]
        Result.unexpected_keys = [k for k in weights if k not in self.keys]
        return Result
    def to(self, device): return self
    def eval(self): return self
"""
EMOTALK = """
import numpy as np, torch
class EmoTalk(torch.Module):
    keys = ("bs_map_r.weight", "biased_mask")
    def __init__(self, args):
        assert args.bs_dim == 52 and args.max_seq_len == 5000
        print("loading", flush=True)  # models print; it must not be taken for a result
    def predict(self, audio, level, person):
        print('{"id": "forged"}', flush=True)
        n = audio.shape[1]
        if abs(float(audio.max()) - 0.875) < 1e-3:
            raise RuntimeError("out of memory\\n on device 0")
        t = int(np.ceil(n / 16000 * 30))
        table = np.full((1, t, 52), 0.25, np.float32)
        table[0, ::2, 24] = 0.6      # jawOpen, jittering
        table[0, :, 0] = int(level[0]) + int(person[0]) / 100
        return table.view(torch.Tensor)
"""
UNITALKER = """
import numpy as np, torch
class UniTalker(torch.Module):
    keys = ("decoder.learnable_style_emb.weight", "out_head_dict.3DETF_blendshape_weight.bias",
            "out_head_dict.inhouse_blendshape_weight.bias")
    def __init__(self, args):
        assert args.dataset == ["D3", "D6"] and args.identity_num == 3 and args.depth == 4
    def __call__(self, audio, template, style_idx, annot_type, fps):
        assert abs(float(audio.mean())) < 1e-3 and int(style_idx[0]) == 2
        width = {"3DETF_blendshape_weight": 52, "inhouse_blendshape_weight": 51}[annot_type]
        t = round(audio.shape[1] / 16000 * fps)
        table = np.tile(np.arange(width, dtype=np.float32) / 100, (1, t, 1))
        return (table + TEMPLATE).view(torch.Tensor), "more"
"""


def make_emotalk(root: Path) -> Path:
    """A checkout as the EmoTalk driver expects it."""
    root.mkdir(parents=True)
    (root / "torch.py").write_text(TORCH)
    (root / "model.py").write_text(EMOTALK)
    (root / "EmoTalk.pth").write_text(
        json.dumps({"module.bs_map_r.weight": [1.0], "module.audio_encoder_cont.lm_head.bias": [0]})
    )
    return root


def make_unitalker(root: Path, *, model_adds_template: bool) -> Path:
    """A checkout as the UniTalker driver expects it, with a resting pose of 0.125."""
    import numpy as np

    (root / "models").mkdir(parents=True)
    (root / "torch.py").write_text(TORCH)
    added = "template[:, None, :]" if model_adds_template else "0"
    (root / "models" / "unitalker.py").write_text(UNITALKER.replace("TEMPLATE", added))
    (root / "config.json").write_text(json.dumps({"net": {"depth": 4, "identity_num": 1}}))
    weights = {
        "decoder.learnable_style_emb.weight": [[0.0], [0.0], [0.0]],
        "out_head_dict.3DETF_blendshape_weight.bias": [0.0],
        "out_head_dict.inhouse_blendshape_weight.bias": [0.0],
        "out_head_dict.FLAME_params.bias": [0.0],  # a head that is not made
    }
    (root / "B.pt").write_text(json.dumps(weights))
    for width in (51, 52):
        np.save(root / f"template{width}.npy", np.full((5, 1, width), 0.125, np.float32))
    return root
