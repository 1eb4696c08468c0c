"""One version's steps run once more, in a folder of their own, and what came of it beside the first (`reproducing`)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from flyball.errors import Mistake, StepFailed
from flyball.loop import plan
from flyball.loop.site import names_of
from flyball.pipeline.artifact import Artifact, is_intact, load
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.execute import context_of
from flyball.pipeline.graph import StepCall, calls_of
from flyball.pipeline.logs import tail
from flyball.pipeline.runs import RunRecord
from flyball.pipeline.step import RunContext
from flyball.pipeline.task import Task
from flyball.pipeline.workers import StepWorkers
from flyball.project.records import Project
from flyball.project.steps import order
from flyball.registry.records import Version
from flyball.store import Database, Home

COMPARE = "reproduce.compare"

#: imported once, before any step; MLflow has no part in this.
STEPS = "flyball.loop.reproducing"


class Again:
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
        pipeline, serving, monitor = project.pipeline, project.serving, project.monitor
        calls = plan.candidate_calls(
            declared, pipeline, model=version.model, refit=refitted, serving=serving, monitor=monitor
        )
        self._model, self._bundle = pipeline.model, "deploy.bundle"
        if refitted:
            again = plan.refit_calls(declared, pipeline, model=version.model, serving=serving, monitor=monitor)[:-1]
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
