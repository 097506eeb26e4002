"""Models of the Hugging Face Hub: download, pinning and upload against a stand-in server on loopback."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.hub import main
from clipose_ros.errors import CheckpointError
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.hub import CARD_FILE, MODEL_FILE, HubName, download_model, push_model, resolve_model
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.resources import model_path

constants = pytest.importorskip("huggingface_hub.constants")
TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))
NAME = "someone/tiny"


class Hub(ThreadingHTTPServer):
    """Stand-in for the hub: repositories are lists of commits, each a mapping of file names to contents."""

    daemon_threads = True

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.requests: list[str] = []
        self.created: list[dict[str, object]] = []
        self.stated_size: int | None = None
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repository: str, **files: bytes) -> str:
        commits = self.repositories.setdefault(repository, {})
        oid = hashlib.sha1(f"{repository} {len(commits)}".encode()).hexdigest()
        commits[oid] = {name.replace("__", "."): content for name, content in files.items()}
        return oid

    def downloads(self) -> list[str]:
        return [line for line in self.requests if line.startswith("GET") and "/resolve/" in line]


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._resolve(with_body=False)

    def do_GET(self) -> None:
        self._resolve(with_body=True)

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            self.server.created.append(asked)
            self.server.repositories.setdefault(f"someone/{asked['name']}", {})
            self._json({"url": f"{self.server.url}/someone/{asked['name']}"})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        else:
            values = [json.loads(line) for line in body.splitlines()]
            files = {v["value"]["path"]: base64.b64decode(v["value"]["content"]) for v in values if v["key"] == "file"}
            oid = self.server.commit(self.path.split("/api/models/")[1].split("/commit/")[0], **files)
            self._json({"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{NAME}/commit/{oid}"})

    def _resolve(self, with_body: bool) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        commits = self.server.repositories.get(repository)
        if commits is None:
            return self._refuse("RepoNotFound")
        oid = next(reversed(commits), "") if revision == "main" else revision
        if oid not in commits:
            return self._refuse("RevisionNotFound")
        if file not in commits[oid]:
            return self._refuse("EntryNotFound")
        content = commits[oid][file]
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", oid)
        stated = self.server.stated_size if self.server.stated_size and not with_body else len(content)
        self.send_header("Content-Length", str(stated))
        self.end_headers()
        if with_body:
            self.wfile.write(content)
        return None

    def _refuse(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    torch.manual_seed(3)
    save_checkpoint(path, CLIPoseNet(TINY, NOCS_CATEGORIES))
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    # What HF_ENDPOINT and HF_HOME set in a process that starts with them.
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_stand_in")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_model_is_downloaded_once_after_a_line_that_says_what(hub: Hub, tiny: Path, capsys) -> None:
    commit = hub.commit(NAME, model__safetensors=tiny.read_bytes())
    first, second = Predictor.load(f"hf:{NAME}", device="cpu"), Predictor.load(f"hf:{NAME}", device="cpu")
    assert first.categories == second.categories == NOCS_CATEGORIES
    assert len(hub.downloads()) == 1, "the second time it is in the cache"
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("downloading")]
    assert len(said) == 1
    for part in (MODEL_FILE, NAME, commit, hub.url, f"{tiny.stat().st_size / 1e6:.1f} MB", "cache"):
        assert part in said[0]


def test_pinned_model_stays_and_needs_no_network_once_cached(hub: Hub, tiny: Path) -> None:
    old = hub.commit(NAME, model__safetensors=tiny.read_bytes())
    hub.commit(NAME, model__safetensors=b"a later one")
    path = download_model(HubName(NAME, old), lambda line: None)
    assert path.read_bytes() == tiny.read_bytes()
    asked = len(hub.requests)
    assert resolve_model(f"hf:{NAME}@{old}") == str(path) and len(hub.requests) == asked
    assert download_model(HubName(NAME), lambda line: None).read_bytes() == b"a later one"


@pytest.mark.parametrize("content", [b"", b"rubbish" * 100, b"\xff" * 64, b"cut"])
def test_hostile_file_of_the_hub_is_refused_like_any_other(hub: Hub, tiny: Path, content: bytes) -> None:
    hub.commit(NAME, model__safetensors=tiny.read_bytes()[:-5] if content == b"cut" else content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors' cannot be read .*corrupt"):
        Predictor.load(f"hf:{NAME}", device="cpu")


def test_file_that_is_too_large_is_not_transferred(hub: Hub, tiny: Path) -> None:
    hub.commit(NAME, model__safetensors=tiny.read_bytes())
    hub.stated_size = 1 << 40
    with pytest.raises(CheckpointError, match=f"has {1 << 40} bytes"):
        download_model(HubName(NAME), lambda line: None)
    assert not hub.downloads()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nobody/tiny", "compare owner and name"),
        (f"{NAME}@{'0' * 40}", "compare the revision"),
        (f"{NAME}@nowhere", "compare the revision"),
        ("someone/empty", "needs a file model.safetensors"),
    ],
)
def test_missing_models_are_one_line_with_the_remedy(hub: Hub, tiny: Path, name: str, expected: str) -> None:
    hub.commit(NAME, model__safetensors=tiny.read_bytes())
    hub.commit("someone/empty", other__txt=b"")
    with pytest.raises(CheckpointError) as caught:
        resolve_model(f"hf:{name}")
    assert expected in str(caught.value) and f"hf:{name}" in str(caught.value) and "\n" not in str(caught.value)


def test_silent_host_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = "http://127.0.0.1:9"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(hub.url, silent)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", silent)
    with pytest.raises(CheckpointError, match=r"http://127\.0\.0\.1:9.*HF_ENDPOINT"):
        resolve_model(f"hf:{NAME}")


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match="pip install huggingface_hub"):
        resolve_model(f"hf:{NAME}")


def test_pushed_model_comes_back_by_its_pinned_name(hub: Hub, tiny: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    pinned = push_model(tiny, HubName(NAME), card)
    assert Path(resolve_model(pinned)).read_bytes() == tiny.read_bytes()
    (files,) = hub.repositories[NAME].values()
    assert set(files) == {MODEL_FILE, CARD_FILE} and files[CARD_FILE] == card.read_bytes()
    assert hub.created[0].get("private", hub.created[0].get("visibility")) in (True, "private")


def test_what_is_no_checkpoint_is_not_uploaded(hub: Hub, tmp_path: Path) -> None:
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes(b"not a model")
    with pytest.raises(CheckpointError):
        push_model(secret, HubName(NAME))
    assert not hub.requests


@given(st.text(max_size=40))
def test_other_names_are_refused_or_mean_what_they_say(text: str) -> None:
    try:
        name = HubName.parse(f"hf:{text}")
    except CheckpointError:
        return
    assert str(name) == f"hf:{text}" and name.repository.count("/") == 1 and ".." not in text


@pytest.mark.parametrize("text", ["hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b@", "hf:a/b@../c", "hf:-a/b"])
def test_wrong_names_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="expected hf:owner/name"):
        resolve_model(text)


@pytest.mark.parametrize("name", ["hf:someone/tiny", "hf:someone/tiny.v2", "hf:someone/tiny@main"])
def test_what_is_no_request_downloads_nothing(name: str) -> None:
    with pytest.raises(CheckpointError, match=f"hub download {name} --out"):
        model_path(name)
    with pytest.raises(CheckpointError, match="only pose models"):
        model_path(name, ".pt")


def test_command_downloads_and_pushes(hub: Hub, tiny: Path, tmp_path: Path, capsys) -> None:
    assert main(["push", str(tiny), f"hf:{NAME}", "--public"]) == 0
    pinned, out = capsys.readouterr().out.strip(), tmp_path / "copy.safetensors"
    assert main(["download", f"hf:{NAME}", "--out", str(out)]) == 0
    assert pinned in capsys.readouterr().out and out.read_bytes() == tiny.read_bytes()
    assert hub.created[0].get("private", hub.created[0].get("visibility")) in (False, "public")


def test_command_reports_in_one_line(hub: Hub, tmp_path: Path, capsys) -> None:
    assert main(["download", "hf:nobody/nothing", "--out", str(tmp_path / "x.safetensors")]) == 1
    assert main(["download", "clipose_small", "--out", str(tmp_path / "x.safetensors")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("hub: ") for line in lines)
    assert not (tmp_path / "x.safetensors").exists()
