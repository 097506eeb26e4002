"""CLIP's towers on a tiny random model: prompt tokens, trainable parameters, cached features and errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch import nn

from clipose_ros.errors import CheckpointError, ConfigError, DataError, ShapeError
from clipose_ros.model.clip import ImageTower, encode_texts, load_clip
from clipose_ros.model.clip_config import ClipConfig
from clipose_ros.model.encoder import Encoding, Level
from clipose_ros.model.projection import CloudProjection, FeatureProjection
from clipose_ros.model.text_features import TextFeatures, cached_text_features, read_text_features

NAME = "clipose-tiny-test"
LAYERS = 3


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("open_clip") / f"{NAME}.json"
    vision = {"image_size": 32, "layers": LAYERS, "width": 64, "patch_size": 8, "head_width": 32}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    path.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)


def config(**changes: object) -> ClipConfig:
    return ClipConfig.from_mapping({"model": NAME, "pretrained": "random"} | changes)


def images(count: int = 2, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def tower(**changes: object) -> tuple[nn.Module, ImageTower]:
    torch.manual_seed(0)
    clip = load_clip(config(**changes))
    return clip, ImageTower(clip, config(**changes))


def test_image_tower_without_tokens_equals_clip() -> None:
    clip, image = tower(prompt_length=0)
    normal = (images() - image.mean) / image.std
    torch.testing.assert_close(image(images()), clip.encode_image(normal, normalize=True))
    assert not [name for name, p in image.named_parameters() if p.requires_grad]


@pytest.mark.parametrize("position", ["prepend", "append"])
@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 3), (2, 3), (3, 3)])
@pytest.mark.parametrize("length", [1, 5])
def test_prompt_tokens_are_input_of_chosen_layers(position: str, first: int, last: int, length: int) -> None:
    _, image = tower(prompt_length=length, prompt_position=position, prompt_first=first, prompt_last=last)
    seen: list[torch.Tensor] = []
    for block in image.visual.transformer.resblocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    out = image.tokens(images())
    place = slice(1, 1 + length) if position == "prepend" else slice(17, 17 + length)
    assert len(image.prompts) == last - first + 1
    for layer, x in enumerate(seen, start=1):
        assert x.shape[1] == 17 + (length if layer >= first else 0)  # [CLS], 16 patches, tokens
        inserted = first <= layer <= last and torch.equal(x[0, place], image.prompts[layer - first].detach())
        assert inserted == (first <= layer <= last)
    assert out.shape == (2, 17 + length, 64)


def test_only_prompt_tokens_and_projection_are_trainable() -> None:
    _, image = tower(prompt_last=2)
    image.train()
    before = {name: value.clone() for name, value in image.named_parameters()}
    trained = [p for p in image.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    image(images()).sum().backward()
    optimizer.step()
    changed = {name for name, value in image.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"prompts", "visual.proj"}
    assert (image.prompts - before["prompts"]).abs().amax(dim=(1, 2)).min() > 0.0  # those of every layer


def test_images_are_resized_and_wrong_shapes_rejected() -> None:
    _, image = tower()
    features = image(images(size=48))
    assert features.shape == (2, 16)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
    with pytest.raises(ShapeError, match=r"\(2, 1, 32, 32\)"):
        image(images()[:, :1])


def test_prompt_layers_out_of_range_are_rejected() -> None:
    with pytest.raises(ConfigError, match="prompt_last"):
        tower(prompt_last=LAYERS + 1)
    with pytest.raises(ConfigError, match="prompt_first"):
        config(prompt_first=3, prompt_last=2)


@pytest.mark.filterwarnings("ignore:.*(TorchScript|torch.jit)")
def test_clip_weights_are_read_from_local_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    clip = load_clip(config())
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    torch.manual_seed(2)
    again = load_clip(config(pretrained="mine", weights=str(tmp_path / "clip.pt")))
    torch.testing.assert_close(again.encode_image(images()), clip.encode_image(images()))
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), tmp_path / "script.pt")
    for broken in ("broken.pt", "broken.safetensors", "script.pt"):
        if broken != "script.pt":
            (tmp_path / broken).write_bytes(b"no weights")
        with pytest.raises(CheckpointError, match=rf"{broken}.*TorchScript"):
            load_clip(config(pretrained="mine", weights=str(tmp_path / broken)))
    with pytest.raises(CheckpointError, match="does not exist"):
        load_clip(config(pretrained="mine", weights=str(tmp_path / "none.pt")))


def test_clip_is_not_downloaded_by_default() -> None:
    with pytest.raises(ConfigError, match=r"clip\.weights.*clip\.download=true"):
        load_clip(ClipConfig())
    with pytest.raises(ConfigError, match="unknown to open_clip"):
        load_clip(ClipConfig(model="ViT-Z-99"))
    with pytest.raises(ConfigError, match="openai"):
        load_clip(ClipConfig(pretrained="opena"))


def test_failed_download_raises_error_with_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", unreachable)
    with pytest.raises(CheckpointError, match=r"Network is unreachable.*clip\.weights"):
        load_clip(ClipConfig(download=True))


def test_texts_are_encoded_to_unit_features_and_long_ones_rejected() -> None:
    clip = load_clip(config())
    texts = ["a mug", "a bowl", "a point cloud model of a can whose pose is to be estimated."]
    features = encode_texts(clip, config(), texts, batch=2)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(encode_texts(clip, config(), texts[2:])[0], features[2], atol=1e-6)
    with pytest.raises(ConfigError, match="more than the 77 tokens"):
        encode_texts(clip, config(), ["mug " * 100])


def fake(texts: Sequence[str]) -> np.ndarray:
    """A feature that depends on the text alone."""
    rows = [np.random.default_rng(len(text)).normal(size=4) for text in texts]
    return np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


def test_text_features_are_computed_once(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def encode(texts: Sequence[str]) -> np.ndarray:
        asked.append(list(texts))
        return fake(texts)

    first = cached_text_features(tmp_path, "A/x", ["a", "bb", "a"], encode)
    second = cached_text_features(tmp_path, "A/x", ["bb", "ccc"], encode)
    third = cached_text_features(tmp_path, "A/x", ["ccc", "a"], encode)
    assert asked == [["a", "bb"], ["ccc"]] and third.texts == second.texts == ("a", "bb", "ccc")
    np.testing.assert_allclose(third.features, fake(third.texts), atol=1e-6)
    assert first.rows(["bb", "a", "bb"]) == [1, 0, 1]
    with pytest.raises(DataError, match="'dddd'"):
        third.rows(["dddd"])
    cached_text_features(tmp_path, "B/x", ["a"], encode)
    assert asked[-1] == ["a"] and len(list(tmp_path.glob("*.npy"))) == 2


def test_text_features_of_other_model_are_rejected(tmp_path: Path) -> None:
    TextFeatures("A/x", ("a",), fake(["a"])).save(tmp_path / "a.npy")
    assert read_text_features(tmp_path / "a.npy", "A/x", ()).texts == ("a",)
    with pytest.raises(DataError, match=r"A/x.*B/x.*cannot be combined"):
        read_text_features(tmp_path / "a.npy", "B/x", ())


def test_plain_array_is_read_as_features_of_given_texts(tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", 3.0 * fake(["a", "bb"]))
    features = read_text_features(tmp_path / "plain.npy", "A/x", ("a", "bb"))
    np.testing.assert_allclose(features.features, fake(["a", "bb"]), atol=1e-6)
    with pytest.raises(DataError, match=r"\(3, D\).*\(2, 4\)"):
        read_text_features(tmp_path / "plain.npy", "A/x", ("a", "bb", "c"))
    (tmp_path / "no.npy").write_text("no")
    with pytest.raises(DataError, match="cannot be read"):
        read_text_features(tmp_path / "no.npy", "A/x", ())
    np.save(tmp_path / "null.npy", np.zeros((1, 4)))
    with pytest.raises(DataError, match="null"):
        read_text_features(tmp_path / "null.npy", "A/x", ("a",))


def test_projections_return_unit_features() -> None:
    encoding = Encoding((Level(torch.randn(3, 8, 6), None), Level(torch.randn(3, 2, 5), torch.zeros(3, 8).long())))
    project = CloudProjection(5, 16)
    torch.testing.assert_close(project(encoding).norm(dim=1), torch.ones(3))
    per_point = project.project(encoding.last).mean(dim=1)
    torch.testing.assert_close(project(encoding), torch.nn.functional.normalize(per_point, dim=1))
    texts = torch.nn.functional.normalize(torch.randn(4, 16), dim=1)
    torch.testing.assert_close(FeatureProjection(16)(texts), texts)
