// SPDX-License-Identifier: GPL-3.0-or-later
// Progress of all raters in, a table out. Every text goes in as text.

import { byId, el } from "./dom.js";

const EVERY_MS = 5000;

function row(rater) {
  const done = el("progress", { max: String(rater.total || 1), value: String(rater.answered), "aria-hidden": "true" });
  return el("tr", {},
    el("th", { scope: "row" }, rater.rater_id), el("td", {}, rater.state),
    el("td", {}, done, ` ${rater.answered} / ${rater.total}`), el("td", {}, String(rater.failed_clips)),
    el("td", {}, rater.language), el("td", {}, rater.last_seen ? new Date(rater.last_seen).toLocaleString() : ""),
    el("td", { class: "text" }, rater.comment));
}

async function refresh() {
  try {
    const answer = await fetch(`${location.pathname.replace(/\/+$/, "")}/progress`, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const told = await answer.json();
    byId("rows").replaceChildren(...told.raters.map(row));
    const finished = told.raters.filter((one) => one.state === "finished").length;
    const working = told.raters.filter((one) => one.state === "at work").length;
    byId("sum").textContent = `${finished} of ${told.raters.length} finished, ${working} at work${told.closed ? "; the study is closed" : ""}`;
    byId("plan").textContent = told.plan;
  } catch {
    byId("sum").textContent = "The server can't be reached; trying again.";
  }
  setTimeout(refresh, EVERY_MS);
}

refresh();
