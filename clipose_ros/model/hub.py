"""Models of the Hugging Face Hub: ``hf:owner/name`` or, pinned, ``hf:owner/name@revision``.

Nothing is downloaded unless a caller passes such a name to ``resolve_model`` or ``download_model``. The file is then
read with the checks of every other checkpoint.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from clipose_ros.errors import CheckpointError, one_line, quoted
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.safetensors_header import MAX_FILE_BYTES
from clipose_ros.resources import HUB_PREFIX

MODEL_FILE = "model.safetensors"
"""Name of the checkpoint in a repository of the hub."""
CARD_FILE = "README.md"
"""Name of the model card in a repository of the hub."""
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}"
_NAME = re.compile(
    rf"{HUB_PREFIX}(?P<repository>{_PART}/{_PART})(?:@(?P<revision>[A-Za-z0-9_][A-Za-z0-9_./-]{{0,127}}))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubName:
    """Name of a model of the hub.

    Attributes:
        repository: Repository, ``owner/name``.
        revision: Branch, tag or commit; empty for the newest commit of the default branch.
    """

    repository: str
    revision: str = ""

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Parse ``hf:owner/name`` or ``hf:owner/name@revision``.

        Raises:
            CheckpointError: The text has another form.
        """
        found = _NAME.fullmatch(text)
        if found is None or ".." in text:
            raise CheckpointError(
                f"{quoted(text)} is no model of the hub: expected {HUB_PREFIX}owner/name or "
                f"{HUB_PREFIX}owner/name@revision"
            )
        return cls(found["repository"], found["revision"] or "")

    def __str__(self) -> str:
        return f"{HUB_PREFIX}{self.repository}{'@' if self.revision else ''}{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Return True if the revision is a commit, whose files never change."""
        return _COMMIT.fullmatch(self.revision) is not None


def resolve_model(model: str) -> str:
    """Return the path of a model of the hub, downloaded after a line on standard error; other texts are unchanged.

    Args:
        model: ``hf:owner/name[@revision]``, the name of a shipped model, or the path of a file.

    Raises:
        CheckpointError: The hub has no such model, or it cannot be downloaded.
    """
    if not model.startswith(HUB_PREFIX):
        return model
    return str(download_model(HubName.parse(model), lambda line: print(line, file=sys.stderr, flush=True)))


def download_model(name: HubName, report: Callable[[str], None]) -> Path:
    """Download the checkpoint of a repository into the cache of huggingface_hub, unless the cache has it.

    Args:
        name: Model; a pinned one that is in the cache is found without a network.
        report: Called before the transfer with a line that names file, commit, host, size and cache.

    Returns:
        The file in the cache, which is not checked yet: ``load_checkpoint`` does that.

    Raises:
        CheckpointError: huggingface_hub is not installed, the hub has no such file or cannot be reached, or the file is
            larger than a checkpoint may be.
    """
    hub = _import_hub(name)
    endpoint = hub.constants.ENDPOINT
    with _hub_errors(name, "cannot be downloaded"):
        if name.is_pinned and (cached := _cached(hub, name.repository, name.revision)) is not None:
            return cached
        url = hub.hf_hub_url(name.repository, MODEL_FILE, revision=name.revision or None, endpoint=endpoint)
        found = hub.get_hf_file_metadata(url, endpoint=endpoint)
        if found.size is None or found.size > MAX_FILE_BYTES:
            raise CheckpointError(
                f"model '{name}' has {found.size} bytes at {url}, expected at most {MAX_FILE_BYTES}: it is no pose "
                "model of this package"
            )
        cached = _cached(hub, name.repository, found.commit_hash)
        if cached is not None:
            return cached
        report(
            f"downloading {MODEL_FILE} ({found.size / 1e6:.1f} MB) of {name.repository} at commit {found.commit_hash} "
            f"from {endpoint} to {hub.constants.HF_HUB_CACHE}"
        )
        # By its commit: the file is the one that was reported, whatever is pushed meanwhile.
        return Path(hub.hf_hub_download(name.repository, MODEL_FILE, revision=found.commit_hash, endpoint=endpoint))


def push_model(path: Path, name: HubName, card: Path | None = None, public: bool = False) -> str:
    """Upload a checkpoint, and its card, as one commit; a missing repository is created.

    Args:
        path: Checkpoint, which is loaded first: nothing else is uploaded.
        name: Repository; a revision is a branch that exists.
        card: Model card, uploaded as ``README.md``; None leaves the card of the repository as it is.
        public: Create a missing repository as a public one, not as a private one.

    Returns:
        The name of the model pinned to the new commit.

    Raises:
        CheckpointError: The file is no checkpoint, or the hub refuses it or cannot be reached.
        OSError: The card cannot be read.
    """
    load_checkpoint(path)
    files = {MODEL_FILE: path.read_bytes()} | ({CARD_FILE: card.read_bytes()} if card is not None else {})
    hub = _import_hub(name)
    with _hub_errors(name, "cannot be uploaded"):
        api = hub.HfApi(endpoint=hub.constants.ENDPOINT)
        api.create_repo(name.repository, private=not public, exist_ok=True)
        operations = [hub.CommitOperationAdd(file, content) for file, content in files.items()]
        commit = api.create_commit(
            name.repository, operations, commit_message=f"Upload {path.name}", revision=name.revision or None
        )
    return str(HubName(name.repository, commit.oid))


def _import_hub(name: HubName) -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise CheckpointError(
            f"'{name}' needs huggingface_hub, which cannot be imported ({error}): pip install huggingface_hub"
        ) from error
    return huggingface_hub


def _cached(hub: ModuleType, repository: str, commit: str | None) -> Path | None:
    found = hub.try_to_load_from_cache(repository, MODEL_FILE, revision=commit)
    return Path(found) if isinstance(found, str) else None


@contextlib.contextmanager
def _hub_errors(name: HubName, failure: str) -> Iterator[None]:
    """Raise ``CheckpointError`` for all that goes wrong with the hub, which has no common base class for it."""
    from huggingface_hub import constants, errors

    remedies = {
        errors.GatedRepoError: "accept its terms on its page, then log in with `hf auth login`",
        errors.RepositoryNotFoundError: "compare owner and name; for a private one log in with `hf auth login`",
        errors.RevisionNotFoundError: "compare the revision after @",
        errors.EntryNotFoundError: f"the repository needs a file {MODEL_FILE}",
        errors.OfflineModeIsEnabled: "unset HF_HUB_OFFLINE, or pin a commit that is in the cache",
    }
    try:
        yield
    except (errors.HfHubHTTPError, errors.HTTPError, OSError, ValueError) as error:
        remedy = next((text for kind, text in remedies.items() if isinstance(error, kind)), "")
        reason = one_line(str(error).strip().partition("\n")[0])[:300]
        raise CheckpointError(
            f"model '{name}' {failure} ({constants.ENDPOINT}): {type(error).__name__}: {reason}: "
            + (remedy or "check the connection, HF_ENDPOINT and the space on the disk")
        ) from error
