# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's name in -> its files on this machine, each with the hash that the hub states.

Complete files are not downloaded again, and a stopped pull resumes at the same byte.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.omni.weights.licence import Consent, require_consent, utc_now
from exomni_core.omni.weights.receipts import Receipt, files_in, read_receipt, write_receipt
from exomni_core.omni.weights.store import PARTIAL, KnownModel, is_tiny
from exomni_core.storage.files import sha256_file

_TIMEOUT_S: Final = 30.0
_SPARE_BYTES: Final = 100_000_000
_BAR_FROM: Final = 10_000_000  # bytes; a bar for less is noise
_UNWRITABLE: Final = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)

StepKind = Literal["check", "fetch", "keep"]


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


@dataclass(frozen=True)
class Plan:
    """The files of one revision that a pull will complete in `folder`."""

    model: KnownModel
    folder: Path
    revision: str
    files: tuple[RemoteFile, ...]
    consent: Consent | None
    endpoint: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Step:
    """What is being done now: check, fetch or keep the file `number` (from 1) of `total`."""

    kind: StepKind
    number: int
    total: int
    file: RemoteFile


@dataclass(frozen=True)
class Pulled:
    """The result of a pull: names of downloaded files and of files that were complete before.

    extra: other weights in the folder; loaders would read them too.
    """

    plan: Plan
    fetched: tuple[str, ...]
    kept: tuple[str, ...]
    extra: tuple[str, ...] = ()


def plan_pull(
    model: KnownModel, models: Path, revision: str | None = None, endpoint: str | None = None
) -> Plan:
    """Ask the hub which files to get, and check that the licence is accepted and the disk has room.

    revision: a branch, tag or commit of the release, by default the newest. endpoint: another hub.
    Raises InputError without a recorded consent, EnvironmentProblem if the hub can't be asked or
    the disk is too full.
    """
    consent = require_consent(model.licence, models)
    if is_tiny(models / model.name):
        raise InputError(
            f"{models / model.name} holds a tiny random model; choose another folder with --models"
        )
    hub = _hub()
    with _hub_errors(model, models):
        info = hub.HfApi(endpoint=endpoint).model_info(
            model.repo, revision=revision, files_metadata=True, timeout=_TIMEOUT_S
        )
    wanted = (_remote_file(entry) for entry in info.siblings or () if model.wants(entry.rfilename))
    # Small ones first: with the index there, a stopped pull is known to be incomplete.
    files = tuple(sorted(wanted, key=lambda file: file.size))
    if not files or not info.sha:
        raise EnvironmentProblem(
            f"{model.repo} holds none of the files {', '.join(model.needed)} at "
            f"{revision or 'its newest revision'}; look at {model.licence.page}"
        )
    plan = Plan(model, models / model.name, info.sha, files, consent, endpoint)
    _check_room(plan)
    return plan


def pull(
    plan: Plan, report: Callable[[Step], None] = lambda _: None, *, bars: bool = False
) -> Pulled:
    """Complete all files of `plan`, then write the receipt.

    report: called at each step. bars: draw progress bars of large files on a terminal. Raises
    EnvironmentProblem for a hub that can't be reached or sends something else than it states; what
    was downloaded stays, and the next pull resumes there.
    """
    with _alone_in(plan):
        done = _make_whole(plan, report, bars=bars)
    shutil.rmtree(plan.folder / PARTIAL, ignore_errors=True)
    return done


def _make_whole(plan: Plan, report: Callable[[Step], None], *, bars: bool) -> Pulled:
    old = _old_files(plan.folder)
    fetched: list[str] = []
    receipt: dict[str, tuple[int, str]] = {}
    for number, file in enumerate(plan.files, 1):
        path = plan.folder / file.name
        if path.is_file():
            report(Step("check", number, len(plan.files), file))
        with _hub_errors(plan.model, plan.folder):
            sha256 = file.is_at(path)
        report(Step("keep" if sha256 else "fetch", number, len(plan.files), file))
        if sha256 is None:
            sha256 = _fetch(plan, file, bar=bars and file.size >= _BAR_FROM)
            fetched.append(file.name)
        receipt[file.name] = (file.size, sha256)
    for name in old - receipt.keys():  # an older revision's shards would be loaded with the new
        (plan.folder / name).unlink(missing_ok=True)
    consent = asdict(plan.consent) if plan.consent else None
    done = Receipt(plan.model.repo, plan.revision, utc_now(), receipt, consent)
    write_receipt(plan.folder, done)
    return Pulled(
        plan,
        fetched=tuple(fetched),
        kept=tuple(name for name in receipt if name not in fetched),
        extra=tuple(name for name in files_in(plan.folder) if _is_extra(name, receipt)),
    )


def _is_extra(name: str, receipt: Mapping[str, object]) -> bool:
    return name.endswith(".safetensors") and name not in receipt


def _fetch(plan: Plan, file: RemoteFile, *, bar: bool) -> str:
    """Download one file and return its SHA-256; only what was checked gets its name.

    hf_hub_download would throw away what it has when it is stopped; a shard is gigabytes.
    """
    hub = _hub()
    (hub.utils.enable_progress_bars if bar else hub.utils.disable_progress_bars)()
    path = plan.folder / file.name
    part = plan.folder / PARTIAL / f"{file.sha256 or file.git_sha1}.part"
    for _ in range(2):
        with _hub_errors(plan.model, plan.folder):
            if part.exists() and part.stat().st_size > file.size:
                part.unlink()
            with open(part, "ab") as handle:
                hub.file_download.http_get(
                    hub.hf_hub_url(
                        plan.model.repo, file.name, revision=plan.revision, endpoint=plan.endpoint
                    ),
                    handle,
                    resume_size=handle.tell(),
                    headers=hub.utils.build_hf_headers(),
                    expected_size=file.size,
                    displayed_filename=file.name,
                )
                handle.flush()
                os.fsync(handle.fileno())
            if sha256 := file.is_at(part):
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, path)
                return sha256
            part.unlink()
    raise EnvironmentProblem(
        f"{file.name} of {plan.model.repo} arrived damaged twice; check the network (a proxy may "
        "change downloads) and the disk, then run the same command again"
    )


@contextmanager
def _alone_in(plan: Plan) -> Iterator[None]:
    """Lock the folder; EnvironmentProblem if another pull is running there."""
    lock = _hub().utils.WeakFileLock(plan.folder / PARTIAL / "lock", timeout=0.2)
    with _hub_errors(plan.model, plan.folder):
        (plan.folder / PARTIAL).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock)
        except TimeoutError as error:
            raise EnvironmentProblem(
                f"another pull is running in {plan.folder}; wait for it to end"
            ) from error
        yield


def git_sha1(path: Path) -> str:
    """Git's hash of a file's contents, which the hub states for small files."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def _remote_file(entry: Any) -> RemoteFile:
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


def _check_room(plan: Plan) -> None:
    needed = sum(
        file.size
        for file in plan.files
        if not (path := plan.folder / file.name).is_file() or path.stat().st_size != file.size
    )
    place = plan.folder
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed + _SPARE_BYTES > free:
        raise EnvironmentProblem(
            f"{plan.model.name} needs {needed / 1e9:.1f} GB, but {place} has only "
            f"{free / 1e9:.1f} GB free; make room, or choose another folder with --models"
        )


def _old_files(folder: Path) -> set[str]:
    try:
        receipt = read_receipt(folder)
    except InputError:  # it is replaced by this pull
        return set()
    return set(receipt.files) if receipt else set()


def _hub() -> Any:
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
def _hub_errors(model: KnownModel, folder: Path) -> Iterator[None]:
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
