"""Earlier names of settings load, and warn once with the present name."""

from __future__ import annotations

import pytest

from clipose_ros import config_aliases
from clipose_ros.config import PoseNodeConfig


@pytest.fixture(autouse=True)
def nothing_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_aliases, "_warned", set())


def test_old_names_of_settings_warn_once_and_name_the_new_one() -> None:
    old = {"network": {"looks": 2, "agree_deg": 5.0, "engine": "fused"}, "sync": {"silence_s": 7.0}}
    with pytest.warns(FutureWarning) as warned:
        config, _ = [PoseNodeConfig.from_mapping(old) for _ in range(2)]
    assert (config.network.tta.max_passes, config.network.tta.disagreement_deg) == (2, 5.0)
    assert (config.network.engine, config.sync.timeout_s) == ("cpu", 7.0)
    messages = [str(warning.message) for warning in warned]
    assert len(messages) == len(set(messages)) and any("'network.tta.max_passes'" in message for message in messages)
