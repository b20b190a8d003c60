#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The add-on in a real Blender window. In: a Debian machine, root, and the project's .venv
# (scripts/setup.sh render,dev). Out: the built extension installed into a fresh profile of Debian
# trixie's Blender from the command line, tests/slow/window_steps.py run in its window under Xvfb,
# and its screenshots in docs/screens. Exit 0 if every step went well.
#
#   bash scripts/blender_window.sh            # the first time about 5 minutes and 2 GB
#   WINDOW_ROOT=/var/tmp/window bash scripts/blender_window.sh --setup
#
# --zip FILE uses a zip that is built already; --steps FILE runs other steps; --screens DIR puts the
# pictures elsewhere; --head NPZ adds the step with an imported head (ICT-FaceKit's as an npz);
# --setup only prepares the system.
set -euo pipefail
# The mounts live in a namespace of this script alone and end with it, even when it is killed.
# A mount that stayed behind would let somebody's rm -r of the folder reach the machine's own /dev.
if [ "$(id -u)" -eq 0 ] && [ -z "${EXOMNI_OWN_MOUNTS:-}" ]; then
  EXOMNI_OWN_MOUNTS=1 exec unshare --mount --propagation private -- bash "$(realpath "${BASH_SOURCE[0]}")" "$@"
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
project="$PWD"
root="${WINDOW_ROOT:-/tmp/exomni-window}"
work="$root/exomni" display="" zip="" setup_only="" head=""
screens="$project/docs/screens" steps="$project/tests/slow/window_steps.py"
size=1600x1000

while [ $# -gt 0 ]; do
  case "$1" in
    --zip) zip="$(realpath "$2")"; shift ;;
    --steps) steps="$(realpath "$2")"; shift ;;
    --screens) screens="$(realpath -m "$2")"; shift ;;
    --head) head="$(realpath "$2")"; shift ;;
    --setup) setup_only=1 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
[ "$(id -u)" -eq 0 ] || { echo "Run this as root: it makes a system of its own in $root." >&2; exit 3; }

pids=()
cleanup() {
  local id
  for id in ${pids[@]+"${pids[@]}"}; do kill "$id" 2>/dev/null || true; done
  for id in ${pids[@]+"${pids[@]}"}; do wait "$id" 2>/dev/null || true; done
}
trap cleanup EXIT
trap 'exit 130' INT TERM

in_root() { chroot "$root" env -i PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/exomni/home LANG=C.UTF-8 \
  LIBGL_ALWAYS_SOFTWARE=1 DISPLAY="$display" "$@"; }

need() {  # programs and the Debian packages that bring them
  local missing=()
  while [ $# -gt 0 ]; do command -v "$1" >/dev/null || missing+=("$2"); shift 2; done
  [ "${#missing[@]}" -eq 0 ] && return
  echo "Installing ${missing[*]}"
  apt-get -q update >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" >/dev/null
}

prepare() {
  need debootstrap debootstrap Xvfb xvfb import imagemagick xdotool xdotool
  mkdir -p "$root"
  local mirror
  mirror="$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list* 2>/dev/null | tr -d ' ' | head -1 || true)"
  if [ ! -e "$root/etc/debian_version" ]; then
    echo "Making a Debian trixie in $root"
    debootstrap --variant=minbase --include=ca-certificates trixie "$root" "${mirror:-http://deb.debian.org/debian}" \
      >"$root.log" 2>&1 || { tail -5 "$root.log" >&2; exit 3; }
  fi
  cp /etc/resolv.conf "$root/etc/"
  ln -sf /proc/self/mounts "$root/etc/mtab"
  local place
  for place in proc dev sys; do
    mountpoint -q "$root/$place" || mount --bind "/$place" "$root/$place"
  done
  mkdir -p "$work/home" "$root/tmp/.X11-unix"
  if [ ! -x "$root/usr/bin/blender" ] || [ ! -e "$root/usr/share/fonts/opentype/noto" ]; then
    echo "Installing Blender in it"
    in_root apt-get -q update >/dev/null
    in_root DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends blender \
      python3-numpy libgl1-mesa-dri libegl1 libgl1 libglx-mesa0 fonts-dejavu-core fonts-noto-cjk \
      >"$root.log" 2>&1 || { tail -5 "$root.log" >&2; exit 3; }
  fi
}

start_screen() {
  local number=77
  while [ -e "/tmp/.X11-unix/X$number" ]; do number=$((number + 1)); done
  Xvfb ":$number" -screen 0 "${size}x24" +extension GLX +render -noreset >"$work/xvfb.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 50); do [ -e "/tmp/.X11-unix/X$number" ] && break; sleep 0.1; done
  mount --bind /tmp/.X11-unix "$root/tmp/.X11-unix"
  display=":$number"
}

serve_steps() {  # the steps ask for screenshots and key presses by files, as they sit in Blender
  local blender="$1" ask name
  while kill -0 "$blender" 2>/dev/null; do
    for ask in "$work"/asks/*; do
      [ -e "$ask" ] || continue
      name="$(basename "$ask")"
      case "$name" in
        shot.*) import -display "$display" -window root "$work/screens/${name#shot.}.png" ;;
        do.*) DISPLAY="$display" xdotool $(cat "$ask") ;;
      esac
      rm -f "$ask"
    done
    sleep 0.1
  done
}

prepare
in_root blender --version | head -1
[ -n "$setup_only" ] && exit 0
if [ -z "$zip" ]; then
  .venv/bin/python -m render_jobs.cli addon build --platform linux-x64 -o "$work/dist"
  zip="$(ls -t "$work"/dist/*linux_x64.zip | head -1)"
fi
rm -rf "$work/home" "$work/asks" "$work/screens" "$work/result.json"
mkdir -p "$work/home" "$work/asks" "$work/screens" "$work/shared"
cp "$zip" "$work/extension.zip"
cp "$steps" "$work/steps.py"
if [ -n "$head" ]; then cp "$head" "$work/shared/head.npz"; else rm -f "$work/shared/head.npz"; fi
# A recording for the lip-sync step, made by the command line tool's own voice.
.venv/bin/python - "$work/steps.py" "$work/shared/line.wav" <<'RECORDING'
import re, sys
from exomni_core.audio import write_wav
from exomni_core.engine import load_engine
from exomni_core.prompt import Prompt
text = re.search(r'^SHORT = "(.*)"', open(sys.argv[1]).read(), re.M)
if text:
    clip = load_engine("embedded").generate(Prompt(id="line", text=text[1]))
    write_wav(sys.argv[2], clip.audio, clip.sample_rate_hz)
RECORDING

echo "Checking and installing the zip with Blender's command line"
in_root blender --command extension validate /exomni/extension.zip
in_root blender --command extension install-file -r user_default -e /exomni/extension.zip
in_root blender --background --python-expr "import bpy
bpy.context.preferences.view.show_splash = False; bpy.ops.wm.save_userpref()" >"$work/splash.log" 2>&1
start_screen
in_root blender --window-geometry 0 0 "${size%x*}" "${size#*x}" --python /exomni/steps.py \
  >"$work/blender.log" 2>&1 &
pids+=($!)
serve_steps "${pids[-1]}"
wait "${pids[-1]}" || true
sleep 3  # the engine's process has seen its stdin close by then
orphans=0
for process in /proc/[0-9]*; do
  [ "$(readlink "$process/root" 2>/dev/null)" = "$root" ] || continue
  orphans=$((orphans + 1))
  echo "Still running: $(tr '\0' ' ' <"$process/cmdline")" >&2
done
grep -E '^STEP|Error|Traceback' "$work/blender.log" || true
complaints="$(grep -cE 'Traceback|registration error' "$work/blender.log" || true)"
mkdir -p "$screens"
for picture in "$work"/screens/*.png; do
  [ -e "$picture" ] || continue
  case "$(basename "$picture")" in  # the parts that count, for the docs
    panel_*) part=1070x915+230+80 ;;
    *) part=780x800+270+95 ;;
  esac
  convert "$picture" -crop "$part" +repage -strip -define png:compression-level=9 \
    "$screens/$(basename "$picture")"
done
[ -e "$work/result.json" ] || { tail -20 "$work/blender.log" >&2; echo "The steps did not end." >&2; exit 1; }
cat "$work/result.json"; echo
.venv/bin/python - "$work/result.json" build/addon-tested.json <<'NOTE'
import json, sys
from pathlib import Path
result, record = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
known = json.loads(record.read_text()) if record.is_file() else {}
known[result["blender"]] = {k: result[k] for k in ("blender", "python", "how", "checks")}
record.parent.mkdir(exist_ok=True)
record.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
NOTE
[ "$orphans" -eq 0 ] || { echo "$orphans processes outlived their Blender." >&2; exit 1; }
[ "$complaints" -eq 0 ] || { echo "Blender complained; see $work/blender.log." >&2; exit 1; }
grep -q '"failed": \[\]' "$work/result.json"
