"""Show that a killed run ends as one that nobody killed: `make prove-resume`.

Trains a short run to its end; trains the same recipe again, kills it with SIGKILL between two checkpoints, and
resumes it through the command line. Prints the SHA-256 of both models, metrics and curves; exits 1 when they differ.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = {
    "name": "prove-resume",
    "task": "text-classification",
    "model": {
        "architecture": "bert",
        "config": {
            "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
        },
        "tokenizer": "sentence-transformers/all-MiniLM-L6-v2",
    },
    "data": {"source": "hftune:movie-reviews", "max_train_samples": 960, "max_eval_samples": 200},
    "training": {
        "num_train_epochs": 2, "per_device_train_batch_size": 16, "learning_rate": 1.0e-3, "eval_steps": 25,
        "save_steps": 20, "logging_steps": 5,
        "threads": 1,
    },
}  # fmt: skip
KILL_AFTER_STEP = 70  # ten steps after the checkpoint of step 60, so that there is something to do again


def main() -> int:
    """Run the proof; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="hftune-prove-resume-") as folder:
        recipe = Path(folder, "recipe.yaml")
        recipe.write_text(json.dumps(RECIPE))  # JSON is YAML
        print("1. a run that nobody disturbs")
        whole = start(recipe, Path(folder, "whole"))
        if whole.wait() != 0:
            return fail(whole)
        print(f"2. the same recipe, killed with SIGKILL after step {KILL_AFTER_STEP}")
        killed = start(recipe, Path(folder, "killed"))
        wait_for_step(killed, Path(folder, "killed"), KILL_AFTER_STEP)
        os.kill(killed.pid, signal.SIGKILL)
        print(f"   ended with {killed.wait()}")
        print("3. hftune resume latest")
        resumed = hftune("resume", "latest", runs=Path(folder, "killed"))
        if resumed.wait() != 0:
            return fail(resumed)
        return compare(run_in(Path(folder, "whole")), run_in(Path(folder, "killed")))


def start(recipe: Path, runs: Path) -> subprocess.Popen[str]:
    return hftune("run", str(recipe), runs=runs)


def hftune(*arguments: str, runs: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hftune", *arguments, "--runs-dir", str(runs)]
    environment = {**os.environ, "HFTUNE_QUEUE_DIR": str(runs / ".queue")}  # it waits for no other run
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def wait_for_step(process: subprocess.Popen[str], runs: Path, step: int) -> None:
    """Return when the run has logged the step."""
    while process.poll() is None:
        events = [json.loads(line) for file in runs.glob("*/events.jsonl") for line in file.read_text().splitlines(True)
                  if line.endswith("\n")]  # fmt: skip
        if any(event["kind"] == "train" and event["data"]["step"] >= step for event in events):
            return
        time.sleep(0.01)
    raise SystemExit(fail(process))


def run_in(runs: Path) -> Path:
    (path,) = (path for path in runs.iterdir() if not path.name.startswith("."))
    return path


def compare(whole: Path, resumed: Path) -> int:
    from hftune.runs.events import rows
    from hftune.runs.reader import read_events

    def digests(path: Path) -> dict[str, str]:
        curves = json.dumps(rows(read_events(path))).encode()
        contents = {
            "model/model.safetensors": (path / "model" / "model.safetensors").read_bytes(),
            "metrics.json": (path / "metrics.json").read_bytes(),
            "curves": curves,
        }
        return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}

    expected, found = digests(whole), digests(resumed)
    (taken_up,) = [event.data["step"] for event in read_events(resumed) if event.kind == "resume"]
    print(f"   taken up at step {taken_up}\n")
    for name, digest in expected.items():
        verdict = "equal" if found[name] == digest else "UNEQUAL"
        print(f"{name}\n  undisturbed {digest}\n  resumed     {found[name]}  {verdict}")
    equal = expected == found
    print("\nequal: the killed run ended as the undisturbed one" if equal else "\nUNEQUAL")
    return 0 if equal else 1


def fail(process: subprocess.Popen[str]) -> int:
    print(process.stdout.read() if process.stdout else "")
    print(f"a run ended with {process.returncode}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
