// SPDX-License-Identifier: GPL-3.0-or-later
// A clip's files in, playback and a log of what was really played out.
// One file shows both faces (composite), or two silent videos follow one sound (dual).

import { clipUrl } from "./api.js";
import { el } from "./dom.js";

const DRIFT_S = 0.04; // more than this between sound and picture is put right
const READY_MS = 60000;
const KINDS = ['video/mp4; codecs="avc1.64001f"', 'audio/mp4; codecs="mp4a.40.2"'];
const kept = new Map(); // name -> promise of a blob's address

// Whether this browser plays such clips at all.
export function canPlay() {
  const probe = document.createElement("video");
  return KINDS.every((kind) => probe.canPlayType(kind) !== "");
}

// Load a clip ahead of its trial; failures show when it is needed.
export function preload(files) {
  for (const name of Object.values(files)) blobUrl(name).catch(() => kept.delete(name));
}

// Let go of all clips but these.
export function keepOnly(...sets) {
  const names = new Set(sets.filter(Boolean).flatMap((files) => Object.values(files)));
  for (const [name, address] of kept) {
    if (names.has(name)) continue;
    kept.delete(name);
    address.then((url) => URL.revokeObjectURL(url)).catch(() => {});
  }
}

function blobUrl(name) {
  if (!kept.has(name)) {
    kept.set(name, (async () => {
      const answer = await fetch(clipUrl(name), { credentials: "omit" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      return URL.createObjectURL(await answer.blob());
    })());
  }
  return kept.get(name);
}

export class Player {
  // on: {ended, paused, failed}; stage: the element that the pictures go into.
  constructor(stage, files, label, on) {
    this.files = files;
    this.on = on;
    this.isDual = !("both" in files);
    const video = (muted) => el("video", { playsinline: true, preload: "auto", "aria-label": label,
      disablepictureinpicture: true, disableremoteplayback: true, tabindex: "-1" , ...(muted ? { muted: true } : {}) });
    this.parts = this.isDual
      ? { audio: el("audio", { preload: "auto" }), left: video(true), right: video(true) }
      : { both: video(false) };
    this.lead = this.isDual ? this.parts.audio : this.parts.both;
    this.followers = Object.values(this.parts).filter((part) => part !== this.lead);
    this.followers.forEach((part) => { part.muted = true; });
    stage.classList.toggle("dual", this.isDual);
    stage.prepend(...(this.isDual ? [this.parts.left, this.parts.right, this.parts.audio] : [this.parts.both]));
    this.plays = 0;
    this.stalls = 0;
    this.stalledMs = 0;
    this.driftFixes = 0;
    this.driftMaxS = 0;
    this.seenWhole = false;
    this.isPlaying = false;
    this.wantsPlay = false;
    this.gone = false;
    this.furthest = 0;
    this.listen();
  }

  // Resolves when the clip can be played to its end. direct: from the server, not from memory.
  async load(direct) {
    await Promise.all(Object.entries(this.parts).map(async ([role, part]) => {
      const url = direct ? clipUrl(this.files[role]) : await blobUrl(this.files[role]);
      await ready(part, url);
    }));
  }

  listen() {
    const { lead } = this;
    lead.addEventListener("ended", () => this.finish());
    lead.addEventListener("pause", () => {
      if (lead.ended || this.gone) return;
      this.pauseFollowers();
      this.isPlaying = false;
      this.on.paused();
    });
    lead.addEventListener("timeupdate", () => {
      if (!lead.seeking) this.furthest = Math.max(this.furthest, lead.currentTime);
    });
    for (const part of Object.values(this.parts)) {
      part.addEventListener("contextmenu", (event) => event.preventDefault());
      part.addEventListener("ratechange", () => { if (part.playbackRate !== 1) part.playbackRate = 1; });
      part.addEventListener("error", () => { if (this.plays && !this.gone) this.on.failed(); });
      part.addEventListener("waiting", () => this.stall());
      part.addEventListener("playing", () => this.unstall());
    }
    // No seeking before the clip was seen whole: media keys can do it even without controls.
    lead.addEventListener("seeking", () => {
      if (!this.seenWhole && this.isPlaying && lead.currentTime > this.furthest + 0.5) lead.currentTime = this.furthest;
    });
  }

  stall() {
    // "waiting" also comes at the very start of a play; that is no stall.
    if (!this.isPlaying || this.lead.ended || this.stalledAt || this.lead.currentTime < 0.1) return;
    this.stalls += 1;
    this.stalledAt = performance.now();
  }

  unstall() {
    if (!this.stalledAt) return;
    this.stalledMs += performance.now() - this.stalledAt;
    this.stalledAt = 0;
  }

  // From the start, or on from where it was interrupted.
  async play() {
    if (this.isPlaying) return;
    const resuming = this.plays > 0 && !this.lead.ended && this.lead.currentTime > 0;
    if (!resuming) {
      this.plays += 1;
      this.furthest = 0;
      for (const part of Object.values(this.parts)) if (part.currentTime > 0) part.currentTime = 0;
    }
    this.isPlaying = true;
    await Promise.all(Object.values(this.parts).filter((part) => !(resuming && part.ended)).map((part) => part.play()));
    if (this.isDual) requestAnimationFrame(() => this.follow());
  }

  follow() {
    if (!this.isPlaying || this.gone) return;
    for (const part of this.followers) {
      if (part.seeking || part.ended || part.readyState < 2) continue;
      const drift = Math.abs(part.currentTime - this.lead.currentTime);
      this.driftMaxS = Math.max(this.driftMaxS, drift);
      if (drift > DRIFT_S && this.lead.currentTime < (part.duration || 0)) {
        this.driftFixes += 1;
        part.currentTime = this.lead.currentTime;
      }
    }
    requestAnimationFrame(() => this.follow());
  }

  finish() {
    this.isPlaying = false;
    this.unstall();
    this.pauseFollowers();
    this.seenWhole = this.coverage() >= 0.95;
    this.on.ended();
  }

  pauseFollowers() {
    this.followers.forEach((part) => part.pause());
  }

  // Share of the clip that was played, over all plays: the worst of its parts.
  coverage() {
    return Math.min(...Object.values(this.parts).map((part) => playedS(part) / (part.duration || Infinity)));
  }

  log() {
    const counted = Object.values(this.parts).map((p) => p.getVideoPlaybackQuality?.()).filter(Boolean);
    const sum = (name) => counted.reduce((all, one) => all + (one[name] ?? 0), 0);
    return {
      coverage: Math.min(1, this.coverage()), plays: this.plays,
      watched_ms: Math.round(1000 * playedS(this.lead)), played: ranges(this.lead),
      stalls: this.stalls, stalled_ms: Math.round(this.stalledMs),
      frames: sum("totalVideoFrames"), frames_dropped: sum("droppedVideoFrames"),
      ...(this.isDual ? { drift_fixes: this.driftFixes, drift_max_ms: Math.round(1000 * this.driftMaxS) } : {}),
    };
  }

  remove() {
    this.gone = true;
    for (const part of Object.values(this.parts)) {
      part.pause();
      part.removeAttribute("src");
      part.load();
      part.remove();
    }
  }
}

function ready(part, url) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => end(reject, new Error("too slow")), READY_MS);
    function end(how, value) {
      clearTimeout(timer);
      part.removeEventListener("canplaythrough", good);
      part.removeEventListener("error", bad);
      how(value);
    }
    const good = () => end(resolve);
    const bad = () => end(reject, new Error("the clip can't be loaded"));
    part.addEventListener("canplaythrough", good);
    part.addEventListener("error", bad);
    part.src = url;
    part.load();
  });
}

function playedS(part) {
  let sum = 0;
  for (let i = 0; i < part.played.length; i += 1) sum += part.played.end(i) - part.played.start(i);
  return sum;
}

function ranges(part) {
  const rows = [];
  for (let i = 0; i < Math.min(part.played.length, 50); i += 1) {
    rows.push([Math.round(1000 * part.played.start(i)), Math.round(1000 * part.played.end(i))]);
  }
  return rows;
}
