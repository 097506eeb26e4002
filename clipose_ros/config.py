"""Settings as a tree of frozen dataclasses that check types and bounds when they are built.

``option`` declares the default, the description and the bounds of a field. ROS parameter descriptors and
the reference page (``docs/_ext/reference_tables.py``) are made from them; the tests compare ``config/pose.yaml`` with
them. Unknown keys raise an error that names the nearest known key.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, ClassVar, NamedTuple, TypeVar

from clipose_ros.config_aliases import current_name, current_value
from clipose_ros.errors import ConfigError, quoted
from clipose_ros.plugins import BUILTIN_SEGMENTERS, SEGMENTER_GROUP, import_plugin, load_entry_points

T = TypeVar("T", bound="ConfigNode")

MAX_NUMBER = 2**63 - 1
"""Bound of numbers that have no bound of their own; it is that of ROS parameters and of torch."""


def option(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    live: bool = False,
) -> Any:
    """Declare a setting as a dataclass field.

    Args:
        default: Default value; a tuple for a list.
        doc: Description for the user, with units.
        low: Smallest allowed value.
        high: Largest allowed value.
        choices: Allowed strings; None allows any.
        live: True if the setting can change while the node runs.
    """
    metadata = {"doc": doc, "low": low, "high": high, "choices": choices, "live": live}
    return dataclasses.field(default=default, metadata=metadata)


_TYPE_HINTS: dict[type, dict[str, Any]] = {}


def _read_type_hints(cls: type) -> dict[str, Any]:
    """Return the types of the fields of a class by name. They are kept, because settings are often replaced."""
    if cls not in _TYPE_HINTS:
        _TYPE_HINTS[cls] = typing.get_type_hints(cls)
    return _TYPE_HINTS[cls]


class ConfigEntry(NamedTuple):
    """A setting or section of a ``ConfigNode``.

    Attributes:
        key: Key in ``from_mapping``.
        field: Dataclass field.
        value: Value of the field.
    """

    key: str
    field: dataclasses.Field[Any]
    value: Any


@dataclass(frozen=True)
class ConfigNode:
    """Base class of a group of settings. Types and bounds of its fields are checked on construction."""

    is_root: ClassVar[bool] = False
    """True for the root of a tree, in which old names of settings are translated."""

    def __post_init__(self) -> None:
        hints = _read_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, ConfigNode):
                continue
            path = f"{type(self).__name__}.{field.name}"
            # The dataclass is frozen. Checked values replace lists by tuples and integers by floats.
            object.__setattr__(self, field.name, _check_value(path, hints[field.name], value, field))

    @classmethod
    def keys(cls) -> dict[str, dataclasses.Field[Any]]:
        """Return the keys that ``from_mapping`` accepts, with their dataclass fields."""
        return {field.name: field for field in dataclasses.fields(cls)}

    def entries(self) -> Iterator[ConfigEntry]:
        """Yield every setting and section, in order."""
        for field in dataclasses.fields(self):
            yield ConfigEntry(field.name, field, getattr(self, field.name))

    @classmethod
    def from_mapping(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
        """Create the settings from nested plain values, as read from YAML.

        Args:
            values: Values by field name; groups are nested mappings.
            path: Dotted prefix of the keys in error messages.

        Raises:
            ConfigError: A key is unknown (the nearest is named), or a value has the wrong type or is out of bounds.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"'{path or cls.__name__}' must be a mapping of settings, got {values!r:.80}")
        # Old names are dotted paths from the root of a tree, so they cannot be translated within a section.
        if cls.is_root:
            values = with_current_names(values)
        known = cls.keys()
        hints = _read_type_hints(cls)
        arguments: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise ConfigError(unknown_key_message(f"{path}{key}", [f"{path}{name}" for name in known]))
            hint = hints[key]
            if isinstance(hint, type) and issubclass(hint, ConfigNode):
                arguments[key] = hint.from_mapping(value, f"{path}{key}.")
            else:
                arguments[key] = _check_value(f"{path}{key}", hint, value, known[key])
        return cls(**arguments)

    def to_mapping(self) -> dict[str, Any]:
        """Convert the settings to nested plain values, which ``from_mapping`` reads."""
        return {key: value.to_mapping() if isinstance(value, ConfigNode) else value for key, _, value in self.entries()}


@dataclass(frozen=True)
class ConfigField:
    """One setting of a tree.

    Attributes:
        path: Dotted path, such as ``cloud.points``.
        type: Annotated type.
        value: Value in the tree.
        doc: Description for the user.
        low: Smallest allowed value.
        high: Largest allowed value.
        choices: Allowed strings; None allows any.
        live: True if the setting can change while the node runs.
    """

    path: str
    type: Any
    value: Any
    doc: str
    low: float | None
    high: float | None
    choices: tuple[str, ...] | None
    live: bool


def config_fields(section: ConfigNode, prefix: str = "") -> list[ConfigField]:
    """Return every setting below a group, in order, with dotted paths."""
    fields: list[ConfigField] = []
    hints = typing.get_type_hints(type(section))
    for key, field, value in section.entries():
        if isinstance(value, ConfigNode):
            fields += config_fields(value, f"{prefix}{key}.")
        else:
            fields.append(ConfigField(f"{prefix}{key}", hints[field.name], value, **field.metadata))
    return fields


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Convert dotted keys to nested mappings: ``{"a.b": 1}`` to ``{"a": {"b": 1}}``.

    Raises:
        ConfigError: A key lies below a key that has a value.
    """
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{quoted(path)} and {quoted(parent)} are both set: a group of settings has no value")
        node[name] = value
    return tree


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace old names in nested settings by new ones; each old name warns once."""
    return nest(dict(_iter_current_names(values, "")))


def _iter_current_names(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield dotted paths and values of nested settings under their new names."""
    for key, value in values.items():
        path = current_name(f"{prefix}{key}")
        if isinstance(value, Mapping) and value:
            yield from _iter_current_names(value, f"{path}.")
        else:
            yield path, current_value(path, value)


def unknown_key_message(key: str, known: list[str]) -> str:
    """Return the error message for an unknown key, with the nearest known key."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"unknown setting {quoted(key)}" + (
        f": did you mean '{near[0]}'?" if near else f": expected one of {', '.join(known)}"
    )


def _check_value(path: str, hint: Any, value: Any, field: dataclasses.Field[Any]) -> Any:
    """Return a value in its declared type; raise ConfigError if its type or bounds are violated."""
    value = _convert_value(path, hint, value)
    low, high, choices = (field.metadata.get(key) for key in ("low", "high", "choices"))
    for item in value if isinstance(value, tuple) else (value,):
        if choices is not None and item not in choices:
            raise ConfigError(f"'{path}' must be one of {', '.join(map(repr, choices))}, got {item!r:.80}")
        # Only numbers have bounds; bool is a subclass of int.
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            continue
        # NaN and infinity lie in no range.
        low, high = -MAX_NUMBER if low is None else low, MAX_NUMBER if high is None else high
        if not low <= item <= high:
            raise ConfigError(f"'{path}' must lie in [{low}, {high}], got {item!r:.80}")
    return value


def _convert_value(path: str, hint: Any, value: Any) -> Any:
    """Convert lists to tuples and integers to the declared float; raise ConfigError for any other type."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        # The only unions in settings are optional values, such as float | None.
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
        return _convert_value(path, hint, value)
    if origin is tuple:
        # A string is iterable, but a list of its characters is never meant.
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise ConfigError(f"'{path}' must be a list, got {value!r:.80}")
        items, arguments = list(value), typing.get_args(hint)
        if arguments[-1] is not Ellipsis and len(arguments) != len(items):
            raise ConfigError(f"'{path}' must have {len(arguments)} values, got {items!r:.80}")
        return tuple(_convert_value(path, arguments[0], item) for item in items)
    if hint is float and type(value) is int and abs(value) <= MAX_NUMBER:
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"'{path}' must be of type {hint.__name__}, got {value!r:.80}")
    return value


@dataclass(frozen=True)
class SyncConfig(ConfigNode):
    """Synchronization of colour image, depth image and calibration."""

    slop_s: float = option(
        0.02,
        "Largest difference of the stamps of one set, seconds. Keep it well below the frame interval: otherwise, after "
        "a lost image, colour is paired with the depth of the next frame.",
        low=0.0,
        high=1.0,
    )
    queue_size: int = option(10, "Messages kept per topic while they wait for a match.", low=1, high=1000)
    exact: bool = option(False, "Match only messages with equal stamps.")
    compressed: bool = option(False, "Subscribe to rgb/image_rect_color/compressed (sensor_msgs/CompressedImage).")
    rectify: str = option(
        "auto",
        "Rectification of distorted images: `auto` if D of the camera_info is not 0 and the topic of the image lacks "
        "`rect` in its name, `always` if D is not 0, `never` if all images are rectified.",
        choices=("auto", "always", "never"),
    )
    timeout_s: float = option(
        5.0, "Warn, with the name of the topic, after this time without a matched set, seconds.", low=0.5, high=3600.0
    )


MAX_INSTANCES_LIMIT = 200
"""Upper bound of ``segmentation.max_instances``."""


@dataclass(frozen=True)
class SegmentationConfig(ConfigNode):
    """Instance segmentation.

    Attributes:
        backend_settings: Own settings of an installed backend, under ``segmentation.<backend>``; None for the built-in
            backends.
    """

    backend: str = option("yolo", "Segmentation backend: a built-in one, or one that an installed package adds.")
    model: str = option("", "Weights of the backend: a file or the name of a shipped model; empty for `labels`.")
    class_map: tuple[str, ...] = option(
        ("cup:mug", "bottle:bottle", "bowl:bowl", "laptop:laptop"),
        "Category of each class of the model, as `class:category`; other classes are ignored.",
    )
    label_ids: tuple[str, ...] = option(
        (),
        "Category of each value of a label image, as `value:category`; other values are ignored. Empty: the values are "
        "category id x 1000 + instance. Only for `labels`.",
    )
    semantic_labels: bool = option(
        False,
        "Label values are classes, as in semantic segmentation: each connected area is an instance. Only for `labels`.",
    )
    score_threshold: float = option(0.35, "Detections with a lower score are dropped.", low=0.0, high=1.0, live=True)
    iou_threshold: float = option(
        0.6,
        "Overlap of two masks above which the detection with the lower score is dropped.",
        low=0.0,
        high=1.0,
        live=True,
    )
    max_instances: int = option(
        16,
        "Maximum number of instances per frame; those with the highest scores are kept.",
        low=1,
        high=MAX_INSTANCES_LIMIT,
        live=True,
    )
    image_size: int = option(
        640,
        "Longer side of the segmentation network's input, pixels; an exported model keeps its own.",
        low=64,
        high=4096,
    )
    threads: int = option(
        0,
        "CPU threads of an exported `yolo` model (ONNX, OpenVINO, LiteRT); 0 uses one per core, or half of the cores "
        "if posing runs in parallel. A .pt model uses those of torch.",
        low=0,
        high=256,
    )
    parallel: str = option(
        "auto",
        "Detect the objects of a frame in one thread while another poses those of the frame before: `always`, `never`, "
        "or `auto` for backends with a network of their own on a CPU of two cores or more. More frames per second; at "
        "a low rate, `never` has less latency.",
        choices=("auto", "always", "never"),
    )
    every_n: int = option(
        1,
        "Run the detector on every n-th frame; optical flow and depth propagate the masks to the frames between.",
        low=1,
        high=30,
    )
    backend_settings: ConfigNode | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = segmenter_settings_type(self.backend)
        if self.backend_settings is None and expected is not None:
            object.__setattr__(self, "backend_settings", expected())
        elif self.backend_settings is not None and type(self.backend_settings) is not expected:
            raise ConfigError(
                f"'segmentation.backend_settings' of backend '{self.backend}' must be "
                f"{'None' if expected is None else expected.__name__}, got {self.backend_settings!r}"
            )

    @classmethod
    def keys(cls) -> dict[str, dataclasses.Field[Any]]:
        """Return the keys that all backends share; a backend's own settings are a section with its name."""
        return {key: field for key, field in super().keys().items() if key != "backend_settings"}

    def entries(self) -> Iterator[ConfigEntry]:
        """Yield every setting; the section of the backend's own settings has the name of the backend."""
        for entry in super().entries():
            if entry.key != "backend_settings":
                yield entry
            elif entry.value is not None:
                yield entry._replace(key=self.backend)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], path: str = "") -> SegmentationConfig:
        """Create the settings from nested plain values. The section of the chosen backend has the name of the backend.

        Sections of other installed backends are skipped, so that one file can serve several backends.

        Raises:
            ConfigError: A key is unknown, a value has the wrong type or is out of bounds, or the section belongs to a
                backend that is not installed.
        """
        backend = values.get("backend", cls.backend) if isinstance(values, Mapping) else cls.backend
        # Built-in backends need no look-up of installed packages, which reads the metadata of all of them.
        if not isinstance(backend, str) or (backend in BUILTIN_SEGMENTERS and set(values) <= set(cls.keys())):
            return super().from_mapping(values, path)
        if backend in values and backend not in segmenter_names():
            raise ConfigError(unknown_segmenter_message(backend))
        # Keys that are names of installed backends are sections; all other unknown keys raise.
        plugins = installed_segmenters()
        config = super().from_mapping({key: value for key, value in values.items() if key not in plugins}, path)
        settings_type = segmenter_settings_type(backend)
        if settings_type is None and backend in values:
            raise ConfigError(f"segmentation backend '{backend}' has no settings of its own, got '{path}{backend}'")
        if settings_type is None:
            return config
        settings = settings_type.from_mapping(values.get(backend, {}), f"{path}{backend}.")
        return dataclasses.replace(config, backend_settings=settings)

    def settings_as(self, settings_type: type[T]) -> T:
        """Return ``backend_settings``, checked to be of a backend's settings type."""
        if not isinstance(self.backend_settings, settings_type):
            raise ConfigError(
                f"backend '{self.backend}' needs settings of type {settings_type.__name__}, "
                f"got {self.backend_settings!r}"
            )
        return self.backend_settings


def installed_segmenters() -> dict[str, EntryPoint]:
    """Return the entry points of segmentation backends that other packages add, by name.

    Built-in names and the names of settings of ``SegmentationConfig`` are reserved.
    """
    reserved = {field.name for field in dataclasses.fields(SegmentationConfig)}
    return load_entry_points(SEGMENTER_GROUP, {*BUILTIN_SEGMENTERS, *reserved})


def segmenter_names() -> list[str]:
    """Return the names that ``segmentation.backend`` accepts: the built-in backends, then the installed ones."""
    return [*BUILTIN_SEGMENTERS, *installed_segmenters()]


def segmenter_settings_type(backend: str) -> type[ConfigNode] | None:
    """Return the type of a backend's own settings; None for built-in and unknown backends.

    Raises:
        ConfigError: The backend cannot be imported, or its settings are not a ``ConfigNode`` with defaults.
    """
    if backend in BUILTIN_SEGMENTERS or (entry := installed_segmenters().get(backend)) is None:
        return None
    settings_type = getattr(import_plugin(entry, "segmentation.backend"), "settings_type", None)
    if settings_type is None:
        return None
    if not (isinstance(settings_type, type) and issubclass(settings_type, ConfigNode)):
        raise ConfigError(f"settings of segmentation backend '{backend}' must be a ConfigNode, got {settings_type!r}")
    for field in dataclasses.fields(settings_type):
        # Parameter descriptors need the metadata that option() declares.
        if not isinstance(field.default, ConfigNode) and "doc" not in field.metadata:
            raise ConfigError(
                f"setting '{field.name}' of segmentation backend '{backend}' must be declared with option()"
            )
    return settings_type


def unknown_segmenter_message(backend: str) -> str:
    """Return the error message for a segmentation backend that does not exist, with the nearest name."""
    names = segmenter_names()
    near = difflib.get_close_matches(backend, names, n=1, cutoff=0.5)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return f"'segmentation.backend' must be one of {', '.join(names)}, got '{backend}'{hint}"


def is_setting_of_other_segmenter(path: str, backend: str) -> bool:
    """Return True if a dotted path lies in the section of an installed segmentation backend other than ``backend``."""
    root, _, rest = path.partition(".")
    name = rest.partition(".")[0]
    return root == "segmentation" and name != backend and name in installed_segmenters()


@dataclass(frozen=True)
class CloudConfig(ConfigNode):
    """Conversion of the depth inside a mask to the point cloud of an object."""

    points: int = option(1024, "Points per object in the input of the network, a multiple of 16.", low=128, high=16384)
    min_points: int = option(64, "Masks with fewer valid depth pixels get no pose.", low=8, high=100000, live=True)
    depth_min_m: float = option(0.1, "Smaller depth is ignored, metres.", low=0.0, high=100.0, live=True)
    depth_max_m: float = option(4.0, "Larger depth is ignored, metres.", low=0.0, high=100.0, live=True)
    erode_px: int = option(
        1, "Erosion of the mask, pixels; depth is unreliable at its edge.", low=0, high=20, live=True
    )
    outlier_mad: float = option(
        6.0,
        "Points are outliers if they differ from the median depth by more than this number of median absolute "
        "deviations plus a margin; 0 keeps all points.",
        low=0.0,
        high=100.0,
        live=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points % 16:
            raise ConfigError(f"'cloud.points' must be a multiple of 16, got {self.points}")
        if self.depth_min_m >= self.depth_max_m:
            raise ConfigError(
                f"'cloud.depth_min_m' must be below 'cloud.depth_max_m', got {self.depth_min_m} and {self.depth_max_m}"
            )


@dataclass(frozen=True)
class TtaConfig(ConfigNode):
    """Test-time augmentation: the mean of several forward passes per object."""

    max_passes: int = option(
        4,
        "Maximum number of forward passes per object, each over a different sample of points, every second one over "
        "the mirror image. Four passes are more accurate and take four times as long as one. With a refiner, one more "
        "run of it replaces the passes after the second, unless disagreement_deg is 0.",
        low=1,
        high=16,
    )
    disagreement_deg: float = option(
        8.0,
        "Passes after the second, or the run of the refiner that replaces them, are run only if the axes of the first "
        "two differ by more than this angle, degrees; 0 always runs all passes.",
        low=0.0,
        high=180.0,
    )

    @property
    def first_passes(self) -> int:
        """Return the number of passes that run before their disagreement decides on further ones."""
        return min(self.max_passes, 2) if self.disagreement_deg > 0.0 else self.max_passes


@dataclass(frozen=True)
class NetworkConfig(ConfigNode):
    """Pose network: weights, device and engine."""

    model: str = option("clipose_small", "Checkpoint file or name of a shipped model.")
    device: str = option("auto", "Compute device: auto, cpu, cuda or cuda:N.")
    threads: int = option(
        0,
        "CPU threads of the network; 0 uses the number that torch chooses, or half of the cores if detection runs in "
        "parallel.",
        low=0,
        high=256,
    )
    engine: str = option(
        "auto",
        "Engine that computes the network, built-in or of an installed package; auto measures those that keep the "
        "accuracy of the model once and selects the fastest.",
    )
    tta: TtaConfig = TtaConfig()
    refine: str = option(
        "unsettled",
        "Objects whose poses the refiner of the model corrects in each pass, which then takes twice as long: all; "
        "unsettled, which leaves out settled tracks; or none. A model without refiner ignores it.",
        choices=("all", "unsettled", "none"),
    )
    surface_normals: bool = option(
        True,
        "Correct each predicted rotation by the normals of the measured surface, which are parallel to an axis of most "
        "objects or perpendicular to their axis of symmetry.",
    )
    budget_ms: float = option(
        0.0,
        "Time that the passes of one frame may take, milliseconds. Every object gets one, without the refiner unless "
        "network.refine is all. The rest is for refinement, then for further passes, of the most uncertain objects "
        "first. 0 is no limit.",
        low=0.0,
        high=10000.0,
        live=True,
    )


@dataclass(frozen=True)
class CheckConfig(ConfigNode):
    """Plausibility checks of a pose against its points and its category."""

    score_threshold: float = option(0.2, "Poses with a lower score are not published.", low=0.0, high=1.0, live=True)
    centre_tolerance: float = option(
        0.75,
        "Largest distance of the predicted centre from the bounding box of the points, as a fraction of the object's "
        "diagonal.",
        low=0.0,
        high=10.0,
        live=True,
    )
    size_tolerance: float = option(
        2.5, "Largest ratio of the points' extent to the predicted size.", low=1.0, high=100.0, live=True
    )
    max_occlusion_ratio: float = option(
        10.0,
        "Largest ratio of the predicted size to the points' extent, compared by their diagonals; the part of the "
        "object that the points do not cover is assumed to be occluded.",
        low=1.0,
        high=1000.0,
        live=True,
    )
    category_tolerance: float = option(
        2.0,
        "Largest ratio of the predicted size to the mean size of the category, compared by their diagonals; a larger "
        "object is probably of another category.",
        low=1.0,
        high=1000.0,
        live=True,
    )


@dataclass(frozen=True)
class TrackingConfig(ConfigNode):
    """Tracking: identities of objects and estimation of their poses from all frames."""

    frame: str = option(
        "",
        "Fixed TF frame in which objects rest, such as `odom` or `map`; empty: the frame of the camera, in which "
        "objects move whenever the camera moves.",
    )
    smoothing: float = option(
        0.6,
        "Strength of the estimator for resting objects: 0 publishes the poses of single frames, values near 1 follow "
        "slow changes slowly.",
        low=0.0,
        high=0.99,
        live=True,
    )
    max_speed_m_s: float = option(
        0.5, "Speed of the fastest objects to be followed without delay, m/s.", low=0.01, high=10.0, live=True
    )
    max_turn_deg_s: float = option(
        180.0,
        "Rate of turn of the fastest objects to be followed without delay, degrees per second.",
        low=1.0,
        high=3600.0,
        live=True,
    )
    max_age_s: float = option(
        1.5,
        "A track without a detection for longer than this time is deleted, seconds.",
        low=0.0,
        high=3600.0,
        live=True,
    )
    min_hits: int = option(
        2, "Number of frames in which an object must be detected before it is published.", low=1, high=100, live=True
    )
    gate_m: float = option(
        0.15,
        "Largest distance between a track and a detection that continues it, metres.",
        low=0.001,
        high=10.0,
        live=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_frame_name("tracking.frame", self.frame)


def _check_frame_name(path: str, name: str) -> None:
    """Raise ``ConfigError`` for a name of a TF frame, or a prefix of one, that tf2 does not accept."""
    accepted = "".join(letter for letter in name if letter.isprintable() and not letter.isspace()).lstrip("/")
    if name != accepted:
        raise ConfigError(
            f"'{path}' must be a TF name without spaces and without a slash in front, got {quoted(name)}: set "
            f"{quoted(accepted)}"
        )


@dataclass(frozen=True)
class PublishConfig(ConfigNode):
    """Published topics and frames."""

    target_frame: str = option("", "TF frame of all published poses; empty: the frame of the camera.")
    tf: bool = option(True, "Broadcast one TF frame per track.", live=True)
    tf_prefix: str = option("", "Prefix of the names of TF frames, without spaces and without a slash in front.")
    coasting: bool = option(
        False, "Also publish tracks without a detection in the current frame, until they are deleted.", live=True
    )
    marker_lifetime_s: float = option(
        0.5,
        "Lifetime of RViz markers, seconds; 0 keeps them until they are deleted.",
        low=0.0,
        high=3600.0,
        live=True,
    )
    tf_timeout_s: float = option(
        0.05, "Longest wait for the transform to publish.target_frame or tracking.frame, seconds.", low=0.0, high=10.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_frame_name("publish.target_frame", self.target_frame)
        _check_frame_name("publish.tf_prefix", self.tf_prefix)


@dataclass(frozen=True)
class PoseNodeConfig(ConfigNode):
    """Settings of the pose node."""

    is_root: ClassVar[bool] = True

    autostart: bool = option(True, "Configure and activate the node at its start; false waits for a lifecycle manager.")
    enabled: bool = option(
        True, "Estimate poses in every frame; false estimates them only on ~/detect_once.", live=True
    )
    categories: tuple[str, ...] = option(
        (), "Categories whose poses are estimated; empty for all categories of the model.", live=True
    )
    sync: SyncConfig = SyncConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    cloud: CloudConfig = CloudConfig()
    network: NetworkConfig = NetworkConfig()
    check: CheckConfig = CheckConfig()
    tracking: TrackingConfig = TrackingConfig()
    publish: PublishConfig = PublishConfig()
