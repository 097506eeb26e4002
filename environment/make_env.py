"""Make the Python environment of this package; ``make`` calls this before each target.

Without a ROS 2 distribution, ROS 2 Kilted comes as Python wheels, and what those lack from ../underlay. Where a
distribution is sourced, its own packages are used and none is put in their place. A second call finds the environment
as it should be and returns.

Standard library only, and old syntax: any ``python3`` must get far enough to say what is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNDERLAY = HERE.parent / "underlay"
WHEEL_PYTHONS = ("3.12", "3.11", "3.13")
"""CPython versions that the ROS 2 wheels and NumPy are built for, the likeliest first."""
DOWNLOAD = "about 3.5 GB, of which the CUDA libraries that torch asks for are 2.5 GB"
DISK_GB = 9
DISTRIBUTION_PACKAGES = (
    *(
        "cv_bridge",
        "diagnostic_msgs",
        "geometry_msgs",
        "message_filters",
        "rclpy",
        "sensor_msgs",
        "std_msgs",
        "std_srvs",
    ),
    *("tf2_msgs", "tf2_ros", "tf_transformations", "vision_msgs", "visualization_msgs"),
)
MODULE_PACKAGES = {"tf2_ros": "tf2_ros_py"}
"""Packages that are not named like the module they bring: the package tf2_ros is the C++ one."""
PROBE = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"


def capture(*command):
    """Return the output of ``command``; None if it fails or does not exist."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode().strip()


def version_of(python):
    """Return the version of ``python``, such as ``3.12``; None if it cannot be run."""
    return capture(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")


def missing_modules(python, names):
    """Return those of ``names`` that ``python`` cannot import."""
    found = capture(python, "-c", PROBE, *names)
    return list(names) if found is None else found.split()


def sourced_distribution():
    """Return the name of the ROS 2 distribution that is sourced and has rclpy, or None."""
    name = os.environ.get("ROS_DISTRO", "")
    if not os.environ.get("AMENT_PREFIX_PATH") or not name:
        return None
    return None if missing_modules("python3", ["rclpy"]) else name


def choose_python(wanted, distribution):
    """Return the interpreter to build on.

    Raises:
        SystemExit: There is none that fits.
    """
    if distribution and not wanted:
        return "python3"
    candidates = [wanted] if wanted else ["python3"] + ["python" + version for version in WHEEL_PYTHONS]
    for python in candidates:
        if distribution or version_of(python) in WHEEL_PYTHONS:
            return python
    raise SystemExit(
        "environment: expected CPython %s (what the ROS 2 wheels are built for), got %s.\n"
        "Install one (sudo apt-get install python3 python3-venv python3-dev) or name it by PYTHON="
        % (" or ".join(sorted(WHEEL_PYTHONS)), ", ".join("%s = %s" % (each, version_of(each)) for each in candidates))
    )


def missing_system_packages(python, distribution):
    """Return the Debian packages without which the environment cannot be made."""
    default = version_of(python) == version_of("/usr/bin/python3")
    prefix = "python3" if default else "python" + (version_of(python) or "3")
    missing = [prefix + "-venv"] if missing_modules(python, ["venv", "ensurepip"]) else []
    if not distribution:  # messages are generated and compiled
        missing += [
            package
            for tool, package in (("g++", "g++"), ("cmake", "cmake"), ("make", "make"))
            if not shutil.which(tool)
        ]
        include = capture(python, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])")
        if not Path(include or "/nowhere", "Python.h").is_file():
            missing.append(prefix + "-dev")
    return missing


def check_distribution(distribution):
    """Stop with a message if the distribution lacks a package.

    Raises:
        SystemExit: One is missing.
    """
    missing = missing_modules("python3", DISTRIBUTION_PACKAGES)
    if missing:
        packages = (MODULE_PACKAGES.get(name, name) for name in missing)
        names = " ".join("ros-%s-%s" % (distribution, package.replace("_", "-")) for package in packages)
        raise SystemExit(
            "environment: ROS 2 %s is sourced, but %s cannot be imported. Install what is missing:\n"
            "    sudo apt-get install %s" % (distribution, ", ".join(missing), names)
        )


def key_of(python, distribution):
    """Return a digest that changes whenever the environment would be made differently."""
    digest = hashlib.sha256(repr((version_of(python), distribution)).encode())
    sources = [path for path in UNDERLAY.rglob("*") if path.suffix in (".py", ".msg", ".txt", ".xml", ".toml")]
    for path in sorted([*HERE.glob("*.txt"), Path(__file__), *sources]):
        digest.update(str(path.relative_to(HERE.parent)).encode() + path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def locked(venv):
    """Lock ``venv``: one process at a time works on it, others wait."""
    venv.parent.mkdir(parents=True, exist_ok=True)
    with open(str(venv) + ".lock", "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("environment: another process is working on %s, waiting for it" % venv, flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def step(title, *command):
    """Print a title and run a command; stop if it fails.

    Raises:
        SystemExit: The command failed.
    """
    print("\n== %s" % title, flush=True)
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise SystemExit(
            "environment: '%s' failed (status %d); its output is above. Running make again goes on from here."
            % (" ".join(shlex.quote(str(part)) for part in command), status)
        )


def create_venv(python, venv, distribution):
    """Create an empty virtual environment, unless a working one of that Python exists.

    Raises:
        SystemExit: ``venv`` is a folder of something else.
    """
    inside = str(venv / "bin" / "python")
    if version_of(inside) == version_of(python) and capture(inside, "-m", "pip", "--version"):
        return
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").is_file():
        raise SystemExit(
            "environment: expected a virtual environment or nothing at %s, got another folder; name a new one by VENV="
            % venv
        )
    options = ["--system-site-packages"] if distribution else []
    step("Virtual environment in %s" % venv, python, "-m", "venv", "--clear", *options, str(venv))


def install(venv, distribution, pip_args):
    """Install everything into ``venv``."""
    inside = str(venv / "bin" / "python")
    pip = [inside, "-m", "pip", "install", "--disable-pip-version-check", *pip_args]
    numpy1 = (
        (capture("python3", "-c", "import numpy; print(numpy.__version__)") or "1") < "2" if distribution else False
    )
    pins = ["-c", str(HERE / ("constraints-numpy1.txt" if numpy1 else "constraints.txt"))]
    files = ["requirements.txt", "requirements-dev.txt"] + ([] if distribution else ["requirements-ros.txt"])
    wanted = [option for name in files for option in ("-r", str(HERE / name))]
    step("pip", *pip, *pins, "pip", "setuptools<80", "wheel")
    step("Python packages", *pip, *pins, *wanted)
    step("ultralytics, without opencv-python", *pip, *pins, "--no-deps", "-r", str(HERE / "requirements-no-deps.txt"))
    if not distribution:
        step("ROS packages that have no wheels", inside, str(UNDERLAY / "install.py"))


def announce(python, venv, distribution):
    """Print what will be done; stop if the disk is too small.

    Raises:
        SystemExit: Too little space.
    """
    ros = "ROS 2 %s as sourced" % distribution if distribution else "ROS 2 Kilted as Python wheels"
    print("environment: making %s on CPython %s with %s." % (venv, version_of(python), ros))
    print("It downloads %s (less with a CPU-only torch: see docs/install.md)" % DOWNLOAD)
    print("and needs %d GB of disk, 7 GB of them for good. Interrupting is safe: make goes on from there." % DISK_GB)
    sys.stdout.flush()
    free = shutil.disk_usage(str(venv.parent)).free / 1e9
    if free < DISK_GB and not (venv / "pyvenv.cfg").is_file():
        raise SystemExit(
            "environment: expected %d GB free at %s, got %.1f GB; put it elsewhere by VENV="
            % (DISK_GB, venv.parent, free)
        )


def main():
    """Make the environment unless it exists."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--venv", type=Path, required=True, help="folder of the virtual environment")
    parser.add_argument("--python", default="", help="interpreter to build on (default: the first that fits)")
    parser.add_argument("--pip-args", default="", help="options handed to 'pip install'")
    arguments = parser.parse_args()
    venv = Path(os.path.abspath(str(arguments.venv)))
    distribution = sourced_distribution()
    python = choose_python(arguments.python, distribution)
    key, stamp = key_of(python, distribution), venv / "clipose-environment"
    with locked(venv):
        if stamp.is_file() and stamp.read_text() == key:
            return
        missing = missing_system_packages(python, distribution)
        if missing:
            raise SystemExit(
                "environment: system packages are missing. Install them:\n    sudo apt-get install " + " ".join(missing)
            )
        if distribution:
            check_distribution(distribution)
        announce(python, venv, distribution)
        if stamp.is_file():
            stamp.unlink()
        create_venv(python, venv, distribution)
        install(venv, distribution, shlex.split(arguments.pip_args))
        stamp.write_text(key)
        print("\nenvironment: ready in %s" % venv)


if __name__ == "__main__":
    main()
