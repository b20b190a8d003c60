// SPDX-License-Identifier: GPL-3.0-or-later
// A step of the session in, its page out: all but the trials.

import { browserFamily, post, soundUrl } from "./api.js";
import { el, paragraphs, show, t } from "./dom.js";

const BACK_MS = 5000;

const title = (name) => el("h1", {}, t(name));
const button = (name, onclick, attributes = {}) => el("button", { type: "button", onclick, ...attributes }, t(name));

export function consentView(state, act) {
  const check = el("input", { type: "checkbox", id: "agree", onchange: () => { yes.disabled = !check.checked; } });
  const yes = button("consent_yes", () => act(() => post("consent", { consent: "yes", version: state.version, browser: browserFamily() })), { class: "main", id: "yes", disabled: true });
  const no = button("consent_no", () => act(() => post("consent", { consent: "no" })), { class: "quiet", id: "no" });
  show(title("consent_title"), el("div", { class: "paper" }, ...paragraphs(state.text)),
    el("label", { class: "check", for: "agree" }, check, el("span", {}, t("consent_check"))),
    el("div", { class: "row" }, yes, no),
    el("p", { class: "small" }, `${t("consent_version")}: `, el("code", {}, state.version)));
}

export function soundView(state, act) {
  const said = el("p", { class: "state", role: "status", "aria-live": "polite" }, state.heard === false ? t("sound_wrong") : "");
  const audio = el("audio", { preload: "auto", src: soundUrl(state.attempt) });
  const field = el("input", { type: "text", id: "digits", inputmode: "numeric", autocomplete: "off", maxlength: "20" });
  const play = button("sound_play", async () => {
    audio.currentTime = 0;
    try {
      await audio.play();
      said.textContent = "";
      field.focus();
    } catch {
      said.textContent = t("sound_failed");
    }
  }, { id: "sound", class: "main" });
  const send = el("button", { type: "submit", id: "heard" }, t("sound_send"));
  const form = el("form", { onsubmit: (event) => {
    event.preventDefault();
    if (field.value.trim()) act(() => post("sound", { digits: field.value.slice(0, 40) }));
  } }, el("label", { for: "digits" }, t("sound_label")), el("div", { class: "row" }, field, send));
  show(title("sound_title"), el("p", {}, t("sound_text")), el("div", { class: "row" }, play), audio, said, form);
}

export function instructionsView(state, act) {
  const practice = state.progress.practice_total;
  show(title("instructions_title"), el("div", { class: "paper" }, ...paragraphs(state.text)),
    el("p", {}, t("instructions_flow")), el("p", { class: "keys" }, t("instructions_keys")),
    practice ? el("p", {}, t("instructions_practice", { n: practice })) : null,
    el("div", { class: "row" }, button("go_on", () => act(() => post("next", { from: "instructions" })), { class: "main", id: "go" })));
}

export function readyView(state, act) {
  show(title("ready_title"), el("p", {}, t("ready_text", { n: state.progress.total })),
    el("div", { class: "row" }, button("go_on", () => act(() => post("next", { from: "ready" })), { class: "main", id: "go" })));
}

export function breakView(state, act, onPrevious) {
  show(title("break_title"), el("p", {}, t("break_text", state.progress)),
    el("div", { class: "row" }, button("go_on", () => act(() => post("next", { from: "break" })), { class: "main", id: "go" }),
      onPrevious ? button("previous", onPrevious, { class: "quiet", id: "previous" }) : null));
}

export function commentView(state, act) {
  const field = el("textarea", { id: "comment", maxlength: "2000" });
  show(title("comment_title"), el("p", {}, t("comment_text")), el("label", { for: "comment" }, t("comment_label")), field,
    el("div", { class: "row" }, button("finish", () => act(() => post("finish", { comment: field.value })), { class: "main", id: "finish" })));
}

export function endView(state) {
  const back = state.redirect ? el("a", { class: "button main", id: "redirect", href: state.redirect, rel: "noreferrer" }, t("end_back")) : null;
  show(title("end_title"), el("p", {}, t("end_text")),
    state.code ? el("p", {}, t("end_code"), " ", el("span", { class: "code", id: "code" }, state.code)) : null,
    back ? el("p", {}, t("end_soon")) : null, back ? el("div", { class: "row" }, back) : null);
  if (back) setTimeout(() => location.assign(state.redirect), BACK_MS);
}

// closed, deleted, declined, replaced, other, error
export function plainView(name, label = "", onclick = null) {
  show(title(`${name}_title`), el("p", {}, t(`${name}_text`)),
    label ? el("div", { class: "row" }, button(label, onclick, { class: "main", id: "go" })) : null);
}

export function smallView(onGo) {
  show(title("small_title"), el("p", {}, t("small_text")),
    el("div", { class: "row" }, button("small_go", onGo, { class: "main", id: "go" })));
}
