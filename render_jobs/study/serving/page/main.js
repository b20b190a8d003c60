// SPDX-License-Identifier: GPL-3.0-or-later
// The server's state in, the page that belongs to it out. The server alone knows where a rater is.

import { Refused, forget, post, sendPending, stop, tab } from "./api.js";
import { byId, el, loadWords, notice, show, t } from "./dom.js";
import { canPlay, keepOnly, preload } from "./player.js";
import { Unplayable, endTrial, runTrial } from "./trial.js";
import { breakView, commentView, consentView, endView, instructionsView, plainView, readyView, smallView, soundView } from "./views.js";

const OVER = ["finished", "deleted", "closed", "declined", "replaced"];
const ROOMY_PX = 900;
const others = "BroadcastChannel" in window ? new BroadcastChannel(`study:${location.pathname}`) : null;

let language = "";
let smallAccepted = false;
let busy = false;

async function start() {
  const wanted = /^zh\b/i.test(navigator.language) ? "zh" : "en";
  await loadWords(wanted);
  show(el("p", {}, t("loading")));
  wire();
  if (!canPlay()) {
    plainView("unplayable");
    return;
  }
  let state = await post("open", { language: wanted });
  others?.postMessage(tab);
  state = (await sendPending()) ?? state;
  await apply(state);
}

function wire() {
  others?.addEventListener("message", (event) => { if (event.data !== tab) elsewhere(); });
  byId("leave").addEventListener("click", () => byId("sure").showModal());
  byId("sure-no").addEventListener("click", () => byId("sure").close());
  byId("sure-yes").addEventListener("click", () => {
    byId("sure").close();
    endTrial();
    forget();
    busy = false;
    act(() => post("delete", { confirm: "delete" }));
  });
}

// Do something at the server, once, then show where that led.
async function act(send) {
  if (busy) return;
  busy = true;
  try {
    await apply(await send());
  } catch (error) {
    failed(error);
  } finally {
    busy = false;
  }
}

function failed(error) {
  endTrial();
  notice("");
  if (error instanceof Refused && error.reason === "other_tab") elsewhere();
  else if (error instanceof Refused && error.reason === "changes") keepLast();
  else if (error instanceof Unplayable) plainView("unplayable", "reload", () => location.reload());
  else plainView("error", "reload", () => location.reload());
}

// No more changes of that answer are taken: the last one counts, and the study goes on.
async function keepLast() {
  forget();
  try {
    await apply(await post("open", { language }), t("changes_over"));
  } catch (error) {
    failed(error);
  }
}

function elsewhere() {
  stop();
  endTrial();
  notice("");
  byId("leave").hidden = byId("tongues").hidden = true;
  plainView("other", "other_here", () => location.reload());
}

async function apply(state, text = "") {
  if (state.language !== language) {
    language = state.language;
    await loadWords(language);
  }
  document.title = state.title || t("title");
  endTrial();
  notice(text || (state.changes_over ? t("changes_over") : ""));
  frame(state);
  keepOnly(state.trial?.files, state.next?.files, state.previous?.files);
  const previous = state.previous ? () => correct(state) : null;
  const views = {
    consent: () => consentView(state, act), sound: () => soundView(state, act),
    instructions: () => instructionsView(state, act), ready: () => readyView(state, act),
    break: () => breakView(state, act, previous), comment: () => commentView(state, act),
    declined: () => plainView("declined", "declined_back", () => act(() => post("next", { from: "declined" }))),
    finished: () => endView(state), trial: () => trial(state, previous),
  };
  (views[state.step] ?? (() => plainView(state.step)))();
  if (state.step !== "trial" && state.next) preload(state.next.files);
}

function trial(state, onPrevious) {
  const isSmall = innerWidth < ROOMY_PX || innerHeight > innerWidth;
  if (isSmall && !smallAccepted) {
    const turned = () => { if (innerWidth >= ROOMY_PX && innerWidth > innerHeight) go(); };
    const go = () => {
      removeEventListener("resize", turned);
      smallAccepted = true;
      trial(state, onPrevious);
    };
    addEventListener("resize", turned);
    smallView(go);
    preload(state.trial.files);
    return;
  }
  runTrial(state.trial, { onPrevious, done: apply, failed });
  if (state.next) preload(state.next.files);
}

function correct(state) {
  const back = () => apply(state);
  runTrial(state.previous, { correction: state.previous, onBack: back, done: apply, failed });
}

// What stands around the page: progress, languages, the way out.
function frame(state) {
  const { done, total, practice_done: tried, practice_total: tries } = state.progress;
  const isTrial = state.step === "trial";
  const practising = isTrial && state.trial.practice;
  byId("where").hidden = !["ready", "trial", "break", "comment"].includes(state.step);
  byId("name").textContent = state.title;
  byId("name").hidden = !state.title || !byId("where").hidden;
  const [now, all] = practising ? [tried, tries] : [done, total];
  const number = Math.min(isTrial ? now + 1 : now, all);
  const label = `${practising ? `${t("practice")} ` : ""}${number} / ${all}`;
  byId("count").textContent = label;
  const bar = byId("bar");
  bar.setAttribute("aria-label", t("progress"));
  bar.setAttribute("aria-valuemax", String(all));
  bar.setAttribute("aria-valuenow", String(now));
  bar.setAttribute("aria-valuetext", label);
  byId("fill").style.width = `${all ? (100 * now) / all : 0}%`;
  byId("leave").textContent = t("leave");
  byId("leave").hidden = OVER.includes(state.step);
  byId("sure-title").textContent = t("leave_title");
  byId("sure-text").textContent = t("leave_text");
  byId("sure-yes").textContent = t("leave_yes");
  byId("sure-no").textContent = t("leave_no");
  tongues(state, isTrial || OVER.includes(state.step));
}

function tongues(state, hidden) {
  const names = { en: "English", zh: "中文" };
  const box = byId("tongues");
  box.setAttribute("aria-label", t("language"));
  box.hidden = hidden || state.languages.length < 2;
  box.replaceChildren(...state.languages.map((code) => el("button", {
    type: "button", lang: code, "aria-pressed": String(code === state.language), "data-language": code,
    disabled: code === state.language, onclick: () => act(() => post("language", { language: code })),
  }, names[code] ?? code)));
}

start().catch(failed);
