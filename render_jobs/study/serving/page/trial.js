// SPDX-License-Identifier: GPL-3.0-or-later
// One trial in, an answer with its timing log out. Answers open when the clip was seen whole.

import { newId, post, reachable, sendAnswer, viewport, waitForNetwork } from "./api.js";
import { el, notice, show, t } from "./dom.js";
import { Player } from "./player.js";

const SIDES = ["left", "tie", "right"];
const KEYS = { 1: "left", 2: "tie", 3: "right", ArrowLeft: "left", ArrowDown: "tie", ArrowRight: "right" };
const MOST_FAILURES = 2;
const MOST_SPANS = 100;

let running = null; // the trial on show
let failedBefore = false; // whether the clip before this one could not be loaded

// Clip after clip fails: that is this browser or the server, not the clips.
export class Unplayable extends Error {}

export function endTrial() {
  running?.close();
  running = null;
}

// correction: {response}, when an answer is changed; done: called with the server's new state.
export function runTrial(trial, { correction = null, onPrevious = null, onBack = null, done, failed }) {
  endTrial();
  running = new Running(trial, { correction, onPrevious, onBack, done, failed });
  running.start();
}

class Running {
  constructor(trial, options) {
    Object.assign(this, options);
    this.trial = trial;
    this.shownAt = performance.now();
    this.response = this.correction?.response ?? "";
    this.loadFailures = 0;
    this.endedAt = [];
    this.spans = { hidden: [], fullscreen: [] };
    this.uuid = newId();
    this.by = "mouse";
    this.closed = new AbortController();
    this.build();
  }

  get unlocked() {
    return Boolean(this.player?.seenWhole || this.correction) && !this.sending;
  }

  build() {
    const keys = ["1", "2", "3"];
    this.buttons = SIDES.map((side, i) => el("button", { type: "button", "data-side": side, "aria-pressed": "false",
      onclick: (event) => this.choose(side, event.detail ? touched(event) : "keys") }, t(side), " ", el("kbd", { "aria-hidden": "true" }, keys[i])));
    this.confirmButton = el("button", { type: "button", class: "main", id: "confirm", onclick: () => this.confirm() }, t("confirm"));
    this.playButton = el("button", { type: "button", class: "main", id: "play", onclick: () => this.play() }, t("play"));
    this.over = el("div", { class: "over" });
    this.stage = el("div", { class: "stage" }, this.over);
    this.state = el("p", { class: "state", role: "status", "aria-live": "polite", id: "state" });
    this.replayButton = el("button", { type: "button", id: "replay", hidden: true, onclick: () => this.play() }, t("replay"));
    const small = this.correction ? t("correcting") : this.trial.again ? t("again") : "";
    show(el("section", { class: "trial", "aria-labelledby": "question" },
      el("h1", { class: "question", id: "question" }, t("question")),
      small ? el("p", { class: "small again" }, small) : null,
      this.stage, this.state,
      el("div", { class: "answers", role: "group", "aria-label": t("answers") }, ...this.buttons),
      el("div", { class: "row" }, this.replayButton,
        this.onPrevious ? el("button", { type: "button", class: "quiet", id: "previous", onclick: this.onPrevious }, t("previous")) : null,
        this.onBack ? el("button", { type: "button", class: "quiet", id: "back", onclick: this.onBack }, t("back")) : null,
        this.confirmButton)));
    this.listen();
    this.paint();
  }

  listen() {
    const { signal } = this.closed;
    document.addEventListener("keydown", (event) => this.key(event), { signal });
    document.addEventListener("keyup", (event) => { if (event.key === " " && !isText(event.target) && !isQuiet(event.target)) event.preventDefault(); }, { signal });
    document.addEventListener("visibilitychange", () => this.span("hidden", document.hidden), { signal });
    document.addEventListener("fullscreenchange", () => this.span("fullscreen", Boolean(document.fullscreenElement)), { signal });
    if (document.hidden) this.span("hidden", true);
  }

  span(name, begins) {
    const rows = this.spans[name];
    const open = rows.length > 0 && rows[rows.length - 1].length === 1;
    if (begins && !open && rows.length < MOST_SPANS) rows.push([this.now()]);
    if (!begins && open) rows[rows.length - 1].push(this.now());
  }

  now() {
    return Math.max(0, Math.round(performance.now() - this.shownAt));
  }

  async start() {
    this.wait(t("loading"));
    while (!this.closed.signal.aborted) {
      this.player?.remove();
      this.player = new Player(this.stage, this.trial.files, t("clip"),
        { ended: () => this.ended(), paused: () => this.paused(), failed: () => this.reload() });
      try {
        await this.player.load(this.loadFailures > 0);
        if (this.closed.signal.aborted) return;
        this.readyAt ??= this.now();
        failedBefore = false;
        notice("");
        this.offer(t("play"), this.unlocked ? "" : t("watch_first"));
        return;
      } catch {
        if (!(await this.mayRetry())) return;
      }
    }
  }

  // After a failure: a lost connection is waited for; a broken clip is left for the end.
  async mayRetry() {
    if (!(await reachable())) {
      notice(t("offline"));
      await waitForNetwork(3000);
      return true;
    }
    notice("");
    this.loadFailures += 1;
    if (this.loadFailures < MOST_FAILURES) return true;
    if (this.closed.signal.aborted) return false;
    const isOne = !failedBefore;
    failedBefore = !this.correction;
    if (this.correction) this.onBack?.();
    else if (!isOne) this.failed(new Unplayable());
    else await this.settle(() => post("skip", { trial: this.trial.id }), t("skipped"));
    return false;
  }

  reload() {
    if (this.closed.signal.aborted) return;
    this.loadFailures += 1;
    this.start();
  }

  wait(text) {
    this.over.replaceChildren(el("div", { class: "spinner" }), el("span", {}, text));
    this.over.hidden = false;
    this.state.textContent = text;
  }

  offer(label, text) {
    this.playButton.replaceChildren(label);
    this.over.replaceChildren(this.playButton);
    this.over.hidden = false;
    this.paint(text);
    this.playButton.focus({ preventScroll: true });
  }

  async play() {
    if (!this.player || this.player.isPlaying || this.sending || !this.readyAt) return;
    this.firstPlayAt ??= this.now();
    this.over.hidden = true;
    this.paint(t("playing"));
    try {
      await this.player.play();
    } catch {
      if (!this.closed.signal.aborted && !this.player.lead.ended) this.paused();
    }
    this.paint(this.player.isPlaying ? t("playing") : undefined);
  }

  ended() {
    if (this.endedAt.length < MOST_SPANS) this.endedAt.push(this.now());
    if (this.player.seenWhole) this.paint();
    else this.offer(t("replay"), t("watch_again"));
  }

  paused() {
    this.player.isPlaying = false;
    this.offer(t("resume"), t("interrupted"));
  }

  choose(side, by) {
    if (!this.unlocked) return;
    this.response = side;
    this.by = by;
    this.paint();
  }

  paint(text) {
    for (const button of this.buttons) {
      button.disabled = !this.unlocked;
      button.setAttribute("aria-pressed", String(this.unlocked && button.dataset.side === this.response));
    }
    this.confirmButton.disabled = !(this.unlocked && this.response);
    this.replayButton.hidden = !(this.player?.seenWhole && this.over.hidden);
    this.replayButton.disabled = Boolean(this.player?.isPlaying);
    if (text) this.state.textContent = text;
    else if (this.unlocked && !this.player?.isPlaying) this.state.textContent = this.response ? t("chosen") : t("choose");
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || isText(event.target) || document.querySelector("dialog[open]")) return;
    const quiet = isQuiet(event.target);
    if (event.key === " ") {
      if (quiet) return; // a link-like button keeps its own meaning
      event.preventDefault();
      if (!event.repeat) this.play();
    } else if (event.key in KEYS) {
      event.preventDefault();
      this.choose(KEYS[event.key], "keys");
    } else if (event.key === "Enter" && !quiet) {
      const side = event.target?.dataset?.side;
      if (event.target === this.playButton || event.target === this.replayButton) return;
      event.preventDefault();
      if (side && !this.response) this.choose(side, "keys");
      else if (!event.repeat) this.confirm();
    }
  }

  async confirm() {
    if (!this.unlocked || !this.response) return;
    const answer = { uuid: this.uuid, trial: this.trial.id, response: this.response, rt_ms: this.now(), viewport: viewport(), timing: this.timing() };
    await this.settle(() => sendAnswer(answer), "");
  }

  timing() {
    const now = this.now();
    const closed = (rows) => rows.map(([from, to]) => [from, to ?? now]);
    return {
      ...this.player.log(), by: this.by, first_play_ms: this.firstPlayAt ?? null, ready_ms: this.readyAt,
      ended_ms: this.endedAt, hidden: closed(this.spans.hidden), fullscreen: closed(this.spans.fullscreen),
      hidden_ms: closed(this.spans.hidden).reduce((sum, [from, to]) => sum + to - from, 0),
      load_failures: this.loadFailures, small_screen: innerWidth < 900, portrait: innerHeight > innerWidth,
      touch: matchMedia("(pointer: coarse)").matches,
    };
  }

  // Send something, with everything locked until the server has it.
  async settle(send, text) {
    if (this.sending) return;
    this.sending = true;
    this.paint(t("saving"));
    try {
      const state = await send();
      if (running === this) this.done(state, text);
    } catch (error) {
      if (running === this) this.failed(error);
    }
  }

  close() {
    this.closed.abort();
    this.player?.remove();
  }
}

function touched(event) {
  return event.pointerType === "touch" ? "touch" : "mouse";
}

function isQuiet(target) {
  return target instanceof Element && Boolean(target.closest("button.quiet, a, #tongues"));
}

function isText(target) {
  return target instanceof Element && target.matches("input, textarea");
}
