"""What the user declared: `flyball.toml` and `pipeline.py` as frozen records, or every finding with file, line and mend."""

from flyball.project.load import check_project, load_project, load_steps
from flyball.project.records import Project
from flyball.project.rules import Rule, parse_rule
from flyball.project.steps import StepDeclaration, order

__all__ = [
    "Project",
    "Rule",
    "StepDeclaration",
    "check_project",
    "load_project",
    "load_steps",
    "order",
    "parse_rule",
]
