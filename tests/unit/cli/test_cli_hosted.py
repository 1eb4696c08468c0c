"""Where `flyball serve` listens, and for whom, when a platform starts it."""

from __future__ import annotations

import pytest

from flyball.cli.servers import usual_host, with_vertex
from flyball.errors import Mistake
from flyball.serving.options import Options, parse_worker, worker_argv
from flyball.store import Home


@pytest.mark.parametrize(
    ("environ", "host"),
    [
        ({}, "127.0.0.1"),
        ({"PORT": "80"}, "127.0.0.1"),
        ({"K_SERVICE": "s"}, "0.0.0.0"),
        ({"AIP_HTTP_PORT": "1"}, "0.0.0.0"),
    ],
)
def test_only_a_platform_with_a_proxy_of_its_own_is_listened_to(environ: dict[str, str], host: str) -> None:
    """Elsewhere a server is for this machine until it is told otherwise."""
    assert usual_host(environ) == host


def test_the_routes_of_vertex_reach_the_workers(tmp_path: object) -> None:
    """By the environment, over the command line of a worker."""
    options = with_vertex(Options(), {"AIP_PREDICT_ROUTE": "/predict", "AIP_HEALTH_ROUTE": "/health"})
    home = Home(tmp_path)  # type: ignore[arg-type]
    assert (options.vertex_predict, options.vertex_health) == ("/predict", "/health")
    assert parse_worker(worker_argv(home, 3, 0, options)).options == options


def test_a_route_that_is_no_path_is_refused_by_name() -> None:
    """Better at the start than by a health check that fails."""
    with pytest.raises(Mistake, match="AIP_PREDICT_ROUTE is 'predict'; needs a path that begins with /"):
        with_vertex(Options(), {"AIP_PREDICT_ROUTE": "predict"})
