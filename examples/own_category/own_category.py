"""Train a model of an own category, from meshes to poses: candles in four sizes.

The four steps are the commands ``generate`` (twice), ``train`` and a prediction; ``--scenes`` and ``--steps`` set how
long they take.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import numpy as np
import trimesh

from clipose_ros import Predictor
from clipose_ros.cli import generate, train
from clipose_ros.data.samples import CloudSamples
from clipose_ros.geometry.symmetry import rotation_error_deg

CATEGORIES = Path(__file__).with_name("candles.yaml")
CANDLES_MM = {"tall": (20, 180), "thin": (12, 200), "wide": (40, 90), "small": (25, 60)}
"""Radius and height of each mesh."""
INDEX = """category,file,up,front,axial,unit,height_mm,split
candle,tall.stl,z,,yes,mm,,train
candle,thin.stl,z,,yes,mm,,train
candle,wide.stl,z,,yes,,60-120,train
candle,small.stl,z,,yes,,40-80,val
"""
"""Description of the meshes, one row each; docs/how-to/training-data.md explains the columns."""


def write_meshes(folder: Path) -> None:
    """Write the meshes and their index. Replace this by a folder with meshes of your own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (radius, height) in CANDLES_MM.items():
        trimesh.creation.cylinder(radius, height).export(folder / f"{name}.stl")
    (folder / "index.csv").write_text(INDEX)


def run(command: ModuleType, *arguments: object) -> None:
    """Run a command of the package and stop if it fails."""
    if command.main([str(argument) for argument in arguments]) != 0:
        raise SystemExit("the command above failed")


def print_errors(model: Path, clouds: CloudSamples) -> None:
    """Print the median errors of the predicted poses of all clouds."""
    predictor = Predictor.load(model)
    names = [clouds.categories.names[index] for index in clouds.category_index]
    poses = predictor.predict(clouds.points, names)
    rotation_deg, distance_m = [], []
    for pose, truth in zip(poses, clouds.T_camera_object, strict=True):
        symmetry = clouds.categories[pose.category].symmetry
        rotation_deg.append(rotation_error_deg(pose.T_camera_object[:3, :3], truth[:3, :3], symmetry))
        distance_m.append(np.linalg.norm(pose.T_camera_object[:3, 3] - truth[:3, 3]))
    print(f"{len(poses)} poses: median error {np.median(rotation_deg):.1f} deg, {100 * np.median(distance_m):.1f} cm")


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("candles"), help="folder for all files (candles)")
    parser.add_argument("--scenes", type=int, default=400, help="simulated scenes of the training data (400)")
    parser.add_argument("--steps", type=int, default=2000, help="training steps of 24 clouds (2000)")
    options = parser.parse_args()

    folder: Path = options.folder
    write_meshes(folder / "meshes")
    objects = ("--categories", CATEGORIES, "--meshes", folder / "meshes")
    for split, scenes, seed in (("train", options.scenes, 1), ("val", max(options.scenes // 10, 2), 99)):
        out = folder / f"{split}.npz"
        run(generate, *objects, "--split", split, "--scenes", scenes, "--seed", seed, "--out", out)
    data = ("--data", folder / "train.npz", "--validation", folder / "val.npz")
    shorter = (f"steps={options.steps}", f"warmup_steps={min(100, options.steps // 10)}")
    run(train, "--recipe", "clipose_small", *data, "--out", folder / "run", *shorter)
    print_errors(folder / "run" / "model.safetensors", CloudSamples.load(folder / "val.npz"))


if __name__ == "__main__":
    main()
