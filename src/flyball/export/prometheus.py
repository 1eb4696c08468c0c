"""Files for Prometheus: whom to scrape, what to record, what to alarm on.

The control plane's token is named by file and never written here; the data plane's metrics are open (decision 0015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import yaml

from flyball.errors import Mistake
from flyball.export.records import Files, Scrape, Watched
from flyball.export.rules import CONTROL, SERVING, alerting_rules, recording_rules

RULES = "flyball.rules.yml"
CONFIG = "prometheus.yml"
#: holds the token of the control plane; beside prometheus.yml, unless that is changed.
TOKEN = "flyball.token"  # noqa: S105  # a file's name

_CONFIG_HEAD = """\
# Scrapes Flyball's data plane and control plane. For a Prometheus that you have: take over the two jobs under their
# names, which the rules ask for, and `rule_files`.
# The control plane wants a token: flyball token create prometheus --role viewer > {token}
"""
_RULES_HEAD = """\
# Made by `flyball export prometheus`; made again by the same command, byte for byte.
# promtool check rules {rules}
"""


def prometheus_files(models: Sequence[Watched], scrape: Scrape) -> Files:
    """prometheus.yml and the rules it loads. Raises Mistake for an address that is none."""
    return {
        CONFIG: _CONFIG_HEAD.format(token=TOKEN) + as_yaml(_config(scrape)),
        RULES: _RULES_HEAD.format(rules=RULES) + as_yaml(_rules(models, scrape.interval_s)),
    }


def as_yaml(document: Mapping[str, Any]) -> str:
    """In the order it was written."""
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)
    return text


def _config(scrape: Scrape) -> dict[str, Any]:
    every = f"{scrape.interval_s}s"
    return {
        "global": {
            "scrape_interval": every,
            "scrape_timeout": f"{min(scrape.interval_s, 10)}s",
            "evaluation_interval": every,
        },
        "rule_files": [RULES],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(scrape.alertmanagers)}]}]},
        "scrape_configs": [
            _job(SERVING, scrape.serving),
            _job(CONTROL, (scrape.control,)) | {"authorization": {"type": "Bearer", "credentials_file": TOKEN}},
        ],
    }


def _job(name: str, addresses: Sequence[str]) -> dict[str, Any]:
    found = [_target(address) for address in addresses]
    schemes = {scheme for scheme, _ in found}
    if len(schemes) > 1:
        raise Mistake(f"{', '.join(addresses)}: some are http and some https; one job of Prometheus has one of them")
    return {
        "job_name": name,
        "scheme": schemes.pop(),
        "metrics_path": "/metrics",
        "static_configs": [{"targets": [place for _, place in found]}],
    }


def _target(address: str) -> tuple[str, str]:
    """(scheme, host:port)"""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.username:
        raise Mistake(f"{address!r} is no address to scrape; write http://HOST:PORT, without a path or a password")
    return parts.scheme, parts.netloc


def _rules(models: Sequence[Watched], interval_s: int) -> dict[str, Any]:
    return {
        "groups": [
            {"name": "flyball-recorded", "rules": recording_rules(interval_s)},
            {"name": "flyball-alerts", "rules": alerting_rules(models, interval_s)},
        ]
    }
