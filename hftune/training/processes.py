"""More than one process: torchrun's own launcher on this machine, with nothing listening on the network.

The processes find each other through files in a private folder, and gloo talks over the loopback device: torch's usual
TCP store listens on every interface, also when it is given 127.0.0.1.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from hftune.errors import EXIT_FAILED, RunError
from hftune.threads import available_cores

# What each process runs; a string, because it belongs to a layer above this one.
RANK_MODULE = "hftune.commands.rank"

STORE_VARIABLE = "HFTUNE_PROCESS_STORE"
_LAUNCHER_VARIABLE = "HFTUNE_LAUNCHER_PID"
_WATCH_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


def launch(path: Path, processes: int, allow_inexact: bool = False) -> int:
    """Train the run at `path` with so many processes; return the exit code of rank 0, or of what failed first.

    The caller holds the run's lock and has handed the run over. Each process has a session of its own, so Ctrl-C
    reaches only the caller. When one fails or is killed, the others are ended within seconds; when this process is
    killed, they end themselves.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="hftune-processes-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=secrets.token_hex(8),
            rdzv_backend="c10d",
            rdzv_endpoint=str(Path(folder, "rendezvous")),
            rdzv_configs={"store_type": "file"},
            local_addr="127.0.0.1",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=str(Path(folder, "logs"))),
            # Its default replaces the caller's handlers, which ask the run to save its state first.
            signals_to_handle="SIGUSR2",
        )
        arguments = ["-m", RANK_MODULE, str(path), *(["--allow-inexact"] if allow_inexact else [])]
        with _environment(_variables(folder, processes)):
            try:
                elastic_launch(config, sys.executable)(*arguments)
            except ChildFailedError as error:
                codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
                code = codes.get(0, next(iter(codes.values()), EXIT_FAILED))
                return code if code > 0 else EXIT_FAILED  # negative: killed by that signal
    return 0


def join_group(backend: str, timeout: timedelta) -> None:
    """Join the processes that `launch` started, if it started this one; raises RunError when some are missing."""
    import torch.distributed as dist
    from torch._C._distributed_c10d import FileStore  # torch.distributed has it too, but does not export it

    store = os.environ.get(STORE_VARIABLE)
    if store is None or dist.is_initialized():
        return
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group(
        backend, store=FileStore(store, world_size), rank=rank, world_size=world_size, timeout=timeout
    )
    if dist.get_world_size() != world_size:
        raise RunError(f"{world_size} processes were asked for, and {dist.get_world_size()} train")


def launched_rank() -> int:
    """Return which process of the group this is, 0 when there is no group."""
    return int(os.environ.get("RANK", "0")) if STORE_VARIABLE in os.environ else 0


def launcher_alive() -> bool:
    """Return whether the process that launched this rank is still there."""
    return os.getppid() == int(os.environ[_LAUNCHER_VARIABLE])


def end_with_launcher() -> None:
    """End this process when the one that launched it has gone: no rank is left behind without it.

    On Linux at once and by the kernel, because the run's lock is free from then on.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while launcher_alive():
            time.sleep(_WATCH_SECONDS)
        os._exit(EXIT_FAILED)

    threading.Thread(target=watch, name="hftune-launcher-watch", daemon=True).start()


def _variables(folder: str, processes: int) -> dict[str, str]:
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
    wanted = {
        STORE_VARIABLE: str(Path(folder, "store")),
        _LAUNCHER_VARIABLE: str(os.getpid()),
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        # Accelerate sets the threads by its own count when this is not there.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, available_cores() // processes)),
    }
    return {**wanted, "GLOO_SOCKET_IFNAME": loopback} if loopback else wanted


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
