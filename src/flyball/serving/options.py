"""What a worker process is told on its command line, as a record and back."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flyball.project.records import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How workers serve; the same for all workers of a server."""

    #: larger request bodies are refused (413).
    max_body_bytes: int = 16 * 1024 * 1024
    #: an answer, or a body, that takes longer is given up (504, 408).
    timeout_s: float = 30.0
    #: a worker starts a new journal segment after this long.
    segment_s: float = 60.0
    #: serve these models only; empty = all that are deployed.
    models: tuple[str, ...] = ()
    #: requests that may wait in one worker; further ones are refused (503).
    max_waiting: int = 512
    #: connections of one worker; further ones are refused (503). Fewer where it may not have so many open files.
    max_connections: int = 8192
    #: a request's head that takes longer from its first byte to its last is given up (408).
    head_s: float = 10.0
    #: clients may keep a connection idle for this long.
    keep_alive_s: float = 75.0
    #: whether other machines can reach the workers; then tokens are asked for, as `access` says.
    public: bool = False
    #: (model, its `[serving] auth`): "none" or "token"; models that leave it to the address are not here.
    auth: tuple[tuple[str, str], ...] = ()
    #: threads a graph may use for large batches (`engine.threads`); more than one only where workers leave cores free.
    threads: int = 1
    #: how often a worker looks for a new deployment.
    poll_s: float = 0.2
    #: models whose journal lines are on the disk itself before their answers leave (`[serving] durability = "disk"`).
    durable: tuple[str, ...] = ()
    #: model -> share of its predictions that are journaled (`[journal] sample`); all of them where it is not named.
    sample: Mapping[str, float] = field(default_factory=dict)
    #: models that are loaded when they are first asked for (`[serving] loading = "lazy"`); the others before.
    lazy: tuple[str, ...] = ()
    #: paths that Vertex AI asks for predictions and for health; "": none.
    vertex_predict: str = ""
    vertex_health: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerArguments:
    """One worker's own place."""

    home: Path
    #: inherited listening socket.
    fd: int
    #: which of the workers this is, from 0.
    index: int
    options: Options


def serving_options(projects: Sequence[Project], models: tuple[str, ...] = ()) -> Options:
    """What workers of several projects are told: the widest of their limits, and what each wants of its journal."""
    if not projects:
        return Options(models=models)
    return Options(
        max_body_bytes=max(item.serving.max_body_bytes for item in projects),
        timeout_s=max(item.serving.timeout_s for item in projects),
        segment_s=min(item.journal.segment_s for item in projects),
        models=models,
        durable=tuple(item.model.name for item in projects if item.serving.durability == "disk"),
        lazy=tuple(item.model.name for item in projects if item.serving.loading == "lazy"),
        auth=tuple((item.model.name, item.serving.auth) for item in projects if item.serving.auth),
        sample={item.model.name: item.journal.sample for item in projects if item.journal.sample < 1},
    )


def worker_argv(home: Path, fd: int, index: int, options: Options) -> list[str]:
    """The arguments that `parse_worker` reads back."""
    return [
        *("--home", str(home), "--fd", str(fd), "--index", str(index)),
        *("--max-body-bytes", str(options.max_body_bytes), "--timeout-s", str(options.timeout_s)),
        *("--segment-s", str(options.segment_s), "--max-waiting", str(options.max_waiting)),
        *("--max-connections", str(options.max_connections)),
        *("--head-s", str(options.head_s), "--keep-alive-s", str(options.keep_alive_s)),
        *("--poll-s", str(options.poll_s), "--threads", str(options.threads)),
        *(part for model in options.models for part in ("--model", model)),
        *(part for model in options.durable for part in ("--durable", model)),
        *(part for model in options.lazy for part in ("--lazy", model)),
        *(part for model, share in options.sample.items() for part in ("--sample", f"{model}={share}")),
        *(["--vertex-predict", options.vertex_predict] if options.vertex_predict else []),
        *(["--vertex-health", options.vertex_health] if options.vertex_health else []),
        *(["--public"] if options.public else []),
        *(part for model, auth in options.auth for part in ("--auth", f"{auth}={model}")),
    ]


def parse_worker(argv: Sequence[str]) -> WorkerArguments:
    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m flyball.serving.worker", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--max-body-bytes", type=int, default=defaults.max_body_bytes)
    parser.add_argument("--timeout-s", type=float, default=defaults.timeout_s)
    parser.add_argument("--segment-s", type=float, default=defaults.segment_s)
    parser.add_argument("--max-waiting", type=int, default=defaults.max_waiting)
    parser.add_argument("--max-connections", type=int, default=defaults.max_connections)
    parser.add_argument("--head-s", type=float, default=defaults.head_s)
    parser.add_argument("--keep-alive-s", type=float, default=defaults.keep_alive_s)
    parser.add_argument("--poll-s", type=float, default=defaults.poll_s)
    parser.add_argument("--threads", type=int, default=defaults.threads)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--durable", action="append", default=[])
    parser.add_argument("--lazy", action="append", default=[])
    parser.add_argument("--sample", action="append", default=[])
    parser.add_argument("--vertex-predict", default=defaults.vertex_predict)
    parser.add_argument("--vertex-health", default=defaults.vertex_health)
    parser.add_argument("--public", action="store_true")
    parser.add_argument("--auth", action="append", default=[])
    given = parser.parse_args(argv)
    options = Options(
        max_body_bytes=given.max_body_bytes,
        timeout_s=given.timeout_s,
        segment_s=given.segment_s,
        models=tuple(given.model),
        max_waiting=given.max_waiting,
        max_connections=given.max_connections,
        head_s=given.head_s,
        keep_alive_s=given.keep_alive_s,
        poll_s=given.poll_s,
        threads=given.threads,
        durable=tuple(given.durable),
        lazy=tuple(given.lazy),
        sample={model: float(share) for model, _, share in (item.partition("=") for item in given.sample)},
        vertex_predict=given.vertex_predict,
        vertex_health=given.vertex_health,
        public=given.public,
        auth=tuple((model, auth) for auth, _, model in (text.partition("=") for text in given.auth)),
    )
    return WorkerArguments(home=given.home, fd=given.fd, index=given.index, options=options)
