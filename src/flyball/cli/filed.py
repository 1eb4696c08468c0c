"""`flyball monitor MODEL --file`: a file's rows against what the live version was trained on. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson
from click.core import ParameterSource

from flyball.cli.place import Place, open_home, project_of
from flyball.cli.show import put, table
from flyball.dashboard.drifts import feature_drifts
from flyball.dashboard.records import FeatureDrift
from flyball.errors import Mistake
from flyball.registry import live
from flyball.registry.codec import plain
from flyball.registry.records import Version
from flyball.registry.versions import version
from flyball.store import Database


def judge_file(place: Place, model: str, file: Path, *, as_json: bool) -> None:
    """Print the verdict on the file's rows as on a window's, which has no time."""
    from flyball.monitor.files import judge_parquet  # pyarrow and scipy: what only reads windows does without
    from flyball.monitor.inputs import told
    from flyball.stats.profile_file import reference_from_bytes

    database = open_home(place)
    settings = project_of(database, model).monitor
    serving = _live_version(database, model)
    profile = place.home.path / serving.bundle / "profile.json"
    if not profile.exists():
        raise Mistake(
            f"{model} v{serving.number} has no reference profile: its gate had refused it, and it was promoted by hand; "
            "files can be judged once a version that passed is live"
        )
    verdict = judge_parquet(reference_from_bytes(profile.read_bytes()), file, settings=settings)
    # As it would be kept with a window.
    shown = feature_drifts(orjson.loads(orjson.dumps(verdict.to_json())))
    window: dict[str, Any] = {
        "kind": "drift",
        "day": None,
        "start": None,
        "ends": None,
        "version": serving.number,
        "verdict": verdict.verdict,
        "rows": verdict.rows,
        "features": [plain(item) for item in shown],
        "metrics": {},
    }
    head = f"{file}  drift: {verdict.verdict}, v{serving.number}, {verdict.rows:,} rows"
    document = {"model": model, "file": str(file), "windows": [window], "reason": told(verdict)}
    put(document, "\n".join([head, render_features(shown), told(verdict)]), as_json=as_json)


def refuse_beside_file(given: Mapping[str, object]) -> None:
    """A usage error where an option that is about windows is given too; `given`: option -> its value, falsy = not given."""
    source = click.get_current_context().get_parameter_source("limit")
    asked = [name for name, value in given.items() if value] + ["--limit"] * (source is not ParameterSource.DEFAULT)
    if asked:
        raise click.UsageError(
            f"--file with {', '.join(asked)}: a file's rows are judged now and as a whole; the others are about windows "
            "that were judged; leave out --file or the rest"
        )


def render_features(features: Sequence[FeatureDrift]) -> str:
    """Every feature with its statistics and bounds, and what is to be said of those that are more than steady; empty without
    features.
    """
    rows = [
        (drift.feature, drift.verdict, one.method, one.value, one.threshold)
        for drift in features
        for one in drift.statistics
    ]
    said = [f"{drift.feature}: {drift.why}" for drift in features if _noteworthy(drift)]
    return "\n".join([table(("FEATURE", "VERDICT", "METHOD", "VALUE", "BOUND"), rows, empty=""), *said])


def _noteworthy(drift: FeatureDrift) -> bool:
    return drift.verdict not in ("steady", "reported") or ";" in drift.why


def _live_version(database: Database, model: str) -> Version:
    deployed = live.current(database, model)
    if deployed is None:
        raise Mistake(f"no version of {model} is live; `flyball versions {model}` lists those that can be promoted")
    return version(database, model, deployed.live)
