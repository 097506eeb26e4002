"""Renamed settings: old names are read with one warning that states the new name."""

from __future__ import annotations

import pytest

from clipose_ros import config_aliases
from clipose_ros.config import PoseNodeConfig
from clipose_ros.model.clip_config import ClipConfig
from clipose_ros.training.config import TrainConfig


@pytest.fixture(autouse=True)
def no_reported_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_aliases, "reported_messages", set())


def test_old_names_warn_once_with_the_new_name() -> None:
    old = {"network": {"looks": 2, "agree_deg": 5.0, "engine": "fused"}, "sync": {"silence_s": 7.0}}
    with pytest.warns(FutureWarning) as warned:
        config, _ = [PoseNodeConfig.from_mapping(old) for _ in range(2)]
    assert (config.network.tta.max_passes, config.network.tta.disagreement_deg) == (2, 5.0)
    assert (config.network.engine, config.sync.timeout_s) == ("cpu", 7.0)
    messages = [str(warning.message) for warning in warned]
    assert len(messages) == len(set(messages)) and any("'network.tta.max_passes'" in message for message in messages)


def test_key_and_group_are_translated_together() -> None:
    assert config_aliases.find_new_name("emphasis.from_below") == "sampling.below_view_weight"
    with pytest.warns(FutureWarning):
        config = TrainConfig.from_mapping({"emphasis": {"from_below": 3, "handle_in_sight": 2}})
    assert (config.sampling.below_view_weight, config.sampling.visible_handle_weight) == (3, 2)


def test_old_names_are_translated_in_their_own_tree_only() -> None:
    assert ClipConfig.from_mapping({"weights": "file.bin"}).weights == "file.bin"
