"""Every statement of SECURITY.md is held by a test."""

from __future__ import annotations

import ast
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import CliposeError
from clipose_ros.model.clip import load_clip
from clipose_ros.model.clip_config import ClipConfig
from clipose_ros.model.text_features import read_text_features
from clipose_ros.training.config import read_recipe
from clipose_ros.training.run_dir import STATE, RunDir

ROOT = Path(__file__).resolve().parents[1]
VIEW = "test/ros_tools/view"
POLICY = "a policy of the maintainers"
ISOLATION, DETECTOR = "test/segmentation/test_isolation.py", "test/cli/test_train_segmenter_errors.py"
NETWORK, HERE, HUB = "test/cli/test_network.py", "test/test_security.py", "test/model/test_hub.py"
BAGS = "test/data/bags/test_damage.py"
HELD: dict[str, list[str] | str] = {
    "Report a vulnerability privately": POLICY,
    "The maintainer address in": [f"{HERE}::test_maintainer_address_is_a_placeholder"],
    "There is no guaranteed response time": POLICY,
    "Only the newest version receives fixes": POLICY,
    "Opening these files runs no code": [
        f"{HERE}::test_files_run_no_code",
        "test/test_unsafe_calls.py::test_sources_have_no_unsafe_calls",
        f"{NETWORK}::test_commands_contact_nothing",
    ],
    "A malformed file is an error of one line": [
        "test/test_bounded_files.py::test_any_bytes_are_read_or_refused",
        "test/segmenter_training/test_dataset_file.py::test_damaged_data_sets_are_named",
        "test/model/test_checkpoint.py::test_corrupt_checkpoint_raises_checkpoint_error",
    ],
    "pose models (`.safetensors`)": [
        "test/model/test_checkpoint.py::test_corrupt_checkpoint_raises_checkpoint_error",
        f"{HUB}::test_hostile_file_of_the_hub_is_refused_like_any_other",
    ],
    "training states (`state.pt`)": [
        f"{HERE}::test_files_run_no_code",
        f"{ISOLATION}::test_backends_run_no_code_of_weights",
        "test/model/test_clip.py::test_clip_weights_are_read_from_local_file",
    ],
    "detector weights for `yolo`": [
        f"{ISOLATION}::test_backends_run_no_code_of_weights",
        f"{ISOLATION}::test_networks_are_not_constructed_by_weights",
        f"{ISOLATION}::test_settings_of_the_caller_cannot_allow_code",
        f"{ISOLATION}::test_old_versions_are_refused",
        f"{DETECTOR}::test_weights_run_no_code",
        f"{DETECTOR}::test_runs_are_resumed_where_they_may_be",
    ],
    "detector data sets": [f"{DETECTOR}::test_downloads_and_caches_of_a_data_set_run_no_code"],
    "NOCS annotations": ["test/data/test_safe_pickle.py::test_code_is_refused_by_name_without_running_it"],
    "clouds, sequences": [
        f"{HERE}::test_files_run_no_code",
        "test/data/shards/test_stream.py::test_shard_name_with_a_shell_command_raises",
    ],
    "recipes, parameters and categories": [
        f"{HERE}::test_files_run_no_code",
        "test/test_bounded_files.py::test_yaml_is_refused_with_its_line",
    ],
    "PNG and JPEG images": [
        "test/test_image_files.py::test_size_is_checked_before_pixels_are_decoded",
        "test/test_image_files.py::test_images_that_are_cut_short_are_refused",
    ],
    "recordings (`.mcap`, `.db3`, `.bag`)": [
        f"{BAGS}::test_mutated_recordings_are_read_or_told",
        f"{BAGS}::test_a_decompression_bomb_is_never_unpacked",
        f"{BAGS}::test_definitions_of_the_file_are_never_compiled",
    ],
    "other formats of detectors": "a warning",
    "the text encoder of": "a warning",
    "segmentation backends and engines": ["test/test_plugins.py", "test/examples/test_own_segmenter.py"],
    "`--data` with a URL": ["test/training/test_trainer.py::test_command_trains_from_files_folders_and_urls"],
    "workers of `generate`": [
        "test/data/shards/test_cluster.py::test_workers_of_this_machine_listen_on_loopback_and_are_replaced",
        "test/data/shards/test_cluster.py::test_commands_without_workers_do_not_load_dask",
    ],
    "the page of `view`": [
        f"{VIEW}/test_server.py::test_page_and_socket_are_served_to_who_may_see_them",
        f"{VIEW}/test_server.py::test_other_web_sites_open_no_socket",
        f"{VIEW}/test_server.py::test_nobody_can_publish_the_page",
        f"{VIEW}/test_gate.py::test_nothing_but_the_token_lets_pass",
        f"{VIEW}/test_status.py::test_text_from_outside_makes_no_element",
    ],
    "ROS topics, services": "a warning",
    "Commands and the node contact no host": [
        f"{NETWORK}::test_help_contacts_nothing",
        f"{NETWORK}::test_commands_contact_nothing",
        f"{NETWORK}::test_detector_commands_contact_nothing",
        f"{NETWORK}::test_live_commands_contact_nothing",
    ],
    "Exceptions need your request": [
        "test/model/test_clip.py::test_clip_is_not_downloaded_by_default",
        f"{NETWORK}::test_make_segmenter_downloads_nothing_by_itself",
        f"{HUB}::test_model_is_downloaded_once_after_a_line_that_says_what",
        f"{HUB}::test_what_is_no_checkpoint_is_not_uploaded",
    ],
    "The node refuses `hf:` names": [f"{HUB}::test_what_is_no_request_downloads_nothing"],
    "ultralytics is run offline": [
        "test/segmentation/test_yolo.py::test_ultralytics_sends_installs_and_writes_nothing",
        f"{ISOLATION}::test_everything_is_restored",
    ],
    "The converters of OpenVINO and NNCF": [
        "test/segmenter_training/test_openvino_export.py::test_statistics_of_converters_are_sent_nowhere",
        f"{NETWORK}::test_detector_commands_contact_nothing",
    ],
}
"""Tests by the start of the statement; a text instead says why there is none."""


def statements() -> list[str]:
    """Return the sentences and the rows of tables of SECURITY.md."""
    found = []
    for block in (ROOT / "SECURITY.md").read_text(encoding="utf-8").split("\n\n"):
        lines = block.strip().splitlines()
        if lines[0].startswith("|"):
            found += [line.strip("| ") for line in lines[2:]]
        elif not lines[0].startswith("#"):
            found += re.split(r"(?<=[.!]) (?=[A-Z]|ultralytics)", " ".join(lines))
    return found


def test_every_statement_has_its_entry_and_every_entry_its_statement() -> None:
    unused = set(HELD)
    for statement in statements():
        entries = [start for start in HELD if statement.startswith(start)]
        assert len(entries) == 1, statement
        unused -= set(entries)
    assert not unused


@pytest.mark.parametrize("test_id", sorted({i for ids in HELD.values() if not isinstance(ids, str) for i in ids}))
def test_named_tests_exist(test_id: str) -> None:
    path, _, name = test_id.partition("::")
    functions = [n.name for n in ast.parse((ROOT / path).read_text()).body if isinstance(n, ast.FunctionDef)]
    assert name in functions if name else functions


def test_maintainer_address_is_a_placeholder() -> None:
    assert "@example.org" in (ROOT / "package.xml").read_text()


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def write_state(folder: Path, call: Call) -> None:
    torch.save({"config": call}, folder / STATE)
    RunDir(folder).load_state("cpu")


def write_clip(folder: Path, call: Call) -> None:
    torch.save({"state_dict": call}, folder / "clip.pt")
    load_clip(ClipConfig(pretrained="mine", weights=str(folder / "clip.pt")))


def write_clouds(folder: Path, call: Call) -> None:
    np.savez(folder / "clouds.npz", points=np.array([call], object))
    CloudSamples.load(folder / "clouds.npz")


def write_features(folder: Path, call: Call) -> None:
    np.save(folder / "features.npy", np.array([call], object), allow_pickle=True)
    read_text_features(folder / "features.npy", "random", ["a"])


def write_recipe(folder: Path, call: Call) -> None:
    function, arguments = call.__reduce__()
    text = yaml.safe_dump({"seed": list(arguments)}).replace(
        "seed:", f"seed: !!python/object/apply:os.{function.__name__}"
    )
    (folder / "recipe.yaml").write_text(text)
    read_recipe(folder / "recipe.yaml")


@pytest.mark.parametrize("write", [write_state, write_clip, write_clouds, write_features, write_recipe])
def test_files_run_no_code(tmp_path: Path, write: Callable[[Path, Call], None]) -> None:
    victim = tmp_path / "executed"
    with pytest.raises((CliposeError, pickle.UnpicklingError)):
        write(tmp_path, Call(os.mkdir, str(victim)))
    assert not victim.exists()
