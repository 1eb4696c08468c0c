"""`python -m benchmarks.monitoring [THEME ...] [--all-peers]`: what the monitor was asked and what it reached, into RESULTS.md.

Themes: quiet, found, flights, speed; all without an argument. A theme's part of RESULTS.md is replaced, the others stay.
`--all-peers` installs first what `speed` compares with; without it those are measured that were installed before.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from benchmarks.monitoring.peers import install_all

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = "# Monitoring, measured\n\nMade by `python -m benchmarks.monitoring`; how it is measured: [README](README.md).\n"
THEMES = ("quiet", "found", "flights", "speed")
ALL_PEERS = "--all-peers"


def main(words: list[str]) -> None:
    themes = [word for word in words if word != ALL_PEERS] or THEMES
    unknown = [theme for theme in themes if theme not in THEMES]
    if unknown:
        sys.exit(f"no theme {unknown[0]!r}; allowed: {', '.join(THEMES)}, and {ALL_PEERS}")
    if ALL_PEERS in words:
        for line in install_all():
            print(line, flush=True)
    for theme in themes:
        table: Callable[[], Iterator[str]] = import_module(f"benchmarks.monitoring.{theme}").table
        lines = []
        for line in table():
            print(line, flush=True)
            lines.append(line)
        write(theme, lines)


def write(theme: str, lines: list[str]) -> None:
    """Put a theme's part where it was, or at the end."""
    machine = f"{os.cpu_count()} cores AMD EPYC, 24 GiB, {platform.system()}, Python {platform.python_version()}"
    part = f"<!-- {theme} -->\n{lines[0]}\n\n{datetime.now(UTC):%Y-%m-%d}, {machine}.\n\n" + "\n".join(lines[1:]) + "\n"
    text = RESULTS.read_text() if RESULTS.exists() else HEAD
    parts = dict(re.findall(r"<!-- (\w+) -->\n(.*?)(?=<!-- |\Z)", text, flags=re.DOTALL))
    parts[theme] = part.split("\n", 1)[1] + "\n"
    ordered = "".join(f"\n<!-- {name} -->\n{parts[name].strip()}\n" for name in THEMES if name in parts)
    RESULTS.write_text(HEAD + ordered)


if __name__ == "__main__":
    main(sys.argv[1:])
