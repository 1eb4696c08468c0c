"""Page-Hinkley over all rows at once."""

from __future__ import annotations

import numpy as np

from flyball.stats.page_hinkley import rises


def test_nothing_rises_in_no_rows_in_few_or_downward() -> None:
    """It speaks from its thirtieth row on, and a fall is no worse."""
    falls = np.concatenate([np.ones(1000), np.zeros(1000)])
    for values in (np.zeros(0), np.linspace(0, 1000, 29), falls):
        assert list(rises(values)) == []
