# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub's client in, its files and its faults in our words out."""

from __future__ import annotations

import errno
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.omni.weights.store import KnownModel
from exomni_core.storage.files import sha256_file

_UNWRITABLE: Final = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub describes it: its SHA-256 if it is large, else git's SHA-1 of the blob."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str | None

    def is_at(self, path: Path) -> str | None:
        """The SHA-256 of the file at `path` if that is this one, else None."""
        if not path.is_file() or path.stat().st_size != self.size:
            return None
        if self.sha256 is None and git_sha1(path) != self.git_sha1:
            return None
        found = sha256_file(path)
        return found if self.sha256 in (None, found) else None


def git_sha1(path: Path) -> str:
    """Git's hash of a file's contents, which the hub states for small files."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def remote_file(entry: Any) -> RemoteFile:
    """A file of the hub's answer; its name may not lead out of the model's folder."""
    name = PurePosixPath(entry.rfilename)
    if name.is_absolute() or ".." in name.parts or "\\" in entry.rfilename or not name.parts:
        raise EnvironmentProblem(f"the hub names a file {entry.rfilename!r}; don't use that hub")
    lfs = entry.lfs
    size, sha256 = (lfs.size, lfs.sha256) if lfs else (entry.size, None)
    if size is None or not (sha256 or entry.blob_id):
        raise EnvironmentProblem(
            f"the hub states no size or no hash of {entry.rfilename}, so it can't be checked; "
            "unset HF_ENDPOINT to use the real hub"
        )
    return RemoteFile(entry.rfilename, int(size), sha256, entry.blob_id)


def hub_client() -> Any:
    """The package huggingface_hub; EnvironmentProblem, with the way to get it, if it is missing."""
    try:
        import huggingface_hub
        import huggingface_hub.file_download
        import huggingface_hub.utils
    except ImportError as error:
        raise EnvironmentProblem(
            "downloading models needs huggingface_hub; in this project's folder: "
            "pip install '.[omni]'"
        ) from error
    return huggingface_hub


@contextmanager
def hub_errors(model: KnownModel, folder: Path) -> Iterator[None]:
    """Turn what goes wrong with the hub or the disk into one sentence."""
    from huggingface_hub import errors

    # Releases of the hub's client differ in their network library; its errors have no base in ours.
    libraries = (sys.modules.get(name) for name in ("httpx2", "httpx"))
    network = tuple(library.HTTPError for library in libraries if library is not None)
    go_on = "then run the same command again to resume"
    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise EnvironmentProblem("HF_HUB_OFFLINE is set; unset it to download models") from error
    except errors.GatedRepoError as error:
        raise EnvironmentProblem(
            f"{model.repo} is only given to users who agreed to its terms: do so at "
            f"{model.licence.page}, log in with 'hf auth login', {go_on}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"{model.repo} has no such revision; look at {model.licence.page}", field="revision"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise EnvironmentProblem(
            f"the hub doesn't give out {model.repo}: it was moved, or asks for a login "
            f"('hf auth login'); look at {model.licence.page}"
        ) from error
    except (OSError, ValueError, RuntimeError, *network) as error:
        raise _explained(error, model, folder, go_on) from error


def _explained(error: Exception, model: KnownModel, folder: Path, go_on: str) -> EnvironmentProblem:
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return EnvironmentProblem(f"the disk of {folder} is full; make room, {go_on}")
        if error.errno in _UNWRITABLE:
            return EnvironmentProblem(
                f"{folder} can't be written ({error.strerror}); choose another folder with --models"
            )
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return EnvironmentProblem(
        f"the download of {model.repo} failed ({reason}); check the network, {go_on}"
    )
