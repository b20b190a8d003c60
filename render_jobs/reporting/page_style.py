# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in, a style sheet out: the look of a report's page and its drawings, light and dark."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root {
  --ink: #1c1e21; --soft: #5b6168; --line: #d9dce0; --paper: #ffffff; --shade: #f5f6f8;
  --win: #2b6cb0; --tie: #b4b8bd; --loss: #c2622a; --mark: #1c1e21;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e8ea; --soft: #a2a9b1; --line: #3a3f45; --paper: #16181b; --shade: #1f2226;
    --win: #63a4e6; --tie: #6c737b; --loss: #e08a52; --mark: #e6e8ea;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC",
    "DejaVu Sans", sans-serif;
}
main { max-width: 70rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 {
  font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--line);
}
h1, p { overflow-wrap: anywhere; }
p, ul { max-width: 46rem; margin: .5rem 0; }
ul { padding-left: 1.2rem; }
li { margin: .3rem 0; overflow-wrap: anywhere; }
.lead { font-size: 1.12rem; font-weight: 600; margin-top: 1.1rem; }
p.soft { color: var(--soft); font-size: .93rem; margin-top: .15rem; }
.wide { overflow-x: auto; margin-top: .9rem; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .34rem .5rem; text-align: left; white-space: nowrap; vertical-align: top; }
th {
  vertical-align: bottom; font-weight: 600; border-bottom: 2px solid var(--line);
  white-space: normal;
}
td { border-bottom: 1px solid var(--line); }
th.n, td.n { text-align: right; }
td:first-child { white-space: normal; min-width: 11rem; max-width: 17rem; overflow-wrap: anywhere; }
tbody tr:nth-child(even) { background: var(--shade); }
.caption, figcaption { color: var(--soft); font-size: .88rem; max-width: 46rem; }
.caption { margin: .45rem 0 1.4rem; }
figure { margin: 1.2rem 0 1.6rem; }
figure svg { display: block; width: 100%; min-width: 36rem; height: auto; max-width: 60rem; }
figcaption { margin-top: .4rem; }
details { margin: .6rem 0; }
summary { cursor: pointer; padding: .3rem 0; }
td a { color: inherit; text-decoration-color: var(--line); text-underline-offset: .2em; }
td a:hover { text-decoration-color: var(--ink); }
svg text { fill: var(--ink); font-size: 13px; font-family: inherit; }
svg .small { font-size: 11.5px; }
svg .soft { fill: var(--soft); }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
svg .axis { stroke: var(--line); stroke-width: 1; fill: none; }
svg .null { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 4 3; }
svg .whisker { stroke: var(--mark); stroke-width: 1.6; }
svg .whisker.pale { stroke: var(--soft); }
svg .dot { fill: var(--mark); }
svg .ring { fill: var(--paper); stroke: var(--soft); stroke-width: 1.6; }
svg .win { fill: var(--win); }
svg .tie { fill: var(--tie); }
svg .loss { fill: var(--loss); }
svg .curve { fill: none; stroke-width: 1.9; stroke-linejoin: round; }
svg .c0 { stroke: var(--win); } svg .c1 { stroke: var(--loss); } svg .c2 { stroke: #2f8f5b; }
svg .c3 { stroke: #8a4fb0; } svg .c4 { stroke: #b08a1e; }
svg .f0 { fill: var(--win); } svg .f1 { fill: var(--loss); } svg .f2 { fill: #2f8f5b; }
svg .f3 { fill: #8a4fb0; } svg .f4 { fill: #b08a1e; }
svg .cr { stroke: var(--mark); stroke-dasharray: 5 3; stroke-width: 1.6; }
svg .band { fill: var(--shade); } svg .shut { fill: var(--tie); opacity: .45; }
svg .plain { fill: var(--tie); }
svg .tiny { font-size: 10.5px; }
svg .in-bar { fill: #ffffff; }
svg .in-tie { fill: #1c1e21; }
@media (prefers-color-scheme: dark) { svg .in-bar, svg .in-tie { fill: #101214; } }
@media print {
  main { max-width: none; padding: 0; } section { break-inside: auto; }
  figure, table { break-inside: avoid; }
}
"""
