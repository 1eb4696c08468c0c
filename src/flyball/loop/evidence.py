"""A gate's evidence: who stands for the champion, the scores as a record, and what the serving path costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from flyball.engine.bundle import MANIFEST, PARITY
from flyball.engine.session import load_engine
from flyball.loop.importance import IMPORTANCE
from flyball.monitor.estimators import ESTIMATE
from flyball.pipeline.handed import TRAINED
from flyball.project.records import Project
from flyball.project.rules import Rule
from flyball.registry import sound
from flyball.registry.gate import HeldOut
from flyball.registry.records import RuleResult, Version
from flyball.serving.options import serving_options
from flyball.serving.rehearsal import rehearsed
from flyball.store import Home, stamp

#: one-row requests behind `p99_ms`, and rounds of them at most.
LATENCY_ROWS = 200
LATENCY_ROUNDS = 3
#: no further round is begun after this long.
LATENCY_S = 0.2

#: before a column's name among the `score` step's arrays: which of its slices each row is in.
SLICE = "slice "

#: of a bundle's files, those that no engine is loaded from.
_NOT_LOADED = frozenset({MANIFEST, PARITY, IMPORTANCE, ESTIMATE, "profile.json"})


def champions(home: Home, champion: Version | None) -> list[dict[str, Any]]:
    """The champion, then its gated twin: the twin never saw the rows its own gate held out."""
    if champion is None:
        return []
    end = champion.lineage.data_end
    found = [_asked(home.path / champion.bundle, champion.digest, stamp(end) if end else None)]
    twin = champion.lineage.gated_twin
    if twin is not None:
        found.append(_asked(home.path / twin["bundle"], twin["digest"], twin.get("data_end")))
    return found


def _asked(folder: Path, digest: str, data_end: str | None) -> dict[str, Any]:
    kept = folder.parent / TRAINED
    return {
        "folder": str(folder),
        "digest": digest,
        "data_end": data_end,
        "trained": str(kept) if kept.is_file() else None,
    }


def held_out(task: str, scores: Mapping[str, Any]) -> HeldOut:
    """The `score` step's arrays as the gate's record."""
    times = scores["times"]
    return HeldOut(
        task=task,
        y=scores["y"],
        candidate=scores["candidate"],
        champion=scores["champion"] if len(scores["champion"]) else None,
        clusters=scores["clusters"] if len(scores["clusters"]) else None,
        slices={name.removeprefix(SLICE): values for name, values in scores.items() if name.startswith(SLICE)},
        days=len(np.unique(scores["day"])),
        start=_at(times.min()) if len(times) else None,
        end=_at(times.max()) if len(times) else None,
    )


def checked(
    scores: Mapping[str, Any], candidate: Mapping[str, Any], allow_leak: Sequence[str]
) -> tuple[RuleResult, ...]:
    """The verdict's lines about the rows themselves, of what the steps `score` and `bundle` have found.

    Without any for a run begun by a release that did not look.
    """
    if "replayed" not in scores:
        return ()
    seen = candidate.get("seen")
    return (
        sound.served_as_scored(scores["replayed"]),
        sound.no_leak(scores["alone"], allow_leak),
        *((_unseen(seen),) if seen else ()),
    )


def _unseen(found: Mapping[str, Any]) -> RuleResult:
    if "untold" in found:
        return sound.untold(found["untold"])
    return sound.unseen(found["seen"], found["rows"], found["repeated"])


def left_out(scores: Mapping[str, Any], champion: Version | None) -> str | None:
    """What must be known of the rows that candidate and champion are compared on; None: nothing."""
    count = int(scores["left_out"][0]) if "left_out" in scores else 0
    if champion is None or count == 0:
        return None
    if count < 0:
        return f"whether v{champion.number} was trained on some of these rows cannot be told"
    return f"{count:,} held-out rows that v{champion.number} was trained on are left out"


def nothing_held_out(task: str) -> HeldOut:
    """A project without a hold-out: only what was measured can be judged."""
    empty = np.empty(0)
    return HeldOut(task=task, y=empty, candidate=empty, champion=None, clusters=None, days=0, start=None, end=None)


def measured(folder: Path, rules: Sequence[Rule], project: Project | None = None) -> dict[str, float]:
    """What the rules ask of the serving path: `p99_ms` of one-row requests over the whole of it but the network, on this
    machine, as `project` has it served; `size_mb`, millions of bytes of the files that a server loads of the bundle.
    """
    asked = {rule.metric for rule in rules}
    found = {}
    if "p99_ms" in asked:
        found["p99_ms"] = _p99_ms(folder, project)
    if "size_mb" in asked:
        found["size_mb"] = sum(path.stat().st_size for path in folder.iterdir() if path.name not in _NOT_LOADED) / 1e6
    return found


def _p99_ms(folder: Path, project: Project | None) -> float:
    """Of the best round, because what else the machine does can only make a round slower; rounds end when time is up."""
    engine = load_engine(folder, None)
    body = orjson.dumps({"inputs": [dict(engine.contract.example)]})
    options = serving_options([] if project is None else [project])
    columns = {} if project is None else project.columns
    rounds = []
    began = time.perf_counter()
    with rehearsed(engine, options=options, columns=columns, beside=folder.parent) as rehearsal:
        for _ in range(LATENCY_ROUNDS):
            rounds.append(float(np.percentile(rehearsal.seconds_of(body, LATENCY_ROWS), 99) * 1000))
            if time.perf_counter() - began > LATENCY_S:
                break
    return min(rounds)


def _at(microseconds: int) -> datetime:
    return datetime.fromtimestamp(int(microseconds) / 1e6, UTC)
