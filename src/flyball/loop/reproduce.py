"""A version made again from what its run kept: recipe, data, parameters, seed, environment; and compared with the first.

Nothing is registered and nothing kept but the decision that tells of it: what is made again lies in a folder of its own
until it has been compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flyball.engine.bundle import verify_bundle
from flyball.errors import Mistake
from flyball.loop.again import STEPS, Again
from flyball.loop.as_then import moved_files, moved_source, project_as_then
from flyball.loop.environments import ENVIRONMENTS, differences, rebuilt
from flyball.loop.recipe import RECIPE, environment
from flyball.pipeline.runs import RunRecord, find_run
from flyball.pipeline.workers import StepWorkers
from flyball.project.load import load_project
from flyball.registry.records import Version
from flyball.store import Database, Home

Result = Literal["bit-equal", "equal within tolerance", "different"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What making a version again came to."""

    model: str
    version: int
    label: str
    result: Result
    #: where the training rows came from: the project's own `source`, or the rows kept with the run.
    data: Literal["source", "kept"]
    #: what is not as it was, each a sentence: changed data files, a changed pipeline, another environment.
    notes: tuple[str, ...]
    #: package -> (version then, version used now).
    packages: Mapping[str, tuple[str | None, str | None]]
    #: rows compared; of them those whose scores differ in any bit; the largest difference.
    rows: int
    differing: int
    largest: float
    #: what counts as equal within tolerance: the project's `[serving] parity_tolerance`, as it was then.
    tolerance: float
    #: whether the fitted model holds the same numbers; None: the first one is gone.
    dump_equal: bool | None
    #: whether the compiled graphs are the same bytes; None: one of them is not compiled.
    graph_equal: bool | None


def reproduce(
    database: Database,
    home: Home,
    version: Version,
    directory: Path,
    *,
    rebuild: bool,
    say: Callable[[str], None],
) -> Reproduction:
    """Train the version again and compare. `directory`: its project's. `rebuild`: in the packages it was made with.

    Raises Mistake where there is nothing to make it from, Corrupt where there is nothing to compare it with, Unavailable
    where its packages cannot be had, StepFailed.
    """
    run = _run_of(database, home, version)
    verify_bundle(home.path / version.bundle, version.digest)
    packages = differences(version.lineage.environment, environment())
    python: str | None = None
    notes: tuple[str, ...] = ()
    if packages and rebuild:
        python = rebuilt(home.path / ENVIRONMENTS, version.lineage.environment, say)
        notes, packages = (f"its {len(version.lineage.environment)} packages were installed again: {python}",), {}
    with project_as_then(home, run, directory) as folder:
        project = load_project(folder / "project")
        workers = StepWorkers(
            folder / "project",
            project.pipeline.module,
            preload=(STEPS,),
            log=folder / "import.log",
            **({} if python is None else {"python": python}),
        )
        with workers:
            again = Again(database, home, version, run, project, workers, folder / "run", say)
            found, data = again.compared()
        tolerance = project.serving.parity_tolerance
        notes = (*notes, *moved_files(home, run, directory), *moved_source(home, run, directory), *again.notes)
    return Reproduction(
        model=version.model,
        version=version.number,
        label=version.label,
        result=result_of(found, tolerance),
        data=data,
        notes=notes,
        packages=packages,
        rows=found["rows"],
        differing=found["differing"],
        largest=found["largest"],
        tolerance=tolerance,
        dump_equal=found["dump"],
        graph_equal=found["graph"],
    )


def result_of(found: Mapping[str, Any], tolerance: float) -> Result:
    """Bit-equal: every score, and the model's own numbers where both can be read, else the compiled graph's bytes."""
    told = found["graph"] if found["dump"] is None else found["dump"]
    if found["differing"] == 0 and told is not False:
        return "bit-equal"
    return "equal within tolerance" if found["largest"] <= tolerance else "different"


def _run_of(database: Database, home: Home, version: Version) -> RunRecord:
    name = f"{version.model} v{version.number}"
    if version.lineage.adopted is not None:
        raise Mistake(f"{name} was adopted, not trained here: there is no recipe to make it again by")
    run = find_run(database, version.lineage.run)
    if not (home.runs / run.id / RECIPE).is_dir():
        raise Mistake(
            f"{name}: its run {run.id[:12]} keeps no recipe (it was made by an earlier release, or the folder is gone); "
            "`flyball lineage` names commit, data and parameters"
        )
    return run
