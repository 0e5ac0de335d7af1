"""A thousand kills, with lost replies, tokens that expire and a platform that is away for a few calls."""

from pathlib import Path

import pytest
from kills import kill_again_and_again

pytestmark = pytest.mark.long


@pytest.mark.parametrize("number", range(20))
def test_every_id_has_one_outcome_through_fifty_kills_and_trouble(tmp_path: Path, number: int) -> None:
    kill_again_and_again(tmp_path, f"purge {number}", kills=50, lost=0.05, trouble=True)
