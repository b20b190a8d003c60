// SPDX-License-Identifier: GPL-3.0-or-later
// What the rater did in, the server's next state out. Nothing that was said is ever lost: an answer
// is kept in the browser until the server has confirmed it, and is sent again until then.

import { notice, t } from "./dom.js";

const HERE = location.pathname.replace(/\/+$/, "");
const PENDING = `study-pending:${HERE.split("/").pop()}`;
const PATIENCE_MS = 15000;
const LONGEST_WAIT_MS = 15000;

export const tab = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

let stopped = false; // another tab has taken over

export class Refused extends Error {
  constructor(status, body) {
    super(body.error ?? "");
    this.status = status;
    this.reason = body.reason ?? "";
  }
}

export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID(); // only on https and localhost
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

export function clipUrl(name) {
  return `${HERE}/v/${name}`;
}

export function soundUrl(attempt) {
  return `${HERE}/sound/${attempt}.wav`;
}

export function stop() {
  stopped = true;
}

export const viewport = () => `${Math.round(innerWidth)}x${Math.round(innerHeight)}`;

export function browserFamily() {
  const told = navigator.userAgent;
  if (/Edg\//.test(told)) return "Edge";
  if (/Firefox\/|FxiOS/.test(told)) return "Firefox";
  if (/Chrome\/|CriOS/.test(told)) return "Chrome";
  return /Safari\//.test(told) ? "Safari" : "other";
}

// Post until the server has answered. Throws Refused for an answer that no repetition changes.
export async function post(action, data = {}) {
  const body = JSON.stringify({ tab, viewport: viewport(), ...data });
  for (let failures = 0; ; failures += 1) {
    if (stopped) throw new Refused(409, { reason: "other_tab" });
    const answer = await attempt(action, body);
    if (answer) {
      notice("");
      const told = await answer.json().catch(() => ({}));
      if (answer.ok) return told;
      throw new Refused(answer.status, told);
    }
    notice(t("offline"));
    await waitForNetwork(Math.min(1000 * 2 ** failures, LONGEST_WAIT_MS));
  }
}

// The server's answer, or null when it should be tried again.
async function attempt(action, body) {
  const cut = new AbortController();
  const timer = setTimeout(() => cut.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(`${HERE}/${action}`, {
      method: "POST", body, headers: { "Content-Type": "application/json" },
      signal: cut.signal, cache: "no-store", credentials: "omit",
    });
    return answer.status >= 500 || answer.status === 408 || answer.status === 429 ? null : answer;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

export function waitForNetwork(longest) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, longest);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    }
    addEventListener("online", done);
  });
}

// Whether the server can be reached now.
export async function reachable() {
  try {
    return (await fetch("../page/icon.svg", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

export async function sendAnswer(answer) {
  remember(answer);
  const state = await post("answer", answer);
  forget();
  return state;
}

// An answer that a closed tab could not send any more.
export async function sendPending() {
  const answer = remembered();
  if (!answer) return null;
  try {
    return await post("answer", answer);
  } catch (error) {
    if (error instanceof Refused && error.reason === "other_tab") throw error;
    return null; // it can't be taken any more, such as after the end
  } finally {
    if (!stopped) forget();
  }
}

function remember(answer) {
  try {
    localStorage.setItem(PENDING, JSON.stringify(answer));
  } catch {
    // private windows may have no storage: memory alone must do
  }
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(PENDING));
  } catch {
    return null;
  }
}

export function forget() {
  try {
    localStorage.removeItem(PENDING);
  } catch {
    // as above
  }
}
