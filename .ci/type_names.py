"""Fails if two files of the engine or its command line tool define types of one name.

usage: type_names.py

A type name means one thing in the crate. Two definitions in one file are variants for
features, or types of its tests. Associated types are left out, and so are the examples, which
are programs of their own, and the Python extension, a crate of its own.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

SOURCE = Path("src")
LEFT_OUT = (SOURCE / "examples", SOURCE / "python")
DEFINITION = re.compile(
    r"(?:\s*(?:pub(?:\([^)]*\))? )?(?:unsafe )?(?:struct|enum|union|trait)|(?:pub(?:\([^)]*\))? )?type) ([A-Z]\w*)"
)


def main() -> int:
    places = defaultdict(dict)
    for path in sorted(SOURCE.rglob("*.rs")):
        if any(path.is_relative_to(folder) for folder in LEFT_OUT):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if match := DEFINITION.match(line):
                places[match[1]].setdefault(path, f"{path}:{number}: {line.strip()}")
    shared = [lines for lines in places.values() if len(lines) > 1]
    print(f"{len(shared)} of {len(places)} type names are defined in several files")
    if not places:
        print("no type found: expected to run in the root of the repository")
        return 2
    for lines in shared:
        print(*lines.values(), sep="\n")
    if shared:
        print("expected a name of its own for each type")
    return 1 if shared else 0


if __name__ == "__main__":
    sys.exit(main())
