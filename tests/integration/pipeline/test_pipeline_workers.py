"""Step processes: how they begin, end, are killed, and die with those above them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flyball.errors import ProjectError, Unavailable
from flyball.pipeline.artifact import load, save
from flyball.pipeline.task import Task
from flyball.pipeline.workers import StepWorkers
from flyball.project.steps import StepDeclaration

Make = Callable[..., StepWorkers]
MakeTask = Callable[..., Task]


def pid_in(path: Path) -> int:
    """The pid a step wrote; 0 while there is none."""
    return int(path.read_text() or 0) if path.exists() else 0


def is_running(pid: int) -> bool:
    """A zombie, waiting for somebody to note its death, is dead."""
    if not Path("/proc").exists():
        return str(pid) in subprocess.run(["ps", "-axo", "pid="], capture_output=True, text=True).stdout.split()
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_step_gets_inputs_given_names_and_constants(project: Make, task: MakeTask) -> None:
    """Inputs are loaded, the run gives its own, constants are passed as they are."""
    workers = project(
        "@step\n"
        "def report(rows, params, seed, window, run, note):\n"
        "    return [rows, params, seed, window.end.isoformat(), run.id, run.folder.name, run.model.target, note]\n"
    )
    call = task("report", given=("params", "seed", "window", "run"), constants={"note": "hello"})
    rows = save([1, 2], call.context.path / "rows", root=call.context.path)
    outcome = workers.run(replace(call, inputs={"rows": rows}))
    assert outcome.error is None
    assert outcome.artifact is not None
    expected = [[1, 2], {"depth": 3}, 7, "2013-03-01T06:00:00+00:00", "r1", "1", "y", "hello"]
    assert load(outcome.artifact, call.context.path) == expected
    assert (outcome.artifact.kind, outcome.artifact.path) == ("json", "report/1/value")


def test_a_dotted_target_is_any_function(project: Make, task: MakeTask) -> None:
    """Flyball's own steps are not the user's."""
    call = task("own", "os.path:basename", constants={"p": "/a/b"})
    outcome = project("").run(call)
    assert outcome.artifact is not None
    assert load(outcome.artifact, call.context.path) == "b"


def test_every_step_has_a_process_of_its_own_and_the_module_is_imported_once(
    project: Make, task: MakeTask, tmp_path: Path
) -> None:
    """What one step does to globals, no other sees."""
    workers = project(
        f"import os, pathlib\nwith open({str(tmp_path / 'imports')!r}, 'a') as file: file.write('x')\nseen = []\n"
        "@step\ndef one():\n    seen.append(1)\n    return [os.getpid(), seen]\n"
        "@step\ndef two():\n    seen.append(2)\n    return [os.getpid(), seen]\n"
    )
    pids = set()
    for name, seen in (("one", [1]), ("two", [2])):
        call = task(name)
        artifact = workers.run(call).artifact
        assert artifact is not None
        value = load(artifact, call.context.path)
        pids.add(value[0])
        assert value[1] == seen
    assert len(pids - {os.getpid()}) == 2
    assert (tmp_path / "imports").read_text() == "x"


def test_the_global_generators_start_from_the_runs_seed(project: Make, task: MakeTask) -> None:
    """random.seed(7) then random() is 0.32383276483316237."""
    call = task("draw")
    artifact = (
        project("import random\nseed = random.random()\n@step\ndef draw():\n    return random.random()\n")
        .run(call)
        .artifact
    )
    assert artifact is not None
    assert load(artifact, call.context.path) == 0.32383276483316237


def test_an_exception_comes_back_with_the_users_line_and_its_traceback_is_logged(project: Make, task: MakeTask) -> None:
    """The innermost line of the project, not of a library."""
    workers = project("import json\n@step\ndef fails():\n    print('so far')\n    return json.loads('{')\n")
    call = task("fails")
    outcome = workers.run(call)
    assert outcome.artifact is None
    assert outcome.error == (
        "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1) (pipeline.py:6)"
    )
    log = call.log.read_text()
    assert log.startswith("--- fails, attempt 1\nso far\nTraceback (most recent call last):\n")
    assert "in raw_decode" in log


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("os._exit(3)", "its process ended with exit status 3 before it had a result"),
        ("os._exit(0)", "its process ended with exit status 0 before it had a result"),
        ("sys.exit('enough')", "SystemExit: enough (pipeline.py:5)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt:  (pipeline.py:5)"),
        ("os.kill(os.getpid(), 11)", "its process was killed by SIGSEGV before it had a result"),
        (
            "os.kill(os.getpid(), 9)",
            "its process was killed by SIGKILL (did the machine run out of memory?) before it had a result",
        ),
    ],
)
def test_a_step_that_ends_its_own_process_has_failed(body: str, error: str, project: Make, task: MakeTask) -> None:
    """However it goes, an outcome comes back, and the next step runs."""
    workers = project(f"import os, sys\n@step\ndef ends():\n    {body}\n@step\ndef after():\n    return 1\n")
    assert workers.run(task("ends")).error == error
    assert workers.run(task("after")).artifact is not None


def test_a_result_that_cannot_be_kept_is_an_error_and_leaves_no_draft(project: Make, task: MakeTask) -> None:
    """A lock cannot be pickled."""
    call = task("locked")
    outcome = project("import threading\n@step\ndef locked():\n    return threading.Lock()\n").run(call)
    assert outcome.error is not None
    assert outcome.error.startswith("Mistake: a result of type _thread.lock cannot be pickled")
    assert sorted(path.name for path in call.context.folder.iterdir()) == ["result.json"]


def test_an_unknown_step_names_those_there_are(project: Make, task: MakeTask) -> None:
    """The declarations may be older than the source."""
    outcome = project("@step\ndef train():\n    return 1\n").run(task("tran"))
    assert outcome.error == "Mistake: pipeline has no step 'tran'; it has train"


def test_ten_megabytes_of_print_end_up_in_the_log(project: Make, task: MakeTask) -> None:
    """No pipe that could fill up."""
    call = task("loud")
    source = "import os\n@step\ndef loud():\n    for _ in range(10):\n        print('x' * 999_999)\n"
    source += "    os.system('echo from below')\n"
    assert project(source).run(call).error is None
    assert call.log.stat().st_size == len("--- loud, attempt 1\n") + 10_000_000 + len("from below\n")
    assert call.log.read_text().endswith("x\nfrom below\n")


def test_a_step_over_its_time_is_killed_with_all_it_started(project: Make, task: MakeTask, tmp_path: Path) -> None:
    """The whole process group goes, and the outcome says which limit was broken."""
    workers = project(
        "import subprocess, time, pathlib\n@step\ndef slow():\n"
        "    below = subprocess.Popen(['sleep', '600'])\n"
        f"    pathlib.Path({str(tmp_path / 'below')!r}).write_text(str(below.pid))\n    time.sleep(600)\n"
    )
    workers.ready()
    outcome = workers.run(task("slow"), timeout_s=1.0)
    assert outcome.killed
    assert outcome.error == "took longer than timeout_s = 1 and was killed"
    assert 1.0 <= outcome.seconds < 20
    below = pid_in(tmp_path / "below")
    assert below
    wait_until(lambda: not is_running(below))


def test_what_a_step_leaves_running_is_ended_with_it(project: Make, task: MakeTask) -> None:
    """A step's processes are its own."""
    workers = project(
        "import subprocess\n@step\ndef leaves():\n    return subprocess.Popen(['sleep', '600'], close_fds=True).pid\n"
    )
    call = task("leaves")
    artifact = workers.run(call).artifact
    assert artifact is not None
    pid = load(artifact, call.context.path)
    wait_until(lambda: not is_running(pid))


def test_two_tasks_run_side_by_side(project: Make, task: MakeTask, tmp_path: Path) -> None:
    """Each waits for the other's file: one after the other would never end."""
    workers = project(
        "import pathlib, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "def meet(mine, other):\n    (folder / mine).touch()\n"
        "    end = time.monotonic() + 20\n"
        "    while not (folder / other).exists():\n        assert time.monotonic() < end\n        time.sleep(0.005)\n"
        "@step\ndef left():\n    meet('l', 'r')\n@step\ndef right():\n    meet('r', 'l')\n"
    )
    workers.start(task("left"))
    workers.start(task("right"))
    outcomes = [workers.wait(), workers.wait()]
    assert {outcome.name for outcome in outcomes if outcome} == {"left", "right"}
    assert [outcome.error for outcome in outcomes if outcome] == [None, None]
    assert workers.wait() is None


def test_waiting_for_a_while_gives_nothing_when_nothing_ended(project: Make, task: MakeTask) -> None:
    """The task goes on; closing ends it."""
    workers = project("import time\n@step\ndef slow():\n    time.sleep(600)\n")
    workers.start(task("slow"))
    assert workers.wait(0.05) is None


def test_the_imported_declarations_are_told(project: Make) -> None:
    """As `project.declared` reads them."""
    source = "@step\ndef collect(window):\n    return 1\n@step(retries=2, after=['collect'])\ndef train(seed):\n    return 2\n"
    assert project(source).describe() == (
        StepDeclaration(name="collect", needs=(), given=("window",), line=3),
        StepDeclaration(name="train", needs=(), given=("seed",), after=("collect",), retries=2, line=6),
    )


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        (
            "import nothing_like_it\n",
            "pipeline.py:2: cannot be imported: ModuleNotFoundError: No module named 'nothing_like_it'",
        ),
        ("\ndef broken(:\n", "pipeline.py:3: cannot be imported: SyntaxError: invalid syntax (pipeline.py, line 3)"),
        ("raise SystemExit(4)\n", "pipeline.py:2: cannot be imported: SystemExit: 4"),
        (
            "@step(retries=-1)\ndef a(): ...\n",
            "pipeline.py:2: cannot be imported: Mistake: @step(retries=-1): needs a whole number, 0 or more",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_finding_with_its_line(
    source: str, finding: str, project: Make, tmp_path: Path
) -> None:
    """One line for the user, the traceback in the log."""
    with pytest.raises(ProjectError) as caught:
        project(source).ready()
    assert str(caught.value) == finding
    assert "Traceback" in (tmp_path / "import.log").read_text()


def test_a_module_that_ends_the_process_is_told_with_its_last_words(project: Make, tmp_path: Path) -> None:
    """Not even Python has a word on it."""
    with pytest.raises(Unavailable) as caught:
        project("import os, sys\nprint('farewell', flush=True)\nos._exit(9)\n").ready()
    log = tmp_path / "import.log"
    assert str(caught.value) == (
        f"the process that imports pipeline ended with exit status 9 before it was ready; {log} ends with\n  farewell"
    )


def test_a_module_may_print_and_read_while_it_is_imported(project: Make, task: MakeTask) -> None:
    """Commands and events have pipes of their own."""
    source = "import sys\nprint('x' * 200_000)\nassert sys.stdin.read() == ''\n@step\ndef one():\n    return 1\n"
    assert project(source).run(task("one")).error is None


def test_a_missing_preload_is_no_error(project: Make, task: MakeTask, tmp_path: Path) -> None:
    """It only serves speed; the step that needs it will say so."""
    workers = project("@step\ndef one():\n    return 1\n", preload=("nothing_like_it", "decimal"))
    assert workers.run(task("one")).error is None
    assert "not preloaded: No module named 'nothing_like_it'" in (tmp_path / "import.log").read_text()


def test_a_project_file_named_like_a_library_hides_nothing(project: Make, task: MakeTask, tmp_path: Path) -> None:
    """`select.py` beside pipeline.py is the project's, and the template's own is the standard library's."""
    workers = project("@step\ndef one():\n    return 1\n")
    (tmp_path / "project" / "logging.py").write_text("raise RuntimeError('not this one')\n")
    assert workers.run(task("one")).error is None


def test_a_changed_source_is_imported_anew_before_the_next_task(project: Make, task: MakeTask, tmp_path: Path) -> None:
    """A long-lived loop runs what lies there now, its own helper modules too."""
    helper = tmp_path / "project" / "helper.py"
    helper.write_text("VALUE = 1\n")
    workers = project(
        "import helper\n@step\ndef one():\n    return helper.VALUE\n@step\ndef two():\n    return helper.VALUE\n"
    )
    assert workers.run(task("one")).artifact is not None
    helper.write_text("VALUE = 22\n")
    os.utime(helper, ns=(1, 1))
    call = task("two")
    artifact = workers.run(call).artifact
    assert artifact is not None
    assert load(artifact, call.context.path) == 22


def test_a_source_changed_in_the_middle_of_a_run_waits_for_the_next(
    project: Make, task: MakeTask, tmp_path: Path
) -> None:
    """Between two `ready`, all steps see one source."""
    workers = project("@step\ndef one():\n    return 1\n@step\ndef two():\n    return 1\n")
    workers.ready()
    (tmp_path / "project" / "pipeline.py").write_text("raise RuntimeError('half-edited')\n")
    call = task("two")
    workers.start(call)
    outcome = workers.wait()
    assert outcome is not None
    assert outcome.error is None
    with pytest.raises(ProjectError, match="half-edited"):
        workers.ready()


def test_a_template_that_died_is_replaced_and_its_task_run_once_more(
    project: Make, task: MakeTask, tmp_path: Path
) -> None:
    """The second time nothing kills it."""
    workers = project(
        "import os, pathlib, time\n@step\ndef once():\n"
        f"    mark = pathlib.Path({str(tmp_path / 'mark')!r})\n"
        "    if mark.exists():\n        return 'second'\n"
        "    mark.touch()\n    os.kill(os.getppid(), 9)\n    time.sleep(600)\n"
    )
    call = task("once")
    outcome = workers.run(call)
    assert outcome.artifact is not None
    assert load(outcome.artifact, call.context.path) == "second"


def test_a_task_under_which_two_templates_died_has_failed(project: Make, task: MakeTask) -> None:
    """It may be the task's own doing."""
    workers = project(
        "import os, time\n@step\ndef kills():\n    os.kill(os.getppid(), 15)\n    time.sleep(600)\n"
        "@step\ndef one():\n    return 1\n"
    )
    assert workers.run(task("kills")).error == "the process that starts steps was killed by SIGTERM while this one ran"
    assert workers.run(task("one")).error is None


def test_steps_die_with_a_killed_parent(tmp_path: Path) -> None:
    """kill -9 of the process that waits: the template hears its input end, and ends all below it."""
    (tmp_path / "pipeline.py").write_text(
        "import os, pathlib, subprocess, time\nfrom flyball import step\n@step\ndef slow():\n"
        "    below = subprocess.Popen(['sleep', '600'])\n"
        f"    pathlib.Path({str(tmp_path / 'pids')!r}).write_text(f'{{os.getpid()}} {{os.getppid()}} {{below.pid}}')\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    try:
        pids = tmp_path / "pids"
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 3)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    for pid in pids.read_text().split():
        wait_until(lambda pid=int(pid): not is_running(pid))


PARENT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from flyball.pipeline.step import ModelNames, RunContext, Window
from flyball.pipeline.task import Task
from flyball.pipeline.workers import StepWorkers

path = Path(sys.argv[1])
now = datetime(2013, 3, 1, tzinfo=UTC)
names = ModelNames(target="y", features=None, key=None, timestamp=None, positive=None, task="binary")
context = RunContext(id="r1", path=path, folder=path / "1", model=names, refit=False, now=now,
                     window=Window(start=None, end=now), params={}, seed=7)
with StepWorkers(path, "pipeline") as workers:
    workers.run(Task(name="slow", target="slow", inputs={}, given=(), constants={}, context=context, log=path / "log.txt"))
"""


def test_a_child_without_prctl_dies_at_the_end_of_its_lifeline(tmp_path: Path) -> None:
    """Where the kernel does not tell of a parent's death (macOS), the pipe only the parent holds does."""
    source = (
        "import os, threading, time\nfrom flyball.pipeline.child import die_at_end_of\nos.setpgid(0, 0)\n"
        "threading.Thread(target=die_at_end_of, args=(0,), daemon=True).start()\nprint('up', flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"up\n"
        child.stdin.close()
        assert child.wait(20) == -signal.SIGKILL


def test_what_a_step_registered_for_its_end_is_done(project: Make, task: MakeTask, tmp_path: Path) -> None:
    """Libraries remove their temporary files there; the template's own end is not the step's."""
    mark = tmp_path / "ended"
    workers = project(
        "import atexit, os, pathlib\n@step\ndef one():\n"
        f"    atexit.register(pathlib.Path({str(mark)!r}).write_text, 'once')\n    return 1\n"
    )
    assert workers.run(task("one")).error is None
    assert mark.read_text() == "once"


def test_what_a_step_leaves_running_may_clean_up_and_is_killed_if_it_does_not(
    project: Make, task: MakeTask, tmp_path: Path
) -> None:
    """Asked to end, one says farewell; the other is deaf and is killed."""
    polite, deaf = tmp_path / "polite", tmp_path / "deaf"
    workers = project(
        "import subprocess, pathlib, time\n@step\ndef leaves():\n"
        f"    for script in (\"trap 'echo bye > {polite}; exit' TERM; touch {polite}\", \"trap '' TERM; echo $$ > {deaf}\"):\n"
        "        subprocess.Popen(['sh', '-c', script + '; while true; do sleep 0.05; done'])\n"
        f"    while not pathlib.Path({str(polite)!r}).exists() or not pathlib.Path({str(deaf)!r}).exists():\n"
        "        time.sleep(0.005)\n"
    )
    assert workers.run(task("leaves")).error is None
    wait_until(lambda: polite.read_text() == "bye\n")
    wait_until(lambda: not is_running(pid_in(deaf)))


def test_a_step_may_use_processes_of_its_own(project: Make, task: MakeTask) -> None:
    """joblib's workers and shared memory are gone when the step is, and nothing waits for anything for ever."""
    workers = project(
        "import os, joblib\n@step\ndef many():\n"
        "    return [os.getpid(), joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(n) for n in (-1, 2))]\n"
    )
    call = task("many")
    artifact = workers.run(call, timeout_s=60).artifact
    assert artifact is not None
    pid, result = load(artifact, call.context.path)
    assert result == [1, 2]
    wait_until(lambda: not list(Path("/dev/shm").glob(f"*-{pid}-*")))


@pytest.mark.slow
def test_a_thread_that_never_ends_does_not_hold_the_step(project: Make, task: MakeTask) -> None:
    """The result is there already; the process is ended after its farewell."""
    workers = project(
        "import threading\n"
        "@step\ndef one():\n    threading.Thread(target=threading.Event().wait).start()\n    return 1\n"
    )
    assert workers.run(task("one"), timeout_s=60).error is None


def test_who_is_closed_while_it_imports_ends_at_once(project: Make, tmp_path: Path) -> None:
    """Ctrl-C need not wait for a slow import; what the import has started goes with it."""
    note = tmp_path / "pids"
    workers = project(
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}\\n')\n"
        "time.sleep(60)\n"
    )
    workers.warm()
    wait_until(lambda: note.exists() and note.read_text().endswith("\n"))
    began = time.monotonic()
    workers.close()
    assert time.monotonic() - began < 5
    wait_until(lambda: not any(is_running(int(pid)) for pid in note.read_text().split()))
