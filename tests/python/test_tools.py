"""The scripts that `make bench` and `make lint` run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def figure(row: str, value: float) -> dict:
    return {"table": "page", "row": row, "column": "warm", "value": value, "unit": "ns"}


def write(path: Path, figures: list[dict]) -> Path:
    path.write_text(json.dumps(figures))
    return path


def test_figures_of_a_run_are_collected_and_printed(tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    rows = [figure("stethoscope", 56_000.0), figure("other", 258_000.0)]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "bench.json"
    result = run("benches/figures.py", "collect", lines, output)
    assert result.returncode == 0, result.stderr
    assert json.loads(output.read_text()) == rows
    assert "56 us" in result.stdout
    assert "258 us" in result.stdout


def test_run_without_figures_is_an_error(tmp_path: Path) -> None:
    result = run("benches/figures.py", "collect", tmp_path / "none", tmp_path / "bench.json")
    assert result.returncode == 1
    assert "no figures" in result.stderr


def test_change_beyond_that_of_the_rivals_is_marked(tmp_path: Path) -> None:
    # The machine was 10 % slower in the second run, and stethoscope 50 %.
    rivals = [figure(f"rival {n}", 100.0 + n) for n in range(10)]
    before = write(tmp_path / "before.json", [figure("stethoscope", 100.0), *rivals])
    slower = [figure(rival["row"], rival["value"] * 1.1) for rival in rivals]
    after = write(tmp_path / "after.json", [figure("stethoscope", 150.0), *slower])
    result = run("benches/figures.py", "compare", before, after)
    assert result.returncode == 0, result.stderr
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("page: stethoscope")]
    assert row.split()[-3:] == ["+50.0%", "+36.4%", "*"]


def test_change_of_the_machine_alone_is_not_marked(tmp_path: Path) -> None:
    rows = [figure("stethoscope", 100.0), *(figure(f"rival {n}", 100.0) for n in range(10))]
    before = write(tmp_path / "before.json", rows)
    slower = [figure(row["row"], row["value"] * (1.1 + n / 1000)) for n, row in enumerate(rows)]
    slower[0]["value"] = 110.5
    after = write(tmp_path / "after.json", slower)
    result = run("benches/figures.py", "compare", before, after)
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("page: stethoscope")]
    assert not row.endswith("*")


def first_sentences(tmp_path: Path, name: str, text: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / name).write_text(text)
    return run(".ci/first_sentences.py", tmp_path)


def test_question_word_at_the_start_of_a_rust_doc_comment_is_found(tmp_path: Path) -> None:
    text = "//! A module.\n\n/// Whose it is.\nfn f() {}\n\n/// Returns\n/// What.\n"
    result = first_sentences(tmp_path, "a.rs", text)
    assert result.returncode == 1
    assert "a.rs:3: Whose it is." in result.stdout
    assert "1 of 3" in result.stdout


def test_question_word_at_the_start_of_a_docstring_is_found(tmp_path: Path) -> None:
    text = '"""A module."""\n\n#: Where it is.\nX = 1\n\n\ndef f():\n    """What it does."""\n'
    result = first_sentences(tmp_path, "a.py", text)
    assert result.returncode == 1
    assert "a.py:3: Where it is." in result.stdout
    assert "a.py:8: What it does." in result.stdout


def test_nouns_and_verbs_at_the_start_pass(tmp_path: Path) -> None:
    text = "/// Returns the length.\nfn f() {}\n\n/// The length, whatever it is.\nfn g() {}\n"
    assert first_sentences(tmp_path, "a.rs", text).returncode == 0
