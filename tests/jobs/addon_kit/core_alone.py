# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder in, one JSON line out: what the bundled core can do in a Python with numpy alone."""

import json
import sys
from pathlib import Path

import exomni_core
from exomni_core.audio import read_audio, resample
from exomni_core.clip import load_clip, save_clip
from exomni_core.engine import load_engine
from exomni_core.prompt import Prompt
from templates.library import find_template, load_mesh

TEXT = "Bob may pay for the map."
folder = Path(sys.argv[1])
engine = load_engine("embedded")
clip = engine.generate(Prompt(id="alone", text=TEXT, language="en"))
save_clip(clip, folder / "a.clip")
facts = {
    "core": exomni_core.__file__,
    "head_shapes": len(load_mesh(find_template("head")).shapes),
    "duration_s": clip.duration_s,
    "jaw": float(clip.weights[:, clip.channels.index("jawOpen")].max()),
    "reloaded_equal": bool((load_clip(folder / "a.clip").weights == clip.weights).all()),
}
if sys.argv[2:] == ["lipsync"]:
    import soundfile

    sound = resample(clip.audio, clip.sample_rate_hz, 44_100)
    soundfile.write(folder / "a.flac", sound, 44_100)
    assert read_audio(folder / "a.flac").sample_rate_hz == 44_100
    spoken = Prompt(id="b", mode="lipsync", audio=folder / "a.flac", transcript=TEXT)
    heard = engine.generate(spoken)
    facts |= {"route": heard.route, "duration_s": heard.duration_s}
    facts["provenance"] = {k: str(v) for k, v in heard.provenance.items()}
try:
    import exomni_core.omni
except ImportError:
    facts["has_omni"] = False
own = (str(Path(exomni_core.__file__).parents[1]), sys.prefix, sys.base_prefix, "numpy_only")
facts["foreign"] = sorted(
    name
    for name, module in sys.modules.items()
    if (place := getattr(module, "__file__", None))
    and not any(part in place for part in own)
    and Path(place) != Path(__file__)
    and "numpy" not in name
)
print(json.dumps(facts))
