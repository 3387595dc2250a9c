"""Processes of Graft beside a Ray worker: they end with it, and it ends with its node."""

import ctypes
import os
import signal
import subprocess
import threading
import time


def end_with_parent():
    """Called in a child before its program starts: Ray kills the worker only."""
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.setsid()  # Ctrl-C in a terminal reaches the client, which asks for a stop


def end_with_raylet():
    """A worker whose raylet was killed stays on as an orphan and would write beside the next one."""
    raylet = os.getppid()

    def watch():
        while os.getppid() == raylet:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def choose_threads(job):
    """--threads of a worker, where none were given: its slot's share of this machine's cores, else one."""
    import ray

    if job.get("threads"):
        return []
    here = ray.get_runtime_context().get_node_id()
    resources = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == here)
    slots = resources.get("graft", 0)
    share = resources.get("CPU", 1) // slots if slots else 1
    return ["--threads", str(max(1, int(share)))]


def find_fault(job):
    """Why this machine cannot do the job, in one line; None where it can."""
    import ray

    place = ray.util.get_node_ip_address()
    try:
        # Not in the job's folder, which Ray may have removed.
        options = dict(capture_output=True, text=True, timeout=180, cwd="/")
        asked = subprocess.run([*job["graft"], "--version"], **options)
    except OSError as error:
        return f"{place}: {job['graft'][0]} cannot be started: {error.strerror}. Install graftlm {job['version']} there"
    version = asked.stdout.strip()
    if version != job["version"]:
        return (
            f"{place}: got graft {version or asked.stderr.strip()[-200:]}, expected {job['version']}. "
            "Install the same version on every machine"
        )
    if not os.path.isdir(job["shared"]):
        return f"{place}: {job['shared']} is not there. Mount the shared folder under the same path on every machine"
    return None
