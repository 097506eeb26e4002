"""CLIP features of texts in memory, of streamed texts, and from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.cloud_source import InMemorySource
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards.stream import ShardStream
from clipose_ros.errors import DataError
from clipose_ros.training.batches import BatchSource
from clipose_ros.training.clip_features import create_clip_feature_provider, text_key
from clipose_ros.training.config import TrainConfig


def config(clip: str, pose: str, **changes: Any) -> TrainConfig:
    tower = {"model": clip, "pretrained": "random"}
    settings = {"batch": 6, "clip_loss": {"cloud_text": 1.0}, "prompts": {"pose": pose}, "clip": tower}
    return TrainConfig.from_mapping(settings | changes)


@pytest.mark.parametrize("pose", ["true", "random", "none"])
def test_streamed_texts_have_same_features_as_texts_in_memory(
    pose: str, seen_samples: CloudSamples, seen_shards: Path, tiny_clip: str, tmp_path: Path
) -> None:
    settings = config(tiny_clip, pose)
    stream, memory = ShardStream(seen_shards, seed=0), InMemorySource(seen_samples, 0)
    torch.manual_seed(1)
    ahead = create_clip_feature_provider(settings, memory, tmp_path / "ahead", "cpu")
    torch.manual_seed(2)
    before = torch.get_rng_state()
    coming = create_clip_feature_provider(settings, stream, tmp_path / "coming", "cpu")
    batch = BatchSource(stream, settings).at(2)
    one, other = ahead(batch), coming(batch)
    assert torch.equal(torch.get_rng_state(), before), "loading CLIP, whenever it is, draws no number of the run's"
    torch.testing.assert_close(other.text, one.text, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(other.text.norm(dim=1), torch.ones(6))
    assert torch.equal(other.text_key, one.text_key) and len(set(other.text_key.tolist())) == 6
    torch.testing.assert_close(other.category_text, one.category_text)
    assert other.image is None and len(coming.features) == 6, "of texts with poses it keeps none"


def test_text_feature_file_without_needed_texts_is_rejected(
    seen_shards: Path, seen_samples: CloudSamples, tiny_clip: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "six.npy", np.eye(6, 8, dtype=np.float32))
    settings = config(tiny_clip, "true", text_features=str(tmp_path / "six.npy"))
    stream = ShardStream(seen_shards, seed=0)
    clip_features = create_clip_feature_provider(settings, stream, tmp_path, "cpu")
    with pytest.raises(DataError, match=r"six\.npy' lack .*prompts\.pose=none"):
        clip_features(BatchSource(stream, settings).at(0))
    with pytest.raises(DataError, match="texts have no feature"):
        create_clip_feature_provider(settings, InMemorySource(seen_samples, 0), tmp_path, "cpu")


def test_texts_are_found_by_the_names_of_their_rows(seen_samples: CloudSamples, tiny_clip: str, tmp_path: Path) -> None:
    names = ["spoon", *reversed(NOCS_CATEGORIES.names)]
    rows = np.random.default_rng(2).normal(size=(7, 5)).astype(np.float32)
    np.savez(tmp_path / "t.npz", features=rows, labels=np.arange(7), categories=np.array(names))
    np.save(tmp_path / "t.npy", rows)
    (tmp_path / "names.txt").write_text("\n".join(names))
    source, expected = InMemorySource(seen_samples, 0), rows[:0:-1] / np.linalg.norm(rows[:0:-1], axis=1, keepdims=True)
    listed = config(tiny_clip, "none", text_features=f"{tmp_path}/t.npy", text_names=f"{tmp_path}/names.txt")
    for settings in (listed, config(tiny_clip, "none", text_features=f"{tmp_path}/t.npz")):
        provider = create_clip_feature_provider(settings, source, tmp_path, "cpu")
        np.testing.assert_allclose(provider.category_text().numpy(), expected, rtol=1e-5)
    (tmp_path / "names.txt").write_text("\n".join(names).replace("can", "tin"))
    with pytest.raises(DataError, match=r"t\.npy' have 0 rows of category 'can', expected 1"):
        create_clip_feature_provider(listed, source, tmp_path, "cpu")
    (tmp_path / "names.txt").write_text("\n".join(["mug", *names[1:]]))
    with pytest.raises(DataError, match=r"t\.npy' have 2 rows of category 'mug', expected 1"):
        create_clip_feature_provider(listed, source, tmp_path, "cpu")


def test_text_keys_are_equal_exactly_for_equal_texts() -> None:
    assert text_key("a mug") == text_key("a" + " mug") != text_key("a can")
    assert -(2**63) <= text_key("a mug") < 2**63
