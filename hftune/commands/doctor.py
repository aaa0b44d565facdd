"""`hftune doctor`: what this machine has, what can be reached, what is missing and the command that installs it."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from hftune import __version__, hub
from hftune.cache import cache_folder
from hftune.errors import EXIT_DONE, EXIT_FAILED
from hftune.figures import size
from hftune.output import Output
from hftune.recipe.paths import expand
from hftune.runs.files import nearest_folder
from hftune.runs.reader import default_runs_dir
from hftune.sanitize import sanitize
from hftune.threads import available_cores

DISTRIBUTION = "hftune"
DEVELOPMENT = frozenset({"dev"})  # for working on hftune, so nothing is missing without them
INDEX_SECONDS = 20.0
LOW_DISK_BYTES = 2 * 2**30  # a run of a 22M-parameter model takes about 1 GiB with its checkpoints


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Examine; 1 when a package that hftune needs is missing or does not fit, else 0."""
    runs_dir = Path(arguments.runs_dir) if arguments.runs_dir else default_runs_dir()
    report = examine(runs_dir)
    output.emit(report)
    if not output.json:
        for line in render(report):
            output.say(sanitize(line))
    return EXIT_FAILED if report["missing"]["required"] else EXIT_DONE


def examine(runs_dir: Path) -> dict[str, Any]:
    """Return all findings; nothing is changed and only the probes use the network."""
    import psutil

    required, extras = _requirements()
    memory = psutil.virtual_memory()
    return {
        "hftune": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "packages": {name: version for name in _names(required, extras) if (version := _version(name))},
        **_torch(),
        "memory": {"total_bytes": memory.total, "available_bytes": memory.available},
        "disk": [_disk("runs", runs_dir), _disk("cache", cache_folder()), _disk("models", _hub_cache())],
        "hub": {**_hub(), "token": _token()},
        "index": _index(),
        "missing": _missing(required, extras),
    }


def render(report: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for a person; `✓` is well, `!` works with less, `✗` must be mended."""
    missing = report["missing"]
    yield f"✓ hftune {report['hftune']}, Python {report['python']}, {report['platform']}"
    yield from (f"  {line}" for line in _wrapped([f"{name} {v}" for name, v in report["packages"].items()]))
    for item in missing["required"]:
        found = f"{item['found']} is installed" if item["found"] else "it is not installed"
        yield f"✗ {item['requirement']} is needed, and {found}: {item['install']}"
    yield from _render_devices(report)
    memory = report["memory"]
    yield f"✓ memory {size(memory['available_bytes'])} free of {size(memory['total_bytes'])}"
    for disk in report["disk"]:
        mark = "✗" if not disk["writable"] else "!" if disk["free_bytes"] < LOW_DISK_BYTES else "✓"
        trouble = "" if disk["writable"] else ", and it cannot be written"
        yield f"{mark} {disk['what']}: {size(disk['free_bytes'])} free in {disk['path']}{trouble}"
    for name, what in (("hub", "the Hub"), ("index", "the package index")):
        place = f" at {report[name]['endpoint']}" if report[name].get("endpoint") else ""
        yield (
            f"✓ {what}{place} answers"
            if report[name]["ok"]
            else f"! {what}{place} is not used: {report[name]['reason']} (what is in the cache still works)"
        )
    token = report["hub"]["token"]
    yield (
        f"✓ signed in to the Hub by {token}"
        if token
        else ("· not signed in to the Hub, which pushing and private models need: `hf auth login`, or set HF_TOKEN")
    )
    for item in missing["extras"]:
        yield f"! without {' '.join(item['packages'])}: no {item['extra']}. To have it: {item['install']}"


def _render_devices(report: dict[str, Any]) -> Iterator[str]:
    if report["torch"]["error"]:
        yield f"✗ torch does not load: {report['torch']['error']}"
        return
    yield f"✓ torch {report['torch']['version']} ({report['torch']['build']})"
    for device in report["devices"]:
        memory = f", {size(device['memory_bytes'])}" if device.get("memory_bytes") else ""
        speed = "native" if device["bf16"] else "emulated and slow: precision auto means fp32"
        yield f"✓ {device['name']}: {device['description']}{memory}; bf16 {speed}"
    threads, cores = report["threads"], report["cores"]
    yield f"✓ {threads} thread{'s' if threads != 1 else ''} on {cores} core{'s' if cores != 1 else ''}"


def _requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """Return what hftune needs and what each extra adds, as its installed metadata say."""
    required: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    for line in metadata.requires(DISTRIBUTION) or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            required.append(requirement)
        for extra in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or ():
            if requirement not in required and requirement.marker and requirement.marker.evaluate({"extra": extra}):
                extras.setdefault(extra, []).append(requirement)
    return required, extras


def _names(required: list[Requirement], extras: dict[str, list[Requirement]]) -> list[str]:
    optional = [item for extra, items in extras.items() if extra not in DEVELOPMENT for item in items]
    return list(dict.fromkeys(item.name for item in [*required, *optional]))


def _missing(required: list[Requirement], extras: dict[str, list[Requirement]]) -> dict[str, list[dict[str, Any]]]:
    needed = [item for item in required if not _fits(item)]
    wanted = {
        extra: absent
        for extra, items in extras.items()
        if extra not in DEVELOPMENT and (absent := [item for item in items if not _fits(item)])
    }
    return {
        "required": [
            {"requirement": _plain(item), "found": _version(item.name), "install": _install([item])} for item in needed
        ],
        "extras": [
            {"extra": extra, "packages": [item.name for item in absent], "install": _install(absent)}
            for extra, absent in wanted.items()
        ],
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _fits(item: Requirement) -> bool:
    version = _version(item.name)
    # A local label such as +cpu names a build, and is no later version than the same without it.
    return bool(version) and item.specifier.contains(version.partition("+")[0], prereleases=True)


def _plain(item: Requirement) -> str:
    return f"{item.name}{item.specifier}"


def _install(items: list[Requirement]) -> str:
    """Return the command; torch stays what it is, because another build of it is gigabytes."""
    wanted = [_plain(item) for item in items]
    if not any(item.name == "torch" for item in items) and (version := _version("torch")):
        wanted.append(f"torch=={version.partition('+')[0]}")
    return f"{shlex.quote(sys.executable)} -m pip install " + " ".join(shlex.quote(item) for item in wanted)


def _torch() -> dict[str, Any]:
    """Return torch's build, the devices it sees, threads and cores."""
    empty: dict[str, Any] = {"devices": [], "threads": 0, "cores": available_cores()}
    try:
        import torch

        from hftune.modeling.processor import computes_bf16
        from hftune.training.device import available_threads
    except Exception as error:  # a broken installation is what doctor is there to show
        return {"torch": {"version": _version("torch"), "build": "", "error": f"{error}"}, **empty}
    cuda, hip = torch.version.cuda, torch.version.hip
    build = f"CUDA {cuda}" if cuda else f"ROCm {hip}" if hip else "CPU build"
    cpu = platform.processor() or platform.machine()
    capability = torch.backends.cpu.get_cpu_capability()
    devices = [
        {"name": "cpu", "description": f"{cpu} {capability}", "bf16": computes_bf16(torch.device("cpu"))},
    ]
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.device("cuda", index)
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            {
                "name": f"cuda:{index}", "description": properties.name, "memory_bytes": properties.total_memory,
                "bf16": computes_bf16(device),
            }
        )  # fmt: skip
    if torch.backends.mps.is_available():
        devices.append({"name": "mps", "description": "Apple GPU", "bf16": computes_bf16(torch.device("mps"))})
    found = {"version": torch.__version__, "build": build, "error": ""}
    return {"torch": found, "devices": devices, "threads": available_threads(), "cores": available_cores()}


def _disk(what: str, folder: Path) -> dict[str, Any]:
    """Return the free space where `folder` is or would be made."""
    folder = expand(folder).absolute()
    there = nearest_folder(folder)
    return {
        "what": what,
        "path": str(folder),
        "free_bytes": shutil.disk_usage(there).free,
        "writable": os.access(there, os.W_OK),
    }


def _hub_cache() -> Path:
    home = os.environ.get("HF_HOME") or expand("~/.cache/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def _token() -> str | None:
    """Return where a token for the Hub is found; whether the Hub takes it, `hftune push` asks."""
    from huggingface_hub import constants

    if os.environ.get("HF_TOKEN"):
        return "HF_TOKEN"
    return "hf auth login" if Path(constants.HF_TOKEN_PATH).is_file() else None


def _hub() -> dict[str, Any]:
    from hftune.modeling.catalogue import ENTRIES

    hub.forget()
    verdict = hub.reach("model", ENTRIES[0].id)
    return {"ok": verdict.ok, "endpoint": hub.endpoint(), "reason": verdict.reason}


def _index() -> dict[str, Any]:
    """Ask the package index, as the user configured pip, for the first package that hftune may fetch from it."""
    from hftune.modeling.catalogue import ENTRIES

    package = Requirement(ENTRIES[0].requirement).name
    command = [sys.executable, "-m", "pip", "index", "versions", package, "--disable-pip-version-check", "--no-input"]
    try:
        answer = subprocess.run(
            [*command, "--retries", "0", "--timeout", "5"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=INDEX_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"ok": False, "reason": f"no answer within {INDEX_SECONDS:.0f} s"}
    except OSError as error:
        return {"ok": False, "reason": str(error)}
    if answer.returncode == 0:
        return {"ok": True, "reason": ""}
    if "No module named pip" in answer.stderr:
        return {"ok": False, "reason": f"pip is missing: {sys.executable} -m ensurepip"}
    errors = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
    return {"ok": False, "reason": (errors or ["pip could not ask it"])[-1].removeprefix("ERROR: ")[:200]}


def _wrapped(words: list[str], width: int = 76) -> list[str]:
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) + 3 > width:
            lines.append("")
        lines[-1] += (" · " if lines[-1] else "") + word
    return lines
