"""Charts as inline SVG: records in, markup out. Colours come from the page's style, so that light and dark both work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from markupsafe import Markup, escape

from flyball.dashboard.axes import Scale, month_ticks, nice_ticks, value_range
from flyball.dashboard.records import DayMetric, Tenure, Window
from flyball.dashboard.words import figure, interval, metric_name, verdict_name

WIDTH, HEIGHT = 960, 250
LEFT, RIGHT, TOP, BOTTOM = 130, 948, 24, 222
#: rows of the drift chart: features that alarmed most often.
MOST_FEATURES = 12


def sparkline(days: Sequence[DayMetric], metric: str) -> Markup:
    """A small line with its interval and no axis; the numbers stand beside it."""
    if len(days) < 2:
        return Markup("")
    x = Scale(days[0].day.toordinal(), days[-1].day.toordinal(), 2, 158)
    low, high = value_range(days)
    y = Scale(low, high, 34, 2)
    last = days[-1]
    label = f"{metric_name(metric)} from {figure(days[0].value)} on {days[0].day} to {figure(last.value)} on {last.day}"
    body = _bands(days, x, y) + _lines(days, x, y)
    dot = f'<circle class="dot" cx="{x(last.day.toordinal()):.1f}" cy="{y(last.value):.1f}" r="2.2"/>'
    return _svg("spark", 160, 36, label, f"<title>{escape(label)}</title>{body}{dot}")


def metric_chart(days: Sequence[DayMetric], metric: str, tenures: Sequence[Tenure], span: tuple[date, date]) -> Markup:
    """The metric by day with its interval, and which version was live; a thin line where the live version changed.

    `span`: first and last day of the time axis. Days outside the intervals' usual range are cut at the frame.
    """
    x = _time_scale(span)
    low, high = value_range(days)
    ticks = nice_ticks(low, high)
    y = Scale(min(low, ticks[0]), max(high, ticks[-1]), BOTTOM, TOP)
    label = f"{metric_name(metric)} by day, {span[0]} to {span[1]}"
    body = [
        *(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{RIGHT}"/>' for tick in ticks),
        *(f'<text class="y" x="{LEFT - 8}" y="{y(tick) + 4:.1f}">{tick:g}</text>' for tick in ticks),
        _months(span, x, BOTTOM),
        _switches(tenures, span, x, BOTTOM),
        f'<g clip-path="url(#frame)">{_bands(days, x, y)}{_lines(days, x, y)}</g>',
        *(_hover(item, metric, x, span) for item in days),
    ]
    frame = (
        f'<clipPath id="frame"><rect x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{BOTTOM - TOP}"/></clipPath>'
    )
    return _svg("chart", WIDTH, HEIGHT, label, f"<defs>{frame}</defs>{''.join(body)}")


def drift_chart(windows: Sequence[Window], tenures: Sequence[Tenure], span: tuple[date, date]) -> Markup:
    """One cell per window: the verdict on top, below it the features that alarmed, most frequent first."""
    alarms = Counter(item.feature for window in windows for item in window.features if item.verdict == "drift")
    features = [name for name, _ in sorted(alarms.items(), key=lambda item: (-item[1], item[0]))[:MOST_FEATURES]]
    x = _time_scale(span)
    width = max(1.0, x(span[0].toordinal() + 1) - x(span[0].toordinal()) - 0.4)
    bottom = TOP + 20 + 16 * len(features)
    rows = {name: TOP + 20 + 16 * place for place, name in enumerate(features)}
    body = [_months(span, x, bottom), _switches(tenures, span, x, bottom)]
    body.append(f'<text class="y" x="{LEFT - 8}" y="{TOP + 12}">verdict</text>')
    body += [
        f'<text class="y" x="{LEFT - 8}" y="{top + 11}">{escape(_short(name))}</text>' for name, top in rows.items()
    ]
    for window in windows:
        left = x(window.day.toordinal()) - width / 2
        names = [item.feature for item in window.features if item.verdict == "drift"]
        told = f"{window.day} · v{window.version} · {verdict_name(window.verdict)} · {window.rows:,} rows"
        told += f" · {', '.join(names[:6])}" if names else ""
        body.append(_cell(left, TOP, width, window.verdict, told))
        body += [_cell(left, rows[name], width, "drift", f"{window.day} · {name}") for name in names if name in rows]
    label = f"drift verdicts, {span[0]} to {span[1]}"
    return _svg("chart", WIDTH, bottom + 28, label, "".join(body))


def chart_span(days: Sequence[DayMetric], windows: Sequence[Window]) -> tuple[date, date] | None:
    """First and last day that any chart of the page shows, so that they share one time axis; None: nothing to show."""
    seen = [item.day for item in days] + [item.day for item in windows]
    return (min(seen), max(seen)) if seen else None


def _svg(kind: str, width: int, height: int, label: str, body: str) -> Markup:
    """`body` is made of numbers and of text that went through `escape`; nothing else may enter it."""
    head = f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
    return Markup(f"{head}{body}</svg>")  # noqa: S704  see above


def _time_scale(span: tuple[date, date]) -> Scale:
    return Scale(span[0].toordinal() - 0.5, span[1].toordinal() + 0.5, LEFT, RIGHT)


def _bands(days: Sequence[DayMetric], x: Scale, y: Scale) -> str:
    """The interval as an area, one per unbroken run of days that have one."""
    areas = []
    for run in _runs([item for item in days if item.low is not None and item.high is not None]):
        upper = [f"{x(item.day.toordinal()):.1f} {y(item.high or 0):.1f}" for item in run]
        lower = [f"{x(item.day.toordinal()):.1f} {y(item.low or 0):.1f}" for item in reversed(run)]
        areas.append(f'<path class="band" d="M{"L".join(upper + lower)}Z"/>')
    return "".join(areas)


def _lines(days: Sequence[DayMetric], x: Scale, y: Scale) -> str:
    """A line per unbroken run; a run of one day is a dot."""
    parts = []
    for run in _runs(days):
        places = [f"{x(item.day.toordinal()):.1f} {y(item.value):.1f}" for item in run]
        if len(run) == 1:
            parts.append(f'<path class="line" d="M{places[0]}h.01"/>')
        else:
            parts.append(f'<path class="line" d="M{"L".join(places)}"/>')
    return "".join(parts)


def _runs(days: Sequence[DayMetric]) -> list[list[DayMetric]]:
    """Days of one version with no hole of more than a week: a line across a hole would claim what nobody measured."""
    runs: list[list[DayMetric]] = []
    for item in sorted(days, key=lambda item: (item.version, item.day)):
        before = runs[-1][-1] if runs else None
        if before is not None and before.version == item.version and (item.day - before.day).days <= 7:
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def _months(span: tuple[date, date], x: Scale, bottom: float) -> str:
    return "".join(
        f'<path class="tick" d="M{x(day.toordinal()):.1f} {bottom}v4"/>'
        f'<text class="x" x="{x(day.toordinal()):.1f}" y="{bottom + 17}">{name}</text>'
        for day, name in month_ticks(*span)
    )


def _switches(tenures: Sequence[Tenure], span: tuple[date, date], x: Scale, bottom: float) -> str:
    """A thin line and the version's name where another version went live; names that would overlap are left out."""
    parts, live, free = [], None, float("-inf")
    for tenure in sorted(tenures, key=lambda item: item.generation):
        if tenure.version == live:
            continue
        live = tenure.version
        until = next(
            (item.start for item in tenures if item.generation > tenure.generation and item.version != live), None
        )
        if tenure.start.date() > span[1] or (until is not None and until.date() < span[0]):
            continue
        at = max(x(max(tenure.start.date(), span[0]).toordinal()), LEFT)
        parts.append(f'<path class="switch" d="M{at:.1f} {TOP - 6}V{bottom}"/>')
        if at >= free:
            parts.append(f'<text class="version" x="{at + 3:.1f}" y="{TOP - 8}">v{tenure.version}</text>')
            free = at + 30
    return "".join(parts)


def _hover(item: DayMetric, metric: str, x: Scale, span: tuple[date, date]) -> str:
    """The day's numbers, told by the browser where the pointer rests."""
    width = max(2.0, (RIGHT - LEFT) / ((span[1] - span[0]).days + 1))
    told = (
        f"{item.day} · v{item.version} · {metric_name(metric)} {figure(item.value)} "
        f"{interval(item.low, item.high)} · {item.rows:,} rows with outcomes"
    )
    told += f" · {verdict_name(item.verdict)}" if item.verdict else ""
    left = x(item.day.toordinal()) - width / 2
    return (
        f'<rect class="hover" x="{left:.1f}" y="{TOP}" width="{width:.1f}" height="{BOTTOM - TOP}">'
        f"<title>{escape(told)}</title></rect>"
    )


def _cell(left: float, top: float, width: float, verdict: str, told: str) -> str:
    kind = verdict if verdict in ("steady", "drift") else "cannot"
    return (
        f'<rect class="cell {kind}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="14">'
        f"<title>{escape(told)}</title></rect>"
    )


def _short(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"
