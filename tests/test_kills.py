"""A purge whose process is killed again and again; `test_thousand_kills` is the long form."""

from pathlib import Path

import pytest
from kills import kill_again_and_again

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("lost", [0.0, 0.05])
def test_every_id_has_one_outcome_however_often_the_process_is_killed(tmp_path: Path, lost: float) -> None:
    kill_again_and_again(tmp_path, f"kills {lost}", kills=20, lost=lost, trouble=False)
