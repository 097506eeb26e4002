"""Estimate the poses of all objects in a folder of RGB-D frames; write annotated images and ``poses.json``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2

from clipose_ros import PosePipeline
from clipose_ros.cli.node_settings import segmenter_settings
from clipose_ros.config import PoseNodeConfig, nest
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.types import FrameResult
from clipose_ros.visualization.draw import draw_result


def to_record(result: FrameResult) -> dict[str, Any]:
    """Return plain values for JSON: poses in the camera optical frame, sizes in metres, and rejected instances."""
    poses = [
        {
            "category": pose.category,
            "score": round(pose.score, 3),
            "T_camera_object": pose.T_camera_object.round(5).tolist(),
            "size_m": pose.size.round(4).tolist(),
            "axis_confidences_yx": [round(confidence, 3) for confidence in pose.axis_confidences],
        }
        for pose in result.poses
    ]
    rejected = [
        {"category": item.category, "reason": item.short_reason, "detail": item.detail} for item in result.rejections
    ]
    return {"poses": poses, "rejected": rejected}


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="*color*.png, *depth*.png (16 bit) and a file with the intrinsics")
    parser.add_argument("--segmenter", default="shipped", help="shipped, yolo:WEIGHTS or mask_rcnn:WEIGHTS (shipped)")
    parser.add_argument("--model", default="clipose_small", help="shipped model or a .safetensors file (clipose_small)")
    parser.add_argument("--output", type=Path, default=Path("poses"), help="output folder (poses)")
    options = parser.parse_args()

    # The settings of the pose node, by the same names: see docs/reference/parameters.md.
    settings = {**segmenter_settings(options.segmenter), "network.model": options.model}
    pipeline = PosePipeline.from_config(PoseNodeConfig.from_mapping(nest(settings)))

    frames = open_rgbd_folder(options.folder)
    options.output.mkdir(parents=True, exist_ok=True)
    records = {}
    for number, (colour_path, _) in enumerate(frames.pairs):
        frame = frames.read(number)
        result = pipeline.process(frame)
        records[colour_path.name] = to_record(result)
        annotated = draw_result(frame.rgb, result, frame.intrinsics)
        cv2.imwrite(str(options.output / f"{colour_path.stem}.png"), annotated[..., ::-1])
        print(f"{colour_path.name}: {len(result.poses)} poses, {len(result.rejections)} rejected")
    (options.output / "poses.json").write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
