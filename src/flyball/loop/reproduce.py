"""A version made again from what its run kept: recipe, data, parameters, seed, environment; and compared with the first.

Nothing is registered and nothing kept but the decision that tells of it: what is made again lies in a folder of its own
until it has been compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from flyball.errors import Mistake, StepFailed
from flyball.loop import plan
from flyball.loop.environments import ENVIRONMENTS, differences, rebuilt
from flyball.loop.recipe import RECIPE, environment
from flyball.loop.site import names_of
from flyball.loop.sources import kept_sources, sources
from flyball.pipeline.artifact import Artifact, is_intact, load
from flyball.pipeline.execute import StepCall, calls_of, context_of
from flyball.pipeline.logs import tail
from flyball.pipeline.runs import RunRecord, find_run, steps_of
from flyball.pipeline.step import RunContext
from flyball.pipeline.task import Task
from flyball.pipeline.workers import StepWorkers
from flyball.project.load import load_project
from flyball.project.records import Project
from flyball.project.steps import order
from flyball.registry.records import Version
from flyball.store import Database, Home, new_id

Result = Literal["bit-equal", "equal within tolerance", "different"]

COMPARE = "reproduce.compare"

#: imported once, before any step; MLflow has no part in this.
STEPS = "flyball.loop.reproducing"


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

    Raises Mistake where there is nothing to make it from, Unavailable where its packages cannot be had, StepFailed.
    """
    run = _run_of(database, home, version)
    packages = differences(version.lineage.environment, environment())
    python: str | None = None
    notes: tuple[str, ...] = ()
    if packages and rebuild:
        python = rebuilt(home.path / ENVIRONMENTS, version.lineage.environment, say)
        notes, packages = (f"its {len(version.lineage.environment)} packages were installed again: {python}",), {}
    with _project_as_then(home, run, directory) as folder:
        project = load_project(folder / "project")
        workers = StepWorkers(
            folder / "project",
            project.pipeline.module,
            preload=(STEPS,),
            log=folder / "import.log",
            **({} if python is None else {"python": python}),
        )
        with workers:
            again = _Again(database, home, version, run, project, workers, folder / "run", say)
            found, data = again.compared()
        tolerance = project.serving.parity_tolerance
        notes = (*notes, *_moved_files(home, run, directory), *_moved_source(home, run, directory), *again.notes)
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


@contextmanager
def _project_as_then(home: Home, run: RunRecord, directory: Path) -> Iterator[Path]:
    """A folder with `project`: the run's own recipe, and beside it, as links, what else lies in the project's folder."""
    folder = home.runs / f".reproduce-{new_id()}"
    try:
        (folder / "run").mkdir(parents=True)
        overlay(home.runs / run.id / RECIPE, directory, folder / "project")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def overlay(recipe: Path, directory: Path, target: Path) -> None:
    """Make `target` out of the recipe's files, as copies, and what `directory` holds besides, as links."""
    target.mkdir()
    for path in recipe.iterdir():
        if path.is_dir():
            overlay(path, directory / path.name, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)
    if directory.is_dir():
        for path in directory.iterdir():
            if not (target / path.name).exists() and path.name != "__pycache__":
                (target / path.name).symlink_to(path)


def _moved_files(home: Home, run: RunRecord, directory: Path) -> tuple[str, ...]:
    """Data files of `[pipeline] source` whose content is not what it was."""
    notes = []
    for name, was in kept_sources(home.runs / run.id).items():
        try:
            now = sources(directory, [name])[name]
        except Mistake:
            notes.append(f"data file {name} is gone")
            continue
        if now["sha256"] != was["sha256"]:
            revision = f"; DVC has it at {was['revision'][:12]}" if "revision" in was else ""
            notes.append(f"data file {name} has changed: {was['sha256'][:12]} then, {now['sha256'][:12]} now{revision}")
    return tuple(notes)


def _moved_source(home: Home, run: RunRecord, directory: Path) -> tuple[str, ...]:
    """Files of the recipe that have changed since; the recipe's were used."""
    recipe = home.runs / run.id / RECIPE
    names = [path.relative_to(recipe) for path in sorted(recipe.rglob("*.py"))]
    changed = [
        str(name)
        for name in names
        if not (directory / name).is_file() or (directory / name).read_bytes() != (recipe / name).read_bytes()
    ]
    return (f"{', '.join(changed)}: changed since; as it was then is what ran",) if changed else ()


class _Again:
    """One version's steps, run once more in a folder of their own."""

    def __init__(
        self,
        database: Database,
        home: Home,
        version: Version,
        run: RunRecord,
        project: Project,
        workers: StepWorkers,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self.notes: tuple[str, ...] = ()
        self._home, self._version, self._run, self._project, self._workers = home, version, run, project, workers
        self._folder, self._say = folder, say
        self._first = {step.name: step.artifact for step in steps_of(database, run.id) if step.artifact is not None}
        self._root = home.runs / run.id
        refitted = version.lineage.gated_twin is not None
        declared = order(workers.describe(), model=project.pipeline.model, holdout=project.pipeline.holdout)
        self._steps = tuple(call.name for call in calls_of(declared))
        pipeline, serving = project.pipeline, project.serving
        calls = plan.candidate_calls(
            declared, pipeline, model=version.model, refit=refitted, serving=serving, monitor=project.monitor
        )
        self._model, self._bundle = pipeline.model, "deploy.bundle"
        if refitted:
            again = plan.refit_calls(declared, pipeline, model=version.model, serving=serving, monitor=project.monitor)[
                :-1
            ]
            calls = (*[call for call in calls if call.name != self._bundle], *again)
            self._model, self._bundle = plan.REFIT + self._model, "refit.deploy.bundle"
        self._calls = calls

    def compared(self) -> tuple[dict[str, Any], Literal["source", "kept"]]:
        """What `reproducing.compare` found, and which rows were trained on."""
        was = self._version.lineage.data_digest
        try:
            made = self._made(self._calls, {})
            now = load(made[self._bundle], self._folder)["data_digest"]
            trouble = (
                None if now == was else f"the source gives other rows than then (digest {now[:12]}, was {was[:12]})"
            )
        except StepFailed as error:
            trouble = f"the source cannot be read as then: {str(error).splitlines()[0]}"
        if trouble is None:
            return self._compare(made), "source"
        self.notes = (f"{trouble}; the rows kept with run {self._run.id[:12]} were trained on instead",)
        shutil.rmtree(self._folder)
        made = self._made(self._calls, self._kept_rows(trouble))
        return self._compare(made), "kept"

    def _kept_rows(self, trouble: str) -> dict[str, Artifact]:
        """All results of the run but the models': linked into this folder, each proven to be what was written."""
        fits = {self._project.pipeline.model, self._model}
        kept = {name: item for name, item in self._first.items() if name not in fits and "deploy." not in name}
        gone = [name for name, item in kept.items() if not is_intact(item, self._root)]
        if gone or not kept:
            raise Mistake(
                f"{self._version.model} v{self._version.number} cannot be made again: {trouble}, and the rows kept with its "
                f"run are gone or changed ({', '.join(gone) or 'none'}); restore the data, or the run's folder from a backup"
            )
        for item in kept.values():
            target = self._folder / item.path
            target.parent.mkdir(parents=True)
            target.symlink_to(self._root / item.path, target_is_directory=True)
        return kept

    def _compare(self, made: Mapping[str, Artifact]) -> dict[str, Any]:
        bundle = next(call for call in self._calls if call.name == self._bundle)
        rows = bundle.inputs.get("holdout", bundle.inputs["table"])
        original = {
            "root": str(self._root),
            "folder": str(self._home.path / self._version.bundle),
            "digest": self._version.digest,
            **{what: self._intact(name) for what, name in (("model", self._model), ("rows", rows))},
        }
        call = StepCall(
            name=COMPARE,
            target=f"{STEPS}:compare",
            inputs={"model": self._model, "made": self._bundle, "table": rows},
            given=("run",),
            constants={"original": original},
        )
        found: dict[str, Any] = load(self._made((call,), made)[COMPARE], self._folder)
        return found

    def _intact(self, name: str) -> dict[str, Any] | None:
        """The first run's result, where it is still what was written."""
        first = self._first.get(name)
        return None if first is None or not is_intact(first, self._root) else first.to_json()

    def _made(self, calls: Sequence[StepCall], kept: Mapping[str, Artifact]) -> dict[str, Artifact]:
        """Run the calls in their order, those not kept; raises StepFailed."""
        results = dict(kept)
        for call in calls:
            if call.name in results:
                continue
            self._say(f"{self._version.model} v{self._version.number}: {call.name}")
            folder = self._folder / call.name
            folder.mkdir(parents=True, exist_ok=True)
            task = Task(
                name=call.name,
                target=call.target,
                inputs={parameter: results[name] for parameter, name in call.inputs.items()},
                given=call.given,
                constants=call.constants,
                context=replace(self._context(), folder=folder / "1", refit=call.refit),
                log=folder / "log.txt",
            )
            outcome = self._workers.run(task, call.timeout_s)
            if outcome.artifact is None:
                text = f"step {call.name!r}: {outcome.error}\n{tail(task.log)}"
                raise StepFailed(text, run=self._run.id, step=call.name)
            results[call.name] = outcome.artifact
        return results

    def _context(self) -> RunContext:
        model = names_of(self._project)
        return replace(context_of(self._run, self._home, model=model), path=self._folder)
