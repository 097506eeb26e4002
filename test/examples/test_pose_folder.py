"""The example poses a folder of RGB-D images that a simulated camera recorded."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipose_ros.data.synthetic.sequence import SequenceConfig, render_sequence

pytest.importorskip("ultralytics")


def test_a_folder_is_posed_and_drawn(tmp_path: Path, run_example) -> None:
    folder, poses = tmp_path / "frames", tmp_path / "poses"
    folder.mkdir()
    (shown,) = list(render_sequence(SequenceConfig(seed=100, frames=2, workers=1)))[:1]
    frame, camera = shown.frame, shown.frame.intrinsics
    cv2.imwrite(str(folder / "000-color.png"), frame.rgb[..., ::-1])
    cv2.imwrite(str(folder / "000-depth.png"), (1e3 * np.nan_to_num(frame.depth)).round().astype(np.uint16))
    values = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    (folder / "camera.json").write_text(json.dumps(values))

    output = run_example("pose_folder/pose_folder.py", folder, "--output", poses)
    record = json.loads((poses / "poses.json").read_text())["000-color.png"]
    assert record["poses"], "the shipped detector finds most objects of this table"
    assert f"000-color.png: {len(record['poses'])} poses, {len(record['rejected'])} rejected" in output
    for pose in record["poses"]:
        T = np.array(pose["T_camera_object"])
        nearest = min(np.linalg.norm(T[:3, 3] - truth.T_camera_object[:3, 3]) for truth in shown.truths)
        assert nearest < 0.1 and np.all(np.array(pose["size_m"]) > 0)
    drawn = cv2.imread(str(poses / "000-color.png"))
    assert drawn.shape == frame.rgb.shape and (drawn != frame.rgb[..., ::-1]).any()
