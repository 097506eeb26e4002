"""``train``: train a pose network on stored clouds."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from clipose_ros.bounded_files import parse_yaml
from clipose_ros.cli.node_settings import local_model
from clipose_ros.config import nest, with_current_names
from clipose_ros.data.cloud_source import CloudSource
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards.reader import load_clouds
from clipose_ros.data.shards.stream import open_clouds
from clipose_ros.errors import CliposeError, ConfigError, UnreadableFileError, quoted
from clipose_ros.inference.predictor import resolve_device
from clipose_ros.resources import config_path, model_path
from clipose_ros.training.config import TrainConfig, merged, read_recipe
from clipose_ros.training.dry_run import describe_run, temporary_run_dir
from clipose_ros.training.run_dir import STATE, RunDir
from clipose_ros.training.runtime.distributed import Ranks, failing_together, ranks_joined
from clipose_ros.training.runtime.process_settings import configure_process
from clipose_ros.training.runtime.signals import StoppedError
from clipose_ros.training.trainer import Trainer, load_run_state


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_intermixed_args(arguments)  # settings may stand between options
    try:
        _train(options)
    except StoppedError as stop:
        return 128 + stop.signal  # the exit status by which shells report a signal
    except CliposeError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train", description=__doc__)
    parser.add_argument("--recipe", required=True, help="Use this shipped recipe (see --list) or YAML file.")
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        help="Train on clouds from `generate`: folders of shards or their URLs, which are streamed, or .npz files.",
    )
    parser.add_argument(
        "--validation", nargs="+", required=True, help="Validate on these clouds of other instances, held in memory."
    )
    parser.add_argument("--out", type=Path, required=True, help="Write the run to this folder.")
    initial = parser.add_mutually_exclusive_group()
    initial.add_argument(
        "--resume",
        action="store_true",
        help="Resume the run in --out; with torchrun --max-restarts, start it if there is none.",
    )
    initial.add_argument("--start", metavar="MODEL", help="Start from this shipped model, model file or hf:owner/name.")
    parser.add_argument(
        "--dry-run", action="store_true", help="Print the settings and the expected duration of the run; write nothing."
    )
    parser.add_argument("--device", default="auto", help="Train on this device: auto, cpu, cuda or cuda:N (auto).")
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="Override settings of the recipe, such as batch=32."
    )
    parser.add_argument("--list", action=_ListRecipes, nargs=0, help="List the shipped recipes and exit.")
    return parser


def _train(options: argparse.Namespace) -> None:
    """Train, or describe the run with ``--dry-run``.

    Raises:
        ConfigError: An option or a setting is wrong.
        DataError: The clouds cannot be read.
        LockedError: Another process trains into the folder.
        LostRankError: Another process of the run failed.
        StoppedError: A signal stopped the run.
    """
    config = overrule(read_recipe(recipe_path(options.recipe)), options.settings)
    device = resolve_device(options.device)
    if options.dry_run:
        training, validation = _open_data(options, config)
        configure_process(config.seed, config.threads, device)
        with temporary_run_dir(config, options.out) as (trial_config, folder):
            trainer = Trainer(trial_config, training.categories, training, validation, folder, device)
            _initialize(trainer, options, config)
            print(describe_run(trainer, {"training": options.data, "validation": options.validation}))
        return
    with ranks_joined(device) as rank_device, ExitStack() as held:
        with failing_together(rank_device):
            if Ranks.from_environment().rank == 0:
                held.enter_context(RunDir(options.out).locked())
                _require_new(options)
            training, validation = _open_data(options, config)
        configure_process(config.seed, config.threads, rank_device)
        trainer = Trainer(config, training.categories, training, validation, options.out, rank_device)
        _initialize(trainer, options, config)
        trainer.run()


def _require_new(options: argparse.Namespace) -> None:
    """Raise ``ConfigError`` if the folder of a new run holds another one."""
    if not options.resume and (options.out / STATE).exists():
        raise ConfigError(f"'{options.out}' holds a run: resume it with --resume, or choose another folder")


def _open_data(options: argparse.Namespace, config: TrainConfig) -> tuple[CloudSamples | CloudSource, CloudSamples]:
    """Return the clouds for training and for validation, of the same categories."""
    training = open_clouds(*options.data, seed=config.seed, images=config.with_images, sampling=config.sampling)
    validation = load_clouds(*options.validation)
    if validation.categories != training.categories:
        raise ConfigError(
            f"training clouds are of {', '.join(training.categories.names)}, validation clouds of "
            f"{', '.join(validation.categories.names)}: generate both with the same categories"
        )
    return training, validation


def _initialize(trainer: Trainer, options: argparse.Namespace, config: TrainConfig) -> None:
    """Load the state of the run with ``--resume``, or the weights of a model with ``--start``."""
    if options.resume:
        ranks = Ranks.from_environment()
        # torchrun repeats the command as it is.
        if ranks.max_restarts and not trainer.run_dir.has_state(trainer.device):
            if ranks.rank == 0:
                print(f"nothing to resume in '{options.out}': the run starts", flush=True)
            return
        trainer.load_state(load_run_state(RunDir(options.out), config, trainer.device))
    elif options.start:
        trainer.start_from(model_path(local_model(options.start)))


class _ListRecipes(argparse.Action):
    """Action that prints each shipped recipe with the first line of its comment and exits."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        for path in recipes():
            first = path.read_text(encoding="utf-8").partition("\n")[0]
            print(f"{path.stem:<28}{first.removeprefix('#').strip()}")
        parser.exit()


def recipes() -> list[Path]:
    """Return the paths of the shipped recipes, sorted by name."""
    return sorted(config_path("recipes/clipose_small.yaml").parent.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """Return the path of a shipped recipe by its name, or of a file.

    Raises:
        ConfigError: There is neither; the message names the nearest recipe.
    """
    shipped = {path.stem: path for path in recipes()}
    if name in shipped or not Path(name).is_file():
        if name not in shipped:
            near = difflib.get_close_matches(name, shipped, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "see train --list"
            raise ConfigError(f"expected a shipped recipe or a file, got recipe '{name}': {hint}")
        return shipped[name]
    return Path(name)


def overrule(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """Return the configuration with settings ``key=value`` applied; keys are dotted, values are YAML.

    Raises:
        ConfigError: A setting has no equals sign, is unknown or is out of bounds.
    """
    flat = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign:
            raise ConfigError(f"expected settings as key=value, such as batch=32, got {quoted(setting)}")
        try:
            flat[key] = parse_yaml(value)
        except UnreadableFileError as error:
            raise ConfigError(f"the value of {quoted(key)} cannot be read: {error}") from error
    return TrainConfig.from_mapping(merged(config.to_mapping(), with_current_names(nest(flat))))


if __name__ == "__main__":
    sys.exit(main())
