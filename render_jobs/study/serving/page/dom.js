// SPDX-License-Identifier: GPL-3.0-or-later
// Words and elements in, a page out. Text goes in as text: nothing here reads HTML.

// What can be said before any words could be loaded.
let words = {
  error_title: "Something went wrong · 出了点问题",
  error_text: "Please load the page again. 请重新加载页面。",
  reload: "Load again · 重新加载",
};

export async function loadWords(language) {
  const answer = await fetch(`../page/words.${language}.json`);
  if (!answer.ok) throw new Error("no words");
  words = await answer.json();
  document.documentElement.lang = language;
  document.title = words.title;
}

export function t(name, values = {}) {
  const text = words[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
}

// el("p", {class: "small", onclick: f, hidden: true}, "text", child, ...)
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") made.toggleAttribute(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

// Paragraphs are parted by empty lines; a first line of its own is their heading, and lines that
// start with "- " become a list.
export function paragraphs(text) {
  const made = [];
  for (const block of text.split(/\n\s*\n/)) {
    const lines = block.split("\n").map((line) => line.trim()).filter(Boolean);
    const plain = lines.filter((line) => !line.startsWith("- "));
    const items = lines.filter((line) => line.startsWith("- "));
    if (lines.length > 1 && plain[0] === lines[0] && !/[.!?:;,。！？：；，]$/.test(plain[0])) made.push(el("h2", {}, plain.shift()));
    if (plain.length) made.push(el("p", {}, plain.join(" ")));
    if (items.length) made.push(el("ul", {}, ...items.map((line) => el("li", {}, line.slice(2)))));
  }
  return made;
}

// Replace what the page shows; the heading is what a screen reader says first.
export function show(...children) {
  const main = byId("main");
  main.replaceChildren(...children.filter((child) => child !== null));
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

export function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}
