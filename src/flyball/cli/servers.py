"""The processes behind `up` and `serve`: sockets, children, and telling a person when they answer."""

from __future__ import annotations

import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

import click
import orjson

from flyball.cli.addresses import Addresses
from flyball.engine.bundle import read_contract
from flyball.errors import Corrupt, Mistake
from flyball.project.records import Project
from flyball.registry.live import deployments
from flyball.registry.records import Deployment
from flyball.registry.tokens import first_token
from flyball.serving.access import Door
from flyball.serving.loglines import Outlet
from flyball.serving.options import Options
from flyball.serving.signals import told_to_end
from flyball.serving.sockets import address, is_local
from flyball.serving.supervisor import Child, fresh_metrics, supervise
from flyball.serving.worker import metrics_folder
from flyball.store import Home, open_database, utcnow
from flyball.store.waiting import when_there

#: how often a server that does not answer yet is asked again.
ASK_S = 0.1
ASK_TIMEOUT_S = 2


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


def usual_host(environ: Mapping[str, str]) -> str:
    """Where to listen if nobody says: to all on Cloud Run and Vertex AI, whose own proxies ask; else to this machine."""
    hosted = "K_SERVICE" in environ or "AIP_HTTP_PORT" in environ
    return "0.0.0.0" if hosted else "127.0.0.1"  # noqa: S104  # meant


def with_vertex(options: Options, environ: Mapping[str, str]) -> Options:
    """`options` with the routes that Vertex AI says it will ask. Raises Mistake for one that is no path."""
    paths = {name: environ.get(name, "") for name in ("AIP_PREDICT_ROUTE", "AIP_HEALTH_ROUTE")}
    for name, path in paths.items():
        if path and not path.startswith("/"):
            raise Mistake(f"{name} is {path!r}; needs a path that begins with /, such as /predict")
    return replace(options, vertex_predict=paths["AIP_PREDICT_ROUTE"], vertex_health=paths["AIP_HEALTH_ROUTE"])


def door_of(options: Options, listening: socket.socket) -> Door:
    """What workers with `options` on `listening` ask of whom."""
    return Door(public=options.public or not is_local(listening), auth=dict(options.auth))


def url_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds a listening socket."""
    host, port = address(listening)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # named, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def dashboard_child(home: Home, listening: socket.socket, *, serve_url: str) -> Child:
    """The control plane on an open socket."""
    host, port = address(listening)
    places = ("--home", str(home.path), "--host", host, "--port", str(port), "--serve-url", serve_url)
    argv = (*_python("flyball.dashboard.server"), *places, "--fd", str(listening.fileno()))
    return Child(name="dashboard", argv=argv, pass_fds=(listening.fileno(),), listening=(listening,))


def loop_child(home: Home) -> Child:
    """The loop of every project in the home."""
    return Child(name="loop", argv=(*_python("flyball.loop.process"), "--home", str(home.path)))


def run_until_told(home: Home, children: Sequence[Child], tell: Callable[[threading.Event], None]) -> None:
    """Keep the children running until SIGINT or SIGTERM; then drain them. `tell` runs beside, until the event is set."""
    stop = threading.Event()
    # A second time means at once: the children see that their supervisor is gone.
    with told_to_end(stop.set, insist=True):
        fresh_metrics(metrics_folder(home))
        teller = threading.Thread(target=tell, args=(stop,), name="announce", daemon=True)
        teller.start()
        # What dies is replaced, whether or not somebody reads of it.
        outlet = Outlet(sys.stderr.fileno())
        try:
            supervise(children, stop=stop, log=lambda line: _say(outlet, line))
        finally:
            outlet.close()
            stop.set()
            teller.join()


def announce(home: Home, addresses: Addresses, door: Door, stop: threading.Event) -> None:
    """Print where everything is once it answers, and how to ask as soon as a model can."""
    if not wait_for(f"{addresses.serve}/livez", stop):
        return
    # A server that is away for a moment keeps nobody from being told; the loop and the workers say so.
    database = when_there(lambda: open_database(home, os.environ), stop)
    if database is None:
        return
    with closing(database):
        click.echo(f"serving    {addresses.serve}")
        if addresses.dashboard is not None and wait_for(f"{addresses.dashboard}/livez", stop):
            click.echo(f"dashboard  {addresses.dashboard}/?token={first_token(home, database, utcnow())}")
        click.echo(f"home       {home.path}")
        if door.public:
            click.echo(
                "\nOther machines reach these addresses, over plain HTTP: let a proxy in front speak TLS. Who asks needs a"
                '\ntoken, unless `[serving] auth = "none"`: `flyball token create NAME --scope predict` makes one.'
            )
        if not deployments(database):
            click.echo("\nNo version yet: `flyball run` trains the first, and it is served as soon as it is live.")
        if wait_for(f"{addresses.serve}/readyz", stop):
            for deployment in deployments(database).values():
                click.echo(f"\n{deployment.model} v{deployment.live} answers:")
                asks = door.asks("predict", deployment.model)
                click.echo(f"  {example(home, deployment, addresses.serve, token=asks)}")
            click.echo("\nCtrl-C drains and ends.")


def example(home: Home, deployment: Deployment, url: str, *, token: bool) -> str:
    """A command that asks a live model for a prediction, with a row its contract takes; or why there is none."""
    folder, _ = deployment.bundles[deployment.live]
    try:
        row = orjson.dumps({"inputs": [dict(read_contract(home.path / folder).example)]}).decode()
    except Corrupt as error:  # the other models are told all the same
        return str(error)
    quoted = row.replace("'", "'\\''")
    header = '-H "Authorization: Bearer $TOKEN" ' if token else ""
    return f"curl -s {url}/models/{deployment.model}/predict {header}-d '{quoted}'"


def wait_for(url: str, stop: threading.Event) -> bool:
    """Ask until it answers 200; False when told to stop first."""
    while not stop.is_set():
        if ask(url) == 200:
            return True
        stop.wait(ASK_S)
    return False


def ask(url: str) -> int | None:
    """The status of a GET; None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=ASK_TIMEOUT_S) as answer:  # noqa: S310  # our own http address
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def _say(outlet: Outlet, line: str) -> None:
    outlet.put(f"{line}\n".encode())


def _python(module: str) -> tuple[str, ...]:
    # -P: the folder it is started in holds the user's modules, which must not stand in for ours.
    return (sys.executable, "-P", "-m", module)
