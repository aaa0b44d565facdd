"""What is installed is what is in the tree, and the set-up says in one line what is missing."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import hftune

ROOT = Path(hftune.__file__).parent.parent
PROJECT = ROOT / "pyproject.toml"

pytestmark = pytest.mark.skipif(not PROJECT.is_file(), reason="an installed package has no pyproject.toml to look at")


def project() -> dict:
    return tomllib.loads(PROJECT.read_text(encoding="utf-8"))


def set_up():
    """Import .ci/set_up.py, which is no part of any package."""
    spec = importlib.util.spec_from_file_location("set_up", ROOT / ".ci" / "set_up.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_in_the_tree_is_named_for_the_wheel():
    folders = {path.parent for path in (ROOT / "hftune").rglob("*.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    found |= {"hftune.recipes", "hftune.recipes.hub", "hftune.recipes.pretrain"}
    app = {path.parent.relative_to(ROOT / "tui") for path in (ROOT / "tui").rglob("*.py")}
    found |= {".".join(("hftune_tui", *folder.parts)) for folder in app}
    assert sorted(found) == project()["tool"]["setuptools"]["packages"]


def test_constraints_pin_everything_that_is_declared():
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    }
    sections = project()["project"]
    declared = [*sections["dependencies"], *sections["optional-dependencies"]["dev"]]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", line)[0]).lower() for line in declared}
    assert names - pinned == set()
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text(encoding="utf-8").split()


def test_the_versions_here_are_within_the_declared_ranges():
    packaging = pytest.importorskip("packaging.requirements", reason="packaging reads requirement ranges")
    from importlib.metadata import version

    for line in project()["project"]["dependencies"]:
        requirement = packaging.Requirement(line)
        assert requirement.specifier.contains(version(requirement.name), prereleases=True), line


def test_shell_and_make_parse():
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for target in ("demo", "check", "test", "test-long", "bench", "prove-resume"):
        subprocess.run(["make", "-n", "-C", str(ROOT), target], check=True, capture_output=True)


def test_a_missing_venv_module_names_the_package_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit):
        set_up().require_modules()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert capsys.readouterr().err == (
        f"set-up: Python's ensurepip module is missing. Install it: sudo apt install {version}\n"
    )


def test_too_little_disk_is_one_line_with_figures(capsys):
    module = set_up()
    with pytest.raises(SystemExit):
        module.require_space(10**18)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "not enough disk space: about 1000000000.0 GB are needed" in said


def test_an_old_python_with_no_other_around_says_what_to_install(monkeypatch, capsys):
    module = set_up()
    monkeypatch.setattr(module, "OLDEST", (3, 98))
    monkeypatch.setattr(module, "NEWEST", (3, 99))
    with pytest.raises(SystemExit):
        module.find_python()
    assert "Install one of them" in capsys.readouterr().err


def test_the_accelerator_build_is_announced_with_its_size(monkeypatch, capsys, tmp_path):
    module = set_up()
    wheel = tmp_path / "torch.whl"
    wheel.write_bytes(b"x" * 5_000_000)
    plan = [
        {"metadata": {"name": name}, "download_info": {"url": wheel.as_uri()}} for name in ("torch", "nvidia-cublas")
    ]
    monkeypatch.setattr(module, "planned", lambda _: plan)
    monkeypatch.setattr(module, "NEEDED", 0)
    monkeypatch.setattr(module, "GIGABYTE", 1e6)
    module.announce_torch([])
    said = capsys.readouterr().out
    assert "accelerator build: 10.0 GB to download" in said
    assert "TORCH_INDEX" in said
    monkeypatch.setattr(module, "planned", lambda _: plan[:1])
    module.announce_torch([])
    assert capsys.readouterr().out == ""


def test_the_set_up_is_done_once(monkeypatch, tmp_path):
    module = set_up()
    installed: list[str] = []
    monkeypatch.setattr(module, "VENV", str(tmp_path))
    for name in ("make_venv", "fetch_test_model"):
        monkeypatch.setattr(module, name, lambda: None)
    monkeypatch.setattr(module, "install", installed.append)
    for kind in ("demo", "demo", "test", "test", "demo"):
        module.main(kind)
    assert installed == ["demo", "test"]


def test_what_pip_said_is_shown_when_it_fails(capsys):
    module = set_up()
    with pytest.raises(SystemExit):
        module.run(
            [sys.executable, "-c", "print('WARNING: noise'); print('ERROR: no such thing'); exit(1)"], "it failed"
        )
    assert capsys.readouterr().err == "ERROR: no such thing\nset-up: it failed\n"
    with pytest.raises(SystemExit):
        module.run([sys.executable, "-c", "exit('No space left on device')"], "it failed")
    assert "the disk is full" in capsys.readouterr().err


def test_a_demo_that_is_interrupted_lets_its_command_end_by_itself(tmp_path):
    (tmp_path / "python").symlink_to(sys.executable)
    command = tmp_path / "hftune"
    command.write_text(
        f"#!{sys.executable}\nimport signal, sys\n"
        "try:\n    print('ready', flush=True)\n    signal.pause()\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    command.chmod(0o755)
    demo = subprocess.Popen(
        [tmp_path / "python", ROOT / ".ci" / "demo.py"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert demo.stdout is not None
    assert "ready\n" in iter(demo.stdout.readline, "")
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.communicate(timeout=60) == ("", "")
    assert demo.returncode == 130


@pytest.mark.long
def test_a_wheel_holds_code_recipes_and_starters_and_runs(tmp_path):
    """Built from a copy (building writes into the tree), installed beside this environment's libraries."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("hftune", "recipes", "tui"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *options, "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "hftune").rglob("*.py")}
    expected |= {f"hftune/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "recipes").rglob("*.yaml")}
    expected |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "hftune" / "starters").rglob("*.parquet")}
    assert expected - names == set()

    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = environment / "lib" / version / "site-packages"
    subprocess.run([*pip, "install", *options, "--target", str(site), str(wheel)], check=True)
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("\n".join(libraries) + "\n", encoding="utf-8")
    python = environment / "bin" / "python"
    where = subprocess.check_output([python, "-c", "import hftune; print(hftune.__file__)"], text=True, cwd=tmp_path)
    assert where.startswith(str(site))
    listed = subprocess.check_output([python, "-m", "hftune", "recipes", "list"], text=True, cwd=tmp_path)
    assert "bert_cls" in listed and "hub/sst2_bert" in listed
    subprocess.run([python, "-m", "hftune", "check", "bert_cls", "--fast"], check=True, cwd=tmp_path)
    code = "from hftune.starters import data_files; assert len(data_files('hftune:authors')) == 3"
    subprocess.run([python, "-c", code], check=True, cwd=tmp_path)
