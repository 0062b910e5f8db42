"""Counts the doc comments that open with a question word, and fails above 1 %.

usage: first_sentences.py [--report-only] DIRECTORY...

A doc comment says what an item is (a noun phrase) or does (a verb). One that opens with "What ..."
or "Whose ..." makes its reader guess the noun. Rust's `///` and `//!` blocks count, and Python's
docstrings and `#:` comments.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

OPENING = re.compile(r"(What|Who|Whose|Whom|Where|Which|Why)\b")
RUST_LINE = re.compile(r"\s*(?://!|///(?!/)) ?(.*)")
PYTHON_LINE = re.compile(r"\s*#: ?(.*)")
SHARE_ALLOWED = 0.01


def blocks(text: str, line: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Yield the line number and first line of each run of lines that `line` matches."""
    inside = False
    for number, source in enumerate(text.splitlines(), start=1):
        match = line.fullmatch(source)
        if match and not inside and match[1].strip():
            yield number, match[1]
        # An empty first line does not begin a block.
        inside = bool(match) and (inside or bool(match[1].strip()))


def docstrings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and text of each docstring."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and (doc := ast.get_docstring(node)):
            yield node.body[0].lineno, doc


def doc_comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and beginning of each doc comment of a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".rs":
        yield from blocks(text, RUST_LINE)
    else:
        yield from docstrings(text)
        yield from blocks(text, PYTHON_LINE)


def main() -> int:
    arguments = sys.argv[1:]
    report_only = "--report-only" in arguments
    total, found = 0, []
    for root in arguments:
        for path in sorted(Path(root).rglob("*")):
            if path.suffix not in {".rs", ".py", ".pyi"} or "target" in path.parts:
                continue
            for line, sentence in doc_comments(path):
                total += 1
                if OPENING.match(sentence):
                    found.append(f"{path}:{line}: {sentence.splitlines()[0]}")
    if total == 0:
        print("no doc comments found: expected directories of Rust or Python files")
        return 2
    print(f"{len(found)} of {total} doc comments open with a question word ({len(found) / total:.1%})")
    if len(found) <= SHARE_ALLOWED * total:
        return 0
    if not report_only:
        print(*found, sep="\n")
        print(f"at most {SHARE_ALLOWED:.0%} are allowed: open with a noun phrase or a verb instead")
    return 0 if report_only else 1


if __name__ == "__main__":
    sys.exit(main())
