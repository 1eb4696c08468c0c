"""A project whose model no graph can express, from training to a version that answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flyball.cli.versions import render_version
from flyball.engine.session import load_engine
from flyball.loop.site import Site
from flyball.registry import live
from flyball.registry.versions import version
from flyball.store import read_json
from tests.integration.loop.conftest import PIPELINE, refreshed, write_project

pytestmark = pytest.mark.slow  # two training runs, each with several native processes

#: a step of the project's own class, after which no converter knows what to do.
BESIDE = """
from sklearn.base import BaseEstimator, TransformerMixin


class Squares(TransformerMixin, BaseEstimator):
    def fit(self, rows, y=None):
        self.fitted_ = True
        return self

    def transform(self, rows):
        return rows.to_numpy() * [1.0, 2.0]
"""


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """v1 live, v2 its refresh: both native, both refitted after the gate."""
    changed = PIPELINE.replace("make_pipeline(columns, ", "make_pipeline(Squares(), ")
    changed = changed.replace("from flyball", "from squares import Squares\n\nfrom flyball", 1)
    project = write_project(tmp_path_factory.mktemp("native") / "project", pipeline=changed)
    (project / "squares.py").write_text(BESIDE)
    with refreshed(project) as site:
        yield site


def test_a_native_candidate_passes_the_gate_and_goes_live(native: Site) -> None:
    """Scored beside its native champion, refitted, proven again, measured over the way it is served."""
    deployed = live.current(native.database, "late")
    assert deployed is not None
    assert deployed.live == 2
    second = version(native.database, "late", 2)
    assert second.lineage.parent == 1
    assert second.lineage.gated_twin is not None
    assert second.parity["engine"] == "native"
    assert second.parity["over_tolerance"] == 0


def test_its_bundle_needs_nothing_of_the_project(native: Site, tmp_path: Path) -> None:
    """A class of the project's own lies in the pickle: files may change, the version does not."""
    second = version(native.database, "late", 2)
    folder = native.home.path / second.bundle
    assert {path.name for path in folder.iterdir()} >= {"native.json", "model.pickle", "contract.json", "profile.json"}
    assert not (folder / "model.onnx").exists()
    assert not (folder.parent / "native").exists()
    assert "Squares" in read_json(folder / "native.json")["why"]
    engine = load_engine(folder, second.digest)
    answer = engine.predict({"x1": np.float32([0, 3]), "x2": np.float32([0, 3])}).score
    assert 0.4 < answer[0] < 0.6
    assert answer[1] > 0.95


def test_show_says_that_it_is_native_and_why(native: Site) -> None:
    """And the proof stands apart."""
    text = render_version(version(native.database, "late", 2))
    (line,) = [line for line in text.splitlines() if line.startswith("engine")]
    assert "native: " in line
    assert "Squares" in line
    (proof,) = [line for line in text.splitlines() if line.startswith("parity")]
    assert "why" not in proof
