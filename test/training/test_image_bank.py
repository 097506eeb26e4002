"""Banks of image features: drawing, positives, gradients, ranks, and what is refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.cloud_source import InMemorySource
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.model.network import PRESETS, Architecture
from clipose_ros.training.batches import BatchSource, TrainingData
from clipose_ros.training.clip_features import create_clip_feature_provider
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.image_bank import ImageBank, ImageBankConfig, read_image_bank
from clipose_ros.training.modules import create_modules

SIX = NOCS_CATEGORIES.names


def make_bank(counts: tuple[int, ...], tune: bool = False) -> ImageBank:
    """Create a bank whose features are (category, place), and so tell where they come from."""
    rows = [torch.tensor([[float(kind), float(place)] for place in range(n)]) for kind, n in enumerate(counts)]
    return ImageBank(rows, torch.zeros(0, 2), tune)


def write_npz(path: Path, names: tuple[str, ...], labels: list[int], width: int = 16) -> str:
    features = np.random.default_rng(1).normal(size=(len(labels), width)).astype(np.float32)
    np.savez(path, features=features, labels=np.array(labels), categories=np.array(names))
    return str(path)


def config(bank: Path, **changes: Any) -> TrainConfig:
    settings = {
        "batch": 12, "steps": 4, "clip": {"images": "bank", "model": "ViT-B-32"}, "image_bank": {"file": str(bank)},
        "clip_loss": {"cloud_image": 1.0, "cloud_text": 1.0, "classification": 1.0},
    }  # fmt: skip
    return TrainConfig.from_mapping(settings | changes)


@pytest.fixture
def texts(tmp_path: Path) -> str:
    np.save(tmp_path / "six.npy", np.random.default_rng(3).normal(size=(6, 16)).astype(np.float32))
    return str(tmp_path / "six.npy")


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_drawn_feature_is_one_of_the_category(counts: list[int], data: st.DataObject) -> None:
    category = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=20))
    draws = data.draw(
        st.lists(st.floats(0, 1, exclude_max=True, width=32), min_size=len(category), max_size=len(category))
    )
    drawn = make_bank(tuple(counts))(torch.tensor(category), torch.tensor(draws))
    assert drawn[:, 0].tolist() == category
    assert all(place < counts[kind] for kind, place in zip(category, drawn[:, 1].tolist(), strict=True))


def test_draws_reach_every_feature_equally_often_and_repeat_those_of_small_categories() -> None:
    draws = (torch.arange(600) + 0.5) / 600
    places = make_bank((40, 3))(torch.ones(600, dtype=torch.long), draws)[:, 1].long()
    assert torch.bincount(places).tolist() == [200, 200, 200]


def test_images_of_equal_categories_have_equal_keys_and_features_of_their_category(
    seen_samples: CloudSamples, image_bank: Path, texts: str, tmp_path: Path
) -> None:
    settings = config(image_bank, text_features=texts)
    source = InMemorySource(replace(seen_samples, images=None), 0)
    provider = create_clip_feature_provider(settings, source, tmp_path, "cpu")
    batch = BatchSource(source, settings).at(0)
    features = provider(batch)
    assert torch.equal(features.image_key, batch.category) and len(batch.category.unique()) < len(batch.category)
    archive = np.load(image_bank)
    stored = archive["features"] / np.linalg.norm(archive["features"], axis=1, keepdims=True)
    assert features.image is not None
    nearest = archive["labels"][np.argmax(features.image.detach().numpy() @ stored.T, axis=1)]
    np.testing.assert_array_equal(nearest, batch.category)


def test_draws_depend_on_seed_and_step_alone_and_are_cut_into_slices_of_ranks(
    seen_samples: CloudSamples, image_bank: Path
) -> None:
    settings = config(image_bank)
    source = InMemorySource(seen_samples, 0)
    whole = BatchSource(source, settings)
    slices = [BatchSource(source, settings, rank, 3) for rank in range(3)]
    whole.at(5)
    draws = whole.at(2).bank_draws
    assert draws is not None
    parts = [part.bank_draws for part in (each.at(2) for each in slices) if part.bank_draws is not None]
    assert torch.equal(torch.cat(parts), draws)
    other_step, other_seed = whole.at(3).bank_draws, BatchSource(source, replace(settings, seed=1)).at(2).bank_draws
    assert other_step is not None and other_seed is not None
    assert not torch.equal(other_step, draws) and not torch.equal(other_seed, draws)


def test_draws_leave_the_clouds_of_a_batch_unchanged(seen_samples: CloudSamples, image_bank: Path) -> None:
    source, settings = InMemorySource(seen_samples, 0), config(image_bank)
    plain = replace(settings, clip_loss=replace(settings.clip_loss, cloud_image=0.0, classification=0.0))
    with_bank, without = BatchSource(source, settings).at(1), BatchSource(source, plain).at(1)
    assert torch.equal(with_bank.points, without.points) and without.bank_draws is None


def test_gradient_reaches_encoder_and_projection_but_not_the_features_of_the_bank(
    seen_samples: CloudSamples,
    image_bank: Path,
    texts: str,
    tmp_path: Path,
    tiny_architecture: Architecture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PRESETS, "clipose_small", tiny_architecture)
    terms = {"cloud_image": 1.0, "classification": 1.0}
    settings = config(image_bank, text_features=texts, clip_loss=terms, pose_loss=dict.fromkeys(POSE_TERMS, 0.0))
    data = TrainingData.create(settings, NOCS_CATEGORIES, replace(seen_samples, images=None), seen_samples)
    modules = create_modules(settings, data, tmp_path, "cpu")
    total, _ = modules.forward(data.batches.at(0))
    total.backward()
    bank = modules.clip_features.bank if modules.clip_features is not None else None
    assert bank is not None and bank.projection is not None
    assert not bank.features.requires_grad and not bank.negatives.requires_grad
    assert bank.projection.weight.grad is not None and bank.projection.weight.grad.abs().sum() > 0
    first = next(modules.network.encoder.parameters())
    assert first.grad is not None and first.grad.abs().sum() > 0
    frozen = make_bank((2, 2), tune=False)
    assert not list(frozen.parameters()) and not frozen.state_dict()


POSE_TERMS = [name for name, value in TrainConfig().pose_loss.to_mapping().items() if isinstance(value, float)]


def test_negatives_exclude_names_that_share_a_word_with_a_category(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "six.npz", SIX, [0, 1, 2, 3, 4, 5])
    names = ("beer_can", "Laptop_Computer", "cork_(bottle_plug)", "teacup", "canoe", "spoon", "bowler hat")
    negatives = write_npz(tmp_path / "others.npz", names, list(range(7)))
    bank = read_image_bank(ImageBankConfig(file=file, negatives=negatives), SIX)
    stored = np.load(negatives)["features"][4:]
    expected = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    np.testing.assert_allclose(bank.negatives.numpy(), expected, rtol=1e-5)
    projected = bank.project_negatives()
    assert projected is not None and projected.requires_grad


def test_unusable_banks_are_refused_with_file_name_and_remedy(tmp_path: Path) -> None:
    six = write_npz(tmp_path / "six.npz", SIX, [0, 1, 2, 3, 4, 5])
    cases = {
        r"none of category 'can'.*'bottle, bowl'.*add some": ImageBankConfig(
            file=write_npz(tmp_path / "two.npz", ("bottle", "bowl"), [0, 1])
        ),
        r"negatives '.*are 4 wide, features '.*six\.npz' 16": ImageBankConfig(
            file=six, negatives=write_npz(tmp_path / "narrow.npz", ("spoon",), [0], 4)
        ),
        r"name only categories of the run, such as 'beer_can'": ImageBankConfig(
            file=six, negatives=write_npz(tmp_path / "cans.npz", ("beer_can",), [0])
        ),
    }
    for message, settings in cases.items():
        names = ("bottle", "can") if "can'" in message and "none" in message else SIX
        with pytest.raises(DataError, match=message):
            read_image_bank(settings, names)


def test_bank_of_another_width_than_the_texts_is_refused(
    seen_samples: CloudSamples, texts: str, tmp_path: Path
) -> None:
    narrow = write_npz(tmp_path / "narrow.npz", SIX, [0, 1, 2, 3, 4, 5], 8)
    settings = config(Path(narrow), text_features=texts)
    with pytest.raises(ConfigError, match=r"text features are 16 wide, .*narrow\.npz' 8"):
        create_clip_feature_provider(settings, InMemorySource(seen_samples, 0), tmp_path, "cpu")


DATA = Path(os.environ.get("CLIPOSE_DATA", "none"))


@pytest.mark.skipif(not (DATA / "clip_image").is_dir(), reason="CLIPOSE_DATA does not name a folder with CLIP features")
def test_bank_of_real_clip_features_and_negatives_is_read() -> None:
    folder = DATA / "clip_image"
    settings = ImageBankConfig(
        file=str(folder / "six_categories.npz"),
        negatives=str(next(folder.glob("lvis*.npy"))),
        negative_names=str(DATA / "clip_text" / "lvis_names.txt"),
    )
    bank = read_image_bank(settings, SIX)
    assert bank.width == 512 and bank.counts.tolist() == [40, 16, 40, 3, 56, 46]
    assert 1100 < len(bank.negatives) < 1203
