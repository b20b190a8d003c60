# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's name in -> its files on this machine, each with the hash that the hub states.

Complete files are not downloaded again, and a stopped pull resumes at the same byte.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.omni.weights.hub import RemoteFile, hub_client, hub_errors, remote_file
from exomni_core.omni.weights.licence import Consent, require_consent, utc_now
from exomni_core.omni.weights.receipts import Receipt, files_in, read_receipt, write_receipt
from exomni_core.omni.weights.releases import Pinned, pinned_for
from exomni_core.omni.weights.store import PARTIAL, KnownModel, is_tiny

_TIMEOUT_S: Final = 30.0
_SPARE_BYTES: Final = 100_000_000
_BAR_FROM: Final = 10_000_000  # bytes; a bar for less is noise

StepKind = Literal["check", "fetch", "keep"]


@dataclass(frozen=True)
class PullPlan:
    """The files of one revision that a pull will complete in `folder`.

    pinned: what their hashes must be; None for a revision that nobody has pinned.
    """

    model: KnownModel
    folder: Path
    revision: str
    files: tuple[RemoteFile, ...]
    consent: Consent | None
    endpoint: str | None = None
    pinned: Pinned | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class PullStep:
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

    plan: PullPlan
    fetched: tuple[str, ...]
    kept: tuple[str, ...]
    extra: tuple[str, ...] = ()


def plan_pull(
    model: KnownModel,
    models: Path,
    revision: str | None = None,
    endpoint: str | None = None,
    *,
    accept_new: bool = False,
) -> PullPlan:
    """Ask the hub which files to get, and check that the licence is accepted and the disk has room.

    revision: a branch, tag or commit of the release, by default the pinned one, or the newest if
    none is or with accept_new. endpoint: another hub. Raises InputError without a recorded consent
    or if the hub's files differ from the pinned ones, EnvironmentProblem if the hub can't be asked
    or the disk is too full.
    """
    consent = require_consent(model.licence, models)
    folder = models / model.name
    if is_tiny(folder):
        raise InputError(f"{folder} holds a tiny random model; choose another folder with --models")
    pinned = None if accept_new else pinned_for(model.repo, folder)
    sha, files = _listing(model, models, revision, endpoint, pinned)
    if pinned is not None and sha != pinned.revision:  # another was named
        pinned = None
    if pinned is not None:
        pinned.check_listing({file.name: file.sha256 for file in files})
    plan = PullPlan(model, folder, sha, files, consent, endpoint, pinned)
    _check_room(plan)
    return plan


def _listing(
    model: KnownModel,
    models: Path,
    revision: str | None,
    endpoint: str | None,
    pinned: Pinned | None,
) -> tuple[str, tuple[RemoteFile, ...]]:
    """The commit of the wanted revision and its files; the smallest first.

    With the index there, a stopped pull is known to be incomplete.
    """
    hub = hub_client()
    asked = revision or (pinned.revision if pinned else None)
    try:
        with hub_errors(model, models):
            info = hub.HfApi(endpoint=endpoint).model_info(
                model.repo, revision=asked, files_metadata=True, timeout=_TIMEOUT_S
            )
    except InputError as error:
        raise (error if revision or pinned is None else pinned.gone()) from error
    wanted = [remote_file(entry) for entry in info.siblings or () if model.wants(entry.rfilename)]
    if not wanted or not info.sha:
        raise EnvironmentProblem(
            f"{model.repo} holds none of the files {', '.join(model.needed)} at "
            f"{revision or 'its newest revision'}; look at {model.licence.page}"
        )
    return info.sha, tuple(sorted(wanted, key=lambda file: file.size))


def pull(
    plan: PullPlan, report: Callable[[PullStep], None] = lambda _: None, *, bars: bool = False
) -> Pulled:
    """Complete all files of `plan`, then write the receipt.

    report: called at each step. bars: draw progress bars of large files on a terminal. Raises
    EnvironmentProblem for a hub that can't be reached or sends something else than it states, and
    InputError for a file that differs from the pinned one; what was downloaded stays, and the next
    pull resumes there.
    """
    with _alone_in(plan):
        done = _make_whole(plan, report, bars=bars)
    shutil.rmtree(plan.folder / PARTIAL, ignore_errors=True)
    return done


def _make_whole(plan: PullPlan, report: Callable[[PullStep], None], *, bars: bool) -> Pulled:
    old = _old_files(plan.folder)
    fetched: list[str] = []
    receipt: dict[str, tuple[int, str]] = {}
    for number, file in enumerate(plan.files, 1):
        path = plan.folder / file.name
        if path.is_file():
            report(PullStep("check", number, len(plan.files), file))
        with hub_errors(plan.model, plan.folder):
            sha256 = file.is_at(path)
        report(PullStep("keep" if sha256 else "fetch", number, len(plan.files), file))
        if sha256 is None:
            sha256 = _fetch(plan, file, bar=bars and file.size >= _BAR_FROM)
            fetched.append(file.name)
        elif plan.pinned:
            plan.pinned.check_file(file.name, sha256)
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


def _fetch(plan: PullPlan, file: RemoteFile, *, bar: bool) -> str:
    """Download one file and return its SHA-256; only what was checked gets its name.

    hf_hub_download would throw away what it has when it is stopped; a shard is gigabytes.
    """
    hub = hub_client()
    (hub.utils.enable_progress_bars if bar else hub.utils.disable_progress_bars)()
    path = plan.folder / file.name
    part = plan.folder / PARTIAL / f"{file.sha256 or file.git_sha1}.part"
    for _ in range(2):
        with hub_errors(plan.model, plan.folder):
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
                if plan.pinned:
                    plan.pinned.check_file(file.name, sha256)
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, path)
                return sha256
            part.unlink()
    raise EnvironmentProblem(
        f"{file.name} of {plan.model.repo} arrived damaged twice; check the network (a proxy may "
        "change downloads) and the disk, then run the same command again"
    )


@contextmanager
def _alone_in(plan: PullPlan) -> Iterator[None]:
    """Lock the folder; EnvironmentProblem if another pull is running there."""
    lock = hub_client().utils.WeakFileLock(plan.folder / PARTIAL / "lock", timeout=0.2)
    with hub_errors(plan.model, plan.folder):
        (plan.folder / PARTIAL).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock)
        except TimeoutError as error:
            raise EnvironmentProblem(
                f"another pull is running in {plan.folder}; wait for it to end"
            ) from error
        yield


def _check_room(plan: PullPlan) -> None:
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
