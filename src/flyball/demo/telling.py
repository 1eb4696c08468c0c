"""What a person sees while the year is lived: a line when something was decided, a bar when there is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from flyball.demo.stage import Stage
from flyball.demo.year import World
from flyball.loop.site import Site
from flyball.registry.decisions import Decision, decisions
from flyball.registry.versions import versions


class Teller:
    """Tells on standard output; with `quiet` nothing but the progress, on standard error, if that is a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=quiet, highlight=False, soft_wrap=True)
        self._quiet = quiet
        self._seen = 0
        self._bar = Progress(
            TextColumn("  Living the year"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("")

    def __enter__(self) -> Teller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        if not self._quiet:
            self._console.print(f"  {line}", markup=False)

    def note(self, line: str) -> None:
        """What the supervisor does: worth a line only when something died."""
        if "ended" in line or "killed" in line:
            self.say(line)

    def begin(self, site: Site, world: World, settings: Mapping[str, Any]) -> None:
        place = "New York" if len(str(settings["airports"]).split()) > 1 else str(settings["airports"])
        self.say("")
        self.say(f"Flights from {place}, 2013: will this one arrive more than {settings['late_minutes']} minutes late?")
        self.say("")
        self._bar.update(self._task, total=len(world.days))
        self._seen = max((item.id for item in decisions(site.database, site.model, limit=1)), default=0)

    def first_version(self, site: Site, addresses: Stage) -> None:
        first = versions(site.database, site.model)[0]
        rows = f"{first.lineage.data_rows:,} flights of January and February"
        self.say(f"v1   trained on {rows}: {_auc(first.metrics)} on their last week")
        self.say(f"serving on {addresses.serving}   dashboard {addresses.dashboard}")
        self.say("")
        self._bar.start()

    def day(self, site: Site, world: World, number: int) -> None:
        self._bar.update(self._task, completed=number + 1, description=f"{world.days[number]:%Y-%m-%d}")
        news = [item for item in decisions(site.database, site.model, limit=20) if item.id > self._seen]
        for item in reversed(news):
            self._seen = max(self._seen, item.id)
            if _worth_telling(item):
                about = "retrain" if item.kind == "retrain" else item.subject
                self.say(f"{item.at:%m-%d}  {about}: {item.reason}")

    def end(self, record: Mapping[str, Any], lines: list[str], addresses: Stage) -> None:
        self._bar.stop()
        if self._quiet:
            return
        for line in lines:
            self._console.print(line, markup=False)
        stays = sys.stdout.isatty()
        self.say(f"Ask it why:   {_command()} why flight-delay@production")
        self.say(
            "Predict:      curl -s "
            + addresses.serving
            + "/models/flight-delay/predict -d @examples/flights/request.json"
        )
        self.say(
            f"Look:         {record['dashboard']}"
            + ("   (still running; Ctrl-C stops it)" if stays else "   (stopped with the demo)")
        )


def _command() -> str:
    """How this very command is typed from here: `.venv/bin/flyball`, or the bare name where it lies elsewhere."""
    typed, here = Path(sys.argv[0]).absolute(), Path.cwd()
    return str(typed.relative_to(here)) if typed.name == "flyball" and typed.is_relative_to(here) else "flyball"


def _worth_telling(item: Decision) -> bool:
    """Not the steady days, nor the ones to wait."""
    return item.kind in ("gate", "rollout") or (item.kind == "retrain" and item.verdict == "retrain")


def _auc(metrics: Mapping[str, Any]) -> str:
    found = metrics.get("auc")
    return "-" if found is None else f"AUC {found.value:.3f} ± {(found.high - found.low) / 2:.3f}"
