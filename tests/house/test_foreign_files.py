# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule 8: files from elsewhere are opened by `storage/foreign.py` alone, which bounds them."""

from __future__ import annotations

import ast

from product_sources import product

# What reads clips, tables, heads, prompts, manifests and checkpoints.
ROOMS = (
    "exomni_core.clip", "exomni_core.prompt", "exomni_core.formats", "exomni_core.metrics",
    "exomni_core.matching", "exomni_core.omni.config", "exomni_core.omni.tensor_files",
    "exomni_core.storage.documents", "exomni_core.storage.json_lines", "exomni_core.storage.npz",
    "templates", "render_jobs.batch", "render_jobs.study.foreign_rows", "render_jobs.study.ratings",
    "render_jobs.study.plan_file", "render_jobs.study.exchange", "render_jobs.evaluation.imports",
)  # fmt: skip
DIRECT = {"read_bytes", "read_text"}
# Files of ours, and the places where a number or a message is no file.
ALLOWED = {
    "render_jobs.batch.generate_worker": "the command line that the run wrote",
    "render_jobs.study.foreign_rows": "lines of a text that the gate has read",
    "render_jobs.study.exchange": "videos of the study itself",
}


def direct_reads(tree: ast.AST) -> list[int]:
    """Lines that read a file or decode JSON past the gate."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id == "open" and not _writes(node):
            found.append(node.lineno)
        if isinstance(called, ast.Attribute):
            owner = called.value
            is_json = isinstance(owner, ast.Name) and owner.id == "json"
            if called.attr in DIRECT or (is_json and called.attr in ("load", "loads")):
                found.append(node.lineno)
    return found


def _writes(call: ast.Call) -> bool:
    """Whether a call of `open` says that it opens a file of ours for writing."""
    mode = call.args[1] if len(call.args) > 1 else None
    return isinstance(mode, ast.Constant) and str(mode.value)[:1] in ("w", "a", "x")


def in_room(name: str) -> bool:
    return any(name == room or name.startswith(room + ".") for room in ROOMS)


def test_readers_of_foreign_files_go_through_the_gate():
    past = {
        name: lines
        for name, source in product().items()
        if in_room(name) and not name.startswith("templates.head") and name not in ALLOWED
        if (lines := direct_reads(source.tree))
    }
    assert not past, f"these read past exomni_core.storage.foreign: {past}"


def test_the_rule_sees_what_it_forbids():
    for line in ("path.read_bytes()", "p.read_text()", "open(p)", "json.loads(x)", "open(p, 'rb')"):
        assert direct_reads(ast.parse(line)) == [1]
    for line in ("read_at_most(path, 9)", "parse_json(text)", "open(p, 'wb')"):
        assert direct_reads(ast.parse(line)) == []
    assert set(ALLOWED) <= set(product())
