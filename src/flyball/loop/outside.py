"""MLflow's aliases moved by somebody else's hand: noticed at the next beat, and put back, or gated, as the project says.

Flyball's database is the truth; the aliases are its projection. They are read without MLflow's library, which takes longer
to import than a beat may (`unaided`). A store that cannot be read so is not watched.
"""

from __future__ import annotations

from datetime import datetime

from flyball.errors import FlyballError, Refused
from flyball.loop.alerts import end_alert, is_open, open_alert
from flyball.loop.site import Site
from flyball.loop.unaided import read
from flyball.registry import aliases, decisions, live, names
from flyball.registry.decisions import decisions as kept
from flyball.registry.versions import versions
from flyball.rollout import move
from flyball.store import emit, new_id
from flyball.store.outbox import pending

#: who is recorded to have moved an alias: MLflow does not say.
SOMEBODY = "mlflow"


def reconcile(site: Site, *, now: datetime) -> None:
    """Look whether an alias says something else than the database; put it back, or let the version it names go on."""
    if _telling(site):
        return
    theirs = read(site.tracking_uri, site.model)
    stages = {item.number: item.stage for item in versions(site.database, site.model)}
    free = names.numbers(site.database, site.model)
    if theirs is None or not stages or _telling(site):
        return
    found = aliases.moved(aliases.wanted(stages, free), theirs)
    if not found:
        if is_open(site.database, model=site.model, name="alias"):
            with site.database.write() as tx:
                why = f"{site.model}: MLflow's aliases say what Flyball's database says"
                end_alert(tx, model=site.model, name="alias", at=now, why=why)
        return
    told = []
    for alias, (ours, now_says) in found.items():
        became = f"v{now_says}" if now_says else "nothing"
        outcome = _gated(site, now_says, now) if alias == "production" and now_says in stages else None
        told.append(f"{alias} was moved to {became} outside Flyball; {outcome or f'put back to {_v(ours)}'}")
    with site.database.write() as tx:
        # What the outbox holds is delivered at the end of this beat, and says what the database says by then.
        emit(tx, kind="aliases", payload={"model": site.model}, dedup=f"aliases:{site.model}:{new_id()}", at=now)
        title = f"{site.model}: MLflow's alias {'; '.join(told)}"
        evidence = {alias: {"was": pair[0], "moved_to": pair[1]} for alias, pair in found.items()}
        open_alert(tx, model=site.model, name="alias", severity="warning", title=title, evidence=evidence, at=now)
        decisions.decide(
            tx,
            model=site.model,
            at=now,
            kind="rollout",
            subject=", ".join(found),
            verdict="outside",
            reason=title,
            evidence=evidence,
            dedup=f"alias:{site.model}:{new_id()}",
        )


def _gated(site: Site, wished: int | None, now: datetime) -> str | None:
    """What became of a wish to have a version live; None where the project puts such wishes back unheard."""
    if site.project.gate.moved_alias != "gate" or wished is None:
        return None
    try:
        _require_passed(site, wished)
        why = "MLflow's alias production was moved to it, and its gate had passed it"
        move.promote(site.database, site.home, site.model, wished, who=SOMEBODY, why=why, now=now)
    except FlyballError as error:
        deployed = live.current(site.database, site.model)
        return f"refused: {error}; put back to {_v(deployed.live if deployed else None)}"
    return f"v{wished} had passed its gate, and is live now"


def _require_passed(site: Site, number: int) -> None:
    verdicts = kept(site.database, site.model, kind="gate", subject=f"v{number}", limit=1)
    if not verdicts:
        raise Refused(f"no gate has judged v{number}")
    if verdicts[0].verdict != "passed":
        raise Refused(f"its gate refused v{number}")


def _telling(site: Site) -> bool:
    """Whether a projection is on its way, and a difference no wonder."""
    return any(event.kind == "aliases" and event.payload.get("model") == site.model for event in pending(site.database))


def _v(number: int | None) -> str:
    return f"v{number}" if number else "nothing"
