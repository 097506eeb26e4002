"""Shards made by the workers of dask.distributed, on this machine or on others.

A worker that is lost while it makes a shard costs that shard's time only: dask gives the shard to another worker, whose
bytes are the same. The calling process alone keeps the list of the shards.
"""

from __future__ import annotations

import importlib.metadata
import logging
import pkgutil
import platform
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from clipose_ros.data.shards.jobs import VERSIONED_PACKAGES, ShardJob, read_versions, write_shard
from clipose_ros.data.shards.manifest import Shard
from clipose_ros.data.shards.sources import SceneSource
from clipose_ros.data.shards.stores import FileContent, find_size, is_intact
from clipose_ros.data.shards.urls import local_folder
from clipose_ros.errors import CliposeError, ConfigError, DataError, quoted

if TYPE_CHECKING:  # commands that need no cluster do not load dask
    from distributed import Client

TIMEOUT_S = 10.0
"""Longest time to wait for the answer of a scheduler, seconds."""


_SHARED = "use a folder that all hosts share, or a store such as s3://bucket/train"


class _Made(NamedTuple):
    """A shard, and the host of the worker that wrote it."""

    shard: Shard
    host: str


def make_shards(
    workers: int | str, source: SceneSource, jobs: Sequence[ShardJob], log: Callable[[str], None]
) -> Generator[Shard, None, None]:
    """Make shards by workers of dask and yield each when it is written, in any order.

    Args:
        workers: Number of worker processes on this machine, or the address of a running scheduler.
        source: Source of the clouds; it is sent to each worker once.
        jobs: The shards.
        log: Called with one line if the workers have to be waited for.

    Raises:
        ConfigError: The scheduler does not answer, or a worker has other versions or several threads.
        DataError: A shard cannot be made, its workers were killed repeatedly, or the scheduler was lost.
    """
    from distributed import KilledWorker, as_completed

    address = workers if isinstance(workers, str) else None
    try:
        with _connect(workers) as client:
            versions = read_versions()
            if address is not None:
                _check_workers(client, address, versions, log)
            # A task of its own: dask sends its result to each worker once and makes it again if that is lost.
            sent = client.submit(_identity, source, pure=False)
            futures = client.map(
                _make_shard, jobs, source=sent, versions=versions, is_remote=address is not None, pure=False
            )
            for future in as_completed(futures, loop=client.loop):
                made = future.result()
                _require_visible(jobs[0].target, made)
                yield made.shard
    except KilledWorker as error:
        raise DataError(
            f"{error.allowed_failures + 1} workers were killed while they made the same shard, perhaps for lack of "
            "memory: use fewer workers on each machine, then run the same command again; complete shards are kept"
        ) from error
    except CancelledError as error:
        raise DataError(
            f"the scheduler {address or 'of this machine'} was lost: start it and its workers, then run the same "
            "command again; complete shards are kept"
        ) from error


@contextmanager
def _connect(workers: int | str) -> Iterator[Client]:
    """Start workers on this machine, or connect to a scheduler."""
    from distributed import Client, LocalCluster

    with ExitStack() as opened:
        opened.enter_context(_quiet())
        if isinstance(workers, str):
            try:
                _check_address(workers)
                client = Client(workers, timeout=TIMEOUT_S, set_as_default=False)
            except (OSError, ValueError, TypeError, RuntimeError) as error:
                reason = quoted(" ".join(str(error).split()))
                raise ConfigError(
                    f"no scheduler of dask answers at {quoted(workers)} ({reason}): start `dask scheduler` there, or "
                    "check address, certificates and firewall"
                ) from error
            yield opened.enter_context(client)
            return
        cluster = opened.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                memory_limit=0,
                preload=[__name__],
                scheduler_kwargs={"dashboard": False},
            )
        )
        yield opened.enter_context(Client(cluster, set_as_default=False))


def _check_address(address: str) -> None:
    """Raise an exception if an address is malformed, unknown, or of TLS without certificates."""
    # A client that is not created as a whole would go on trying in its own thread.
    from distributed.comm.addressing import resolve_address
    from distributed.security import Security

    resolve_address(address)
    if address.startswith("tls://") and Security().get_connection_args("client")["ssl_context"] is None:
        raise ValueError("no certificates are set in distributed.comm.tls of dask's configuration")


def dask_setup(_: object) -> None:
    """Prepare a worker process of this machine; dask calls this function by its name."""
    # Ctrl-C reaches the whole process group. The command ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _silence()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log of dask, which repeats each error of a worker, out of the terminal."""
    levels = _silence()
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _silence() -> dict[str, int]:
    """Silence the log of dask; return the earlier level of each logger."""
    # dask gives each of its loggers a level and a handler.
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return levels


def _check_workers(client: Client, address: str, versions: Mapping[str, str], log: Callable[[str], None]) -> None:
    """Wait for a worker, and raise ``ConfigError`` if one of those present makes other shards than this process."""
    if not client.nthreads():
        log(f"waiting for workers: start them with `dask worker {address} --nthreads 1`")
        client.wait_for_workers(1)
    # Functions of the standard library alone: a worker may have another version of this package, or none.
    found = {
        "clipose_ros": client.run(pkgutil.resolve_name, "clipose_ros:__version__", on_error="return"),
        **{name: client.run(importlib.metadata.version, name, on_error="return") for name in VERSIONED_PACKAGES},
    }
    for name, by_worker in found.items():
        for worker, version in by_worker.items():
            _check_version(worker, name, "none" if isinstance(version, Exception) else version, versions)
    for worker, threads in client.nthreads().items():
        _check_threads(worker, threads)


def _check_version(worker: str, name: str, version: object, versions: Mapping[str, str]) -> None:
    """Raise ``ConfigError`` if a worker has another version of a package than this command."""
    if version != versions[name]:
        raise ConfigError(
            f"worker {worker} has {name} {version!s:.80}, this command {versions[name]}: install the same version"
        )


def _check_threads(worker: str, threads: int) -> None:
    """Raise ``ConfigError`` if a worker would make several shards in one process."""
    if threads != 1:
        raise ConfigError(f"worker {worker} has {threads} threads: start it with --nthreads 1, and one worker a core")


def _identity(source: SceneSource) -> SceneSource:
    """Return the source; its task holds it in the memory of the workers."""
    return source


def _make_shard(job: ShardJob, source: SceneSource, versions: Mapping[str, str], is_remote: bool) -> _Made:
    """Make a shard in a worker."""
    from distributed import get_worker

    host = platform.node()
    if not is_remote:
        return _Made(write_shard(source, job), host)
    worker = get_worker()
    # Workers may join at any time.
    for name, version in read_versions().items():
        _check_version(worker.address, name, version, versions)
    _check_threads(worker.address, worker.state.nthreads)
    folder = local_folder(job.target)
    if folder is not None and not folder.is_dir():
        raise DataError(f"worker {worker.address} on host {host} finds no folder {job.target}: {_SHARED}")
    try:
        return _Made(write_shard(source, job), host)
    except (CliposeError, OSError) as error:
        raise DataError(f"worker {worker.address} on host {host}: {error}") from error


def _require_visible(target: str, made: _Made) -> None:
    """Raise ``DataError`` if this process does not find a shard that a worker wrote."""
    shard = made.shard
    if local_folder(target) is None:
        # A store is the same for all; reading each shard would send all of them to this machine.
        is_visible = find_size(target, shard.name) == shard.size
    else:
        is_visible = is_intact(target, shard.name, FileContent(shard.size, shard.sha256))
    if not is_visible:
        raise DataError(
            f"{target} does not hold the shard {shard.name} that a worker on host {made.host} wrote: {_SHARED}"
        )
