"""``train``: make a model from stored clouds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from clipose_ros.config import nest
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.inference.predictor import resolve_device
from clipose_ros.training.config import TrainConfig, read_recipe
from clipose_ros.training.trainer import Trainer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="train", description=__doc__)
    parser.add_argument(
        "--recipe", type=Path, required=True, help="YAML file, nothing but differences from the defaults"
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="training clouds (.npz), from `generate`")
    parser.add_argument("--validation", type=Path, nargs="+", required=True, help="clouds of other instances")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's state")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="settings that overrule the recipe, such as batch=32"
    )
    options = parser.parse_args(arguments)
    try:
        config = overrule(read_recipe(options.recipe), options.settings)
        training, validation = CloudSamples.load(*options.data), CloudSamples.load(*options.validation)
        if validation.categories != training.categories:
            raise ConfigError(
                f"training clouds are of {', '.join(training.categories.names)}, validation clouds of "
                f"{', '.join(validation.categories.names)}: generate both with the same categories"
            )
        device = resolve_device(options.device)
        trainer = Trainer(config, training.categories, training, validation, options.out, device)
        if options.resume:
            trainer.resume()
        trainer.run()
    except CliposeError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0


def overrule(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """The configuration with ``key=value`` settings put over it; keys are dotted, values are YAML.

    Raises:
        ConfigError: A setting is no ``key=value``, unknown, or out of bounds.
    """
    flat = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign:
            raise ConfigError(f"'{setting}' is no setting: expected key=value, such as batch=32")
        flat[key] = yaml.safe_load(value)
    return TrainConfig.from_mapping(_merged(config.to_mapping(), nest(flat)))


def _merged(base: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


if __name__ == "__main__":
    sys.exit(main())
