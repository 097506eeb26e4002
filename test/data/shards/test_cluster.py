"""Shards made by workers of dask: killed workers, lost schedulers, workers that cannot be used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import psutil
import pytest
from dask_hosts import DaskHosts, dask_hosts
from distributed import Client, LocalCluster
from folder_files import read_files
from two_hosts import LOOPBACK, two_hosts

from clipose_ros.data.shards import cluster
from clipose_ros.data.shards.manifest import MANIFEST
from clipose_ros.data.shards.reader import read_shards
from clipose_ros.data.shards.writer import generate_shards
from clipose_ros.data.synthetic.scene_source import SimulatedScenes
from clipose_ros.errors import ConfigError, DataError

SOURCE = SimulatedScenes(seed=5)
SCENES = 4


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files that one process writes."""
    folder = tmp_path_factory.mktemp("one")
    generate_shards(folder, SOURCE, SCENES, 1, log=lambda line: None)
    return read_files(folder)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[DaskHosts]:
    """Return a scheduler and two workers at two loopback addresses, without a shared memory."""
    (tmp_path / "logs").mkdir()
    with dask_hosts(tmp_path / "logs", LOOPBACK) as started:
        yield started


@pytest.fixture
def thread_address() -> Iterator[str]:
    """Return the address of a scheduler whose worker has two threads of this process."""
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://", host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as started:  # fmt: skip
        yield started.scheduler_address


@pytest.mark.timeout(180)
def test_killed_host_and_foreign_memory_and_lost_scheduler(
    hosts: DaskHosts, tmp_path: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test for all: starting the workers takes longer than the rest."""
    with pytest.raises(DataError, match=r"memory://x does not hold the shard clouds-00000\d.tar that a worker on host"):
        generate_shards("memory://x", SOURCE, 2, 1, hosts.address, log=lambda line: None)
    lines: list[str] = []
    addresses = []

    def kill_busy_worker(line: str) -> None:
        lines.append(line)
        if len(addresses) == 0:
            with Client(hosts.address, set_as_default=False) as client:
                addresses.extend(wait_until_busy(client, "127.0.0.3"))
            hosts.workers[1].kill()

    generate_shards(tmp_path / "shards", SOURCE, SCENES, 1, hosts.address, kill_busy_worker)
    assert addresses, "the killed worker was making a shard"
    assert read_files(tmp_path / "shards") == expected
    assert sorted(line.partition(":")[0] for line in lines) == sorted(expected.keys() - {MANIFEST}), "each is made once"

    monkeypatch.chdir(tmp_path)
    # A link that leads each process to a folder of its own.
    with pytest.raises(
        DataError, match=r"worker tcp://\S+ on host \S+ finds no folder \S+: use a folder that all hosts"
    ):
        generate_shards("/proc/self/cwd/own", SOURCE, 2, 1, hosts.address, log=lambda line: None)

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(
            DataError, match=rf"the scheduler {hosts.address} was lost: start it .* complete shards are kept"
        ),
    ):
        generate_shards(tmp_path / "more", SOURCE, SCENES, 1, hosts.address, lambda line: hosts.scheduler.kill())
    assert read_files(tmp_path / "more").keys() >= {MANIFEST}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_hosts_of_two_namespaces_make_the_same_shards(tmp_path: Path, expected: dict[str, bytes]) -> None:
    with two_hosts("namespaces") as both, dask_hosts(tmp_path, both) as hosts:
        options = ["--seed", "5", "--scenes", str(SCENES), "--scenes-per-shard", "1", "--shards", "shards"]
        command = [*both[0].prefix, sys.executable, "-m", "clipose_ros.cli.generate", *options]
        with subprocess.Popen(
            [*command, "--scheduler", hosts.address], cwd=tmp_path, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if f"{SCENES - 1} scenes to go" in line:
                    hosts.workers[1].kill()
    assert process.returncode == 0 and hosts.workers[1].returncode == -signal.SIGKILL
    assert read_files(tmp_path / "shards") == expected
    names = [line.partition(":")[0] for line in lines if line.startswith("clouds-")]
    assert sorted(names) == sorted(expected.keys() - {MANIFEST})


def wait_until_busy(client: Client, host: str) -> list[str]:
    """Return the address of the worker of a host once it makes a shard."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for address, keys in client.processing().items():
            if host in address and keys:
                return [address]
        time.sleep(0.01)
    raise AssertionError("the worker gets no shard")


@pytest.mark.timeout(180)
def test_workers_of_this_machine_listen_on_loopback_and_are_replaced(
    tmp_path: Path, expected: dict[str, bytes]
) -> None:
    before = listening(psutil.Process())
    own: set[psutil.Process] = set()
    found: list[set[str]] = []

    def inspect_and_kill(line: str) -> None:
        if own:
            return
        own.update(p for p in psutil.Process().children(recursive=True) if listening(p))
        found.append((listening(psutil.Process()) - before).union(*map(listening, own)))
        next(iter(own)).kill()

    generate_shards(tmp_path, SOURCE, SCENES, 1, 2, inspect_and_kill)
    assert len(own) == 2 and {address.rpartition(":")[0] for address in found[0]} == {"127.0.0.1"}
    assert read_files(tmp_path) == expected
    assert not psutil.wait_procs(list(own), timeout=30)[1]


def listening(process: psutil.Process) -> set[str]:
    """Return the addresses at which a process accepts connections."""
    return {f"{c.laddr.ip}:{c.laddr.port}" for c in process.net_connections() if c.status == psutil.CONN_LISTEN}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_interrupt_ends_the_workers_and_tells_how_to_go_on(tmp_path: Path) -> None:
    options = ["--seed", "5", "--shards", str(tmp_path), "--scenes", "90", "--scenes-per-shard", "1", "--workers", "2"]
    command = [sys.executable, "-m", "clipose_ros.cli.generate", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        workers = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=100)
    assert (process.returncode, said) == (
        130, "generate: interrupted; the same command continues after the completed shards\n"
    )  # fmt: skip
    assert len(workers) >= 2 and not psutil.wait_procs(workers, timeout=30)[1]
    assert not list(tmp_path.glob("*.part")) and 0 < len(list(tmp_path.glob("*.tar"))) < 90


def test_workers_with_threads_or_other_versions_are_refused(
    thread_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"worker tcp://127.* has 2 threads: start it with --nthreads 1"):
        generate_shards(tmp_path, SOURCE, 1, 1, thread_address)
    for name in ("clipose_ros", "numpy"):
        versions = cluster.read_versions()
        with monkeypatch.context() as patched:
            patched.setattr(cluster, "read_versions", lambda other=versions | {name: "9.9"}: other)
            with pytest.raises(ConfigError) as caught:
                generate_shards(tmp_path / name, SOURCE, 1, 1, thread_address)
        assert f" has {name} {versions[name]}, this command 9.9: install the same version" in str(caught.value)
        assert str(caught.value).startswith("worker tcp://127.0.0.1:")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "tls://127.0.0.1:1", "host:port", ""])
def test_scheduler_that_does_not_answer_is_named(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "TIMEOUT_S", 0.3)
    with pytest.raises(ConfigError) as caught:
        generate_shards(tmp_path, SOURCE, 1, 1, address)
    message = str(caught.value)
    assert message.startswith(f"no scheduler of dask answers at '{address}' (") and "\n" not in message


def test_finished_folder_needs_no_worker(tmp_path: Path) -> None:
    generate_shards(tmp_path, SOURCE, 1, 1, log=lambda line: None)
    assert generate_shards(tmp_path, SOURCE, 1, 1, "tcp://127.0.0.1:1", log=lambda line: None).missing_scenes == 0
    assert len(read_shards(tmp_path))


def test_commands_without_workers_do_not_load_dask() -> None:
    program = (
        "import sys; from clipose_ros.cli import generate, train; from clipose_ros.data.shards import writer; "
        "print(*sorted({'dask', 'distributed'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
