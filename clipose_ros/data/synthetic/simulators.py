"""Simulators of training clouds, and their renderers, by name.

A simulator whose clouds would change, other than by rounding, gets a new name.

====================== =================================================================================================
``tables``             whole tables with the shapes and the depth sensor of version 0.2.0
``objects``            small scenes around household shapes, measured by simulated depth cameras
``crowded_objects``    the same, with more hands, and neighbours that touch: like the views in which poses failed
``crowded_objects_…``  the same, by one kind of depth camera, a key of ``DEPTH_CAMERAS``: ``crowded_objects_d435``
====================== =================================================================================================

Renderers differ in the rounding of depth, in shadows of projectors, whose edges ``raster`` rounds to pixels, and in
time: ``rays`` takes three to four times as long.

============ ===========================================================================================================
``raster``   compiled rasterizer and kernels
``rays``     rays of Embree, NumPy and OpenCV, as the frozen test sets were made; images of objects need it
============ ===========================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from clipose_ros.config import CloudConfig
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.synthetic.assets.household.shapes import make_household_object
from clipose_ros.data.synthetic.assets.object_library import ObjectLibrary
from clipose_ros.data.synthetic.object_clouds import RASTER, RAYS, WindowRenderer, simulate_object_scene
from clipose_ros.data.synthetic.object_scenes import ObjectSceneConfig
from clipose_ros.data.synthetic.samples import simulate_scene
from clipose_ros.data.synthetic.sensors.cameras import (
    DEPTH_CAMERAS,
    DepthCamera,
    random_depth_camera,
    vary_depth_camera,
)
from clipose_ros.errors import ConfigError, quoted

Simulator = Callable[[np.random.Generator, ObjectLibrary, int, str], Iterator[CloudSample]]
"""Function that yields the clouds of one random scene: generator, object library, side of the images, renderer."""
DEFAULT_SIMULATOR = "tables"
RASTER_RENDERER, RAY_RENDERER = "raster", "rays"
RENDERERS: Mapping[str, WindowRenderer] = {RASTER_RENDERER: RASTER, RAY_RENDERER: RAYS}
"""Renderers by name; the default is the first."""


def _simulate_table(
    rng: np.random.Generator, library: ObjectLibrary, image_side: int, renderer: str
) -> Iterator[CloudSample]:
    """Yield the clouds of a table."""
    is_rasterized = renderer == RASTER_RENDERER
    return simulate_scene(rng, library.drawable, CloudConfig(), library, image_side, is_rasterized)


def _simulate_objects(
    config: ObjectSceneConfig,
    draw_depth_camera: Callable[[np.random.Generator], DepthCamera],
    rng: np.random.Generator,
    library: ObjectLibrary,
    image_side: int,
    renderer: str,
) -> Iterator[CloudSample]:
    """Yield the clouds of a small scene, with household shapes in place of the shape generators of 0.2.0.

    Raises:
        ConfigError: Images are requested; this simulator renders no colour.
    """
    if image_side:
        raise ConfigError(f"only the simulator 'tables' makes images, got an image side of {image_side}")
    household = replace(library, make_shape=make_household_object)
    return simulate_object_scene(rng, CloudConfig(), household, config, RENDERERS[renderer], draw_depth_camera)


_CROWDED = ObjectSceneConfig(held=0.35, hand=0.35, touching=0.7, neighbours_max=3, upright=0.85)
SIMULATORS: Mapping[str, Simulator] = {
    DEFAULT_SIMULATOR: _simulate_table,
    "objects": partial(_simulate_objects, ObjectSceneConfig(), random_depth_camera),
    "crowded_objects": partial(_simulate_objects, _CROWDED, random_depth_camera),
    **{
        f"crowded_objects_{name}": partial(_simulate_objects, _CROWDED, partial(vary_depth_camera, camera))
        for name, camera in DEPTH_CAMERAS.items()
    },
}
"""Simulators by name."""


def find_simulator(name: str) -> Simulator:
    """Return a simulator by name.

    Raises:
        ConfigError: There is no such simulator.
    """
    if name not in SIMULATORS:
        raise ConfigError(f"the simulator must be one of {', '.join(SIMULATORS)}, got {quoted(name)}")
    return SIMULATORS[name]


def check_renderer(name: str) -> None:
    """Check the name of a renderer.

    Raises:
        ConfigError: There is no such renderer.
    """
    if name not in RENDERERS:
        raise ConfigError(f"the renderer must be one of {', '.join(RENDERERS)}, got {quoted(name)}")
