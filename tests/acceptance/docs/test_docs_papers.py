"""What the papers name is there: links, files, names in files, dependencies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from flyball import __version__

Papers = dict[str, str]
Spans = list[tuple[str, str]]

#: what a user's project holds, not the repository.
USERS = {"pipeline.py", "flyball.toml"}


def test_every_paper_is_there(papers: Papers) -> None:
    """A reader finds what the README promises."""
    expected = {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/glossary.md", "docs/when.md"}
    assert expected - papers.keys() == set()


def test_links_between_papers_lead_somewhere(papers: Papers, root: Path) -> None:
    """A relative link names a file or folder of the repository."""
    dead = [
        f"{name}: {target}"
        for name, text in papers.items()
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if "://" not in target and not ((root / name).parent / target.partition("#")[0]).exists()
    ]
    assert dead == []


def test_every_file_that_is_named_exists(spans: Spans, root: Path) -> None:
    """Files are named from the root, from `src/flyball/` or from the paper's own folder."""
    missing = [
        f"{name}: {span}"
        for name, span in spans
        if re.fullmatch(r"[\w./-]+\.(py|sql|md|toml)|src/[\w./-]+|tests/[\w./-]+", span)
        and span not in USERS
        and "NNN" not in span
        and not any((place / span).exists() for place in (root, root / "src/flyball", (root / name).parent))
    ]
    assert missing == []


def test_names_that_a_recipe_tells_to_change_are_in_the_files_it_names(papers: Papers, root: Path) -> None:
    """`_POWER` in step 2 of a recipe occurs in one of the files of step 2."""
    lost = []
    for item in re.findall(r"^\d+\. .*?(?=^\d+\. |^#|^$)", papers["CONTRIBUTING.md"], re.MULTILINE | re.DOTALL):
        spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", item)]
        sources = "".join((root / span).read_text() for span in spans if span.endswith(".py"))
        names = [span for span in spans if re.fullmatch(r"[A-Za-z_]\w*", span)]
        lost += [name for name in names if sources and not re.search(rf"\b{name}\b", sources)]
    assert lost == []


def test_the_transitions_that_kill_tests_go_through_are_listed_where_it_is_said(papers: Papers, root: Path) -> None:
    """Every room with a list of transitions is named, and none besides."""
    told = re.search(r"listed as `TRANSITIONS` in (.*?);", papers["ARCHITECTURE.md"], re.DOTALL)
    assert told is not None
    sources = (root / "src/flyball").rglob("*.py")
    listing = {path for path in sources if re.search(r"^TRANSITIONS\b", path.read_text(), re.MULTILINE)}
    assert {root / "src/flyball" / name for name in re.findall(r"`([^`]+)`", told[1])} == listing


def test_every_table_is_placed(papers: Papers, root: Path) -> None:
    """ARCHITECTURE.md says where each table of the database belongs."""
    sql = "".join(path.read_text() for path in (root / "src/flyball/store/migrations").glob("*.sql"))
    tables = set(re.findall(r"CREATE TABLE (\w+)", sql))
    rows = [line for line in papers["ARCHITECTURE.md"].splitlines() if line.startswith("| `flyball.db`")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == tables


def test_every_room_is_on_a_floor(papers: Papers, root: Path) -> None:
    """The table of floors has every folder of the package, and no other."""
    rows = re.findall(r"^\| \d \| ([^|]+) \|", papers["ARCHITECTURE.md"], re.MULTILINE)
    rooms = {path.parent.name for path in (root / "src/flyball").glob("*/__init__.py")}
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == rooms


def test_every_core_dependency_has_earned_its_place(papers: Papers, root: Path) -> None:
    """Decision 0002 has a line for each, and for no other."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    core = {re.split(r"[<>=~!\[; ]", text)[0] for text in project["dependencies"]}
    rows = re.findall(r"^\| ([a-z0-9, -]+) \|", papers["docs/decisions/0002-dependencies.md"], re.MULTILINE)
    assert {name for row in rows for name in row.split(", ")} - {"package"} == core


def test_decisions_are_short_whole_and_numbered_without_gaps(papers: Papers) -> None:
    """Context, choice, cost, what would change our mind; under 40 lines each."""
    decisions = sorted(name for name in papers if name.startswith("docs/decisions/"))
    assert [int(Path(name).name[:4]) for name in decisions] == list(range(1, len(decisions) + 1))
    headings = ["Context", "Choice", "What it costs", "What would change our mind"]
    for name in decisions:
        assert re.findall(r"^## (.+)$", papers[name], re.MULTILINE) == headings, name
        assert len(papers[name].splitlines()) < 40, name
        assert papers[name].startswith(f"# {Path(name).name[:4]} "), name


def test_the_glossary_is_in_order_and_says_a_word_once(papers: Papers) -> None:
    """One word for one thing."""
    words = [word.lower() for word in re.findall(r"^\| \*\*([^*]+)\*\*", papers["docs/glossary.md"], re.MULTILINE)]
    assert words == sorted(set(words))


def test_the_changelog_has_this_version(papers: Papers) -> None:
    """Its newest entry is the version of the code."""
    found = re.search(r"^## \[([^\]]+)\]", papers["CHANGELOG.md"], re.MULTILINE)
    assert found is not None
    assert found[1] == __version__


def test_papers_name_no_folder_of_one_machine(papers: Papers) -> None:
    """What is written holds on every machine."""
    places = re.compile(r"(?<![\w.~])/(?:home|root|tmp|work|Users|var|opt)/")
    assert [name for name, text in papers.items() if places.search(text)] == []
