"""Training on a Ray cluster. Runs as the entrypoint of a Ray job; knows nothing of models.

  graft_ray.py JOB.json

"experts": an actor for each bundle of manifests of one base, a process of Graft that trains them one
after another. "replicas": an actor for each replica of one run; gradients are added up through the
object store. Events of Graft go to stdout, a line of JSON each, so that whoever follows the job's log
sees what happens.
"""

import fcntl
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import ray
from graft_process import choose_threads, end_with_parent, end_with_raylet, find_fault

ATTEMPTS = 4
GATHER_SECONDS = 0.25  # events of this time travel in one call, because a call costs as much as a small step
HEADER = "<IHHIIII"  # magic, version, rank, step, bytes of the note, floats, flags
MAGIC = 0x54465247
VERSION = 1
LOST = (ray.exceptions.RayActorError, ray.exceptions.RayTaskError, ray.exceptions.GetTimeoutError)

said = threading.Lock()


def say(**event):
    with said:
        print(json.dumps(event), flush=True)


def describe(error):
    return str(error).strip().splitlines()[-1][:300]


def place_options(job):
    """A slot "graft" each, where the cluster has them; else cores."""
    cores = job.get("threads", 1)
    slots = ray.cluster_resources().get("graft", 0)
    return dict(num_cpus=cores, scheduling_strategy="SPREAD", **({"resources": {"graft": 1}} if slots else {}))


def count_slots(job):
    resources = ray.cluster_resources()
    return int(resources.get("graft") or resources.get("CPU", 1) // job.get("threads", 1)) or 1


def start(job, runs, more_arguments=(), **more):
    """The manifests are of one base; its hash was taken where the command was typed."""
    manifests = [run["manifest"] for run in runs]
    expected = ["--base-sha256", runs[0]["sha256"]] if runs[0].get("sha256") else []
    command = [*job["graft"], "train", *manifests, *expected, *choose_threads(job), *job["arguments"], *more_arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def read_events(stream, into):
    for line in stream:
        if line.startswith(b"{"):
            into.put(json.loads(line))


def read_tail(stream, tail):
    for line in stream:
        tail.append(line.decode(errors="replace").strip())
        del tail[:-20]


# -- many experts ------------------------------------------------------------------------------------


class Trainer:
    """Trains the manifests of one bundle, one after another over one loaded base."""

    def __init__(self, job):
        end_with_raylet()
        self.job = job
        self.child = None
        self.events = queue.Queue()
        self.tail = []
        self.stopped = False

    def begin(self, runs, again):
        """What is wrong with this machine; None where the training has begun."""
        fault = find_fault(self.job)
        if fault:
            return fault
        for run in runs:
            if not os.path.exists(run["manifest"]):
                return f"{run['manifest']}: is not there on {ray.util.get_node_ip_address()}"
        begun = [run for run in runs if os.path.exists(os.path.join(run["out"], "expert.json"))]
        resume = ["--resume"] if begun and (again or self.job["resume"]) else []
        if again or self.job["resume"]:
            self.job["arguments"] = [one for one in self.job["arguments"] if one != "--overwrite"]
        self.child = start(self.job, runs, ["--events", *resume], preexec_fn=end_with_parent)
        for target, arguments in (read_events, (self.child.stdout, self.events)), (read_tail, (self.child.stderr, self.tail)):
            threading.Thread(target=target, args=arguments, daemon=True).start()
        return None

    def ids(self):
        return dict(worker=os.getpid(), process=self.child.pid, node=ray.util.get_node_ip_address())

    def next(self, stop):
        """Events since the last call, the exit code where it has ended, and the end of stderr."""
        if stop and not self.stopped:
            self.stopped = True
            self.child.send_signal(signal.SIGINT)
        events = []
        try:
            events.append(self.events.get(timeout=0.5))
            time.sleep(GATHER_SECONDS)
            while True:
                events.append(self.events.get_nowait())
        except queue.Empty:
            pass
        code = self.child.poll()
        if code is not None and not events and self.events.empty():
            return events, code, self.tail
        return events, None, []


def deal(groups, slots):
    """Bundles of manifests of one base, as many as there are slots, so that each base is read few times."""
    count = sum(len(group["runs"]) for group in groups)
    bundles = []
    for group in groups:
        runs = group["runs"]
        share = max(1, min(len(runs), round(slots * len(runs) / count)))
        bundles.extend(runs[i::share] for i in range(share))
    return bundles


def train_bundle(job, options, runs, failures):
    """Until all are trained; what is left goes on elsewhere where its worker is lost."""
    left = {run["manifest"]: run for run in runs}
    for attempt in range(1, ATTEMPTS + 1):
        trainer = ray.remote(**options)(Trainer).remote(job)
        try:
            fault = ray.get(trainer.begin.remote(list(left.values()), attempt > 1))
            if fault:
                for manifest in left:
                    failures.append(manifest)
                    say(type="failed", manifest=manifest, error=dict(name="WorkerError", message=fault))
                return
            say(type="bundle", attempt=attempt, manifests=list(left), **ray.get(trainer.ids.remote()))
            follow(job, trainer, left, failures)
            return
        except LOST as error:
            say(type="worker-lost", attempt=attempt, manifests=list(left), error=describe(error))
        finally:
            ray.kill(trainer)
        if os.path.exists(job["stop"]):
            return
    for manifest in left:
        failures.append(manifest)
        message = f"its worker was lost {ATTEMPTS} times. The last checkpoint is kept; go on with --resume"
        say(type="failed", manifest=manifest, error=dict(name="WorkerError", message=message))


def follow(job, trainer, left, failures):
    while True:
        events, code, tail = ray.get(trainer.next.remote(os.path.exists(job["stop"])))
        for event in events:
            say(**event)
            if event["type"] in ("expert-end", "failed"):
                left.pop(event.get("manifest"), None)
            if event["type"] == "failed":
                failures.append(event.get("manifest"))
        if code is None:
            continue
        if os.path.exists(job["stop"]):
            return
        if code in (0, 1, 2) and not (code == 0 and left):
            for manifest in left:  # refused before it began
                failures.append(manifest)
                message = "\n".join(tail) or f"ended with {code}"
                say(type="failed", manifest=manifest, error=dict(name="TrainingError", message=message))
            return
        raise ray.exceptions.RayActorError(None, f"the process ended with {code}: {' '.join(tail)[-300:]}")


def train_experts(job):
    options, failures = place_options(job), []
    threads = [
        threading.Thread(target=train_bundle, args=(job, options, runs, failures)) for runs in deal(job["groups"], count_slots(job))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1 if failures else 0


# -- one expert, data-parallel -----------------------------------------------------------------------


def add_by_tree(parts):
    """Neighbours first, then neighbours of these; a part that is missing counts as nothing."""
    while len(parts) > 1:
        pairs = [(parts[at], parts[at + 1]) for at in range(0, len(parts), 2)]
        parts = [right if left is None else left if right is None else left + right for left, right in pairs]
    return parts[0]


class Ended(Exception):
    pass


class Replica:
    """A process that runs the whole training loop, and the pipes to it. Chunk k is added up by replica k."""

    def __init__(self, job, rank, size, attempt):
        end_with_raylet()
        self.job, self.rank, self.size, self.attempt = job, rank, size, attempt
        self.events, self.tail = queue.Queue(), []

    def begin(self):
        fault = find_fault(self.job)
        if fault:
            return fault
        to_node, self.to_node = os.pipe()
        self.from_node, from_node = os.pipe()
        for pipe in (to_node, from_node):
            try:
                fcntl.fcntl(pipe, 1031, 1 << 20)  # F_SETPIPE_SZ
            except OSError:
                pass

        def place():  # in the child: the pipes become descriptors 3 and 4
            end_with_parent()
            ends = [fcntl.fcntl(pipe, fcntl.F_DUPFD, 512) for pipe in (to_node, from_node)]
            for at, pipe in enumerate(ends):
                os.dup2(pipe, 3 + at)
            os.closerange(5, 4096)  # above all the other ends, which would keep the pipes open

        given = json.dumps(dict(rank=self.rank, size=self.size, attempt=self.attempt))
        self.child = start(
            self.job,
            self.job["groups"][0]["runs"],
            ["--resume"] if self.job["resume"] else [],
            env={**os.environ, "GRAFT_REPLICA": given, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
            close_fds=False,
            preexec_fn=place,
        )
        os.close(to_node), os.close(from_node)
        for target, arguments in (read_events, (self.child.stdout, self.events)), (read_tail, (self.child.stderr, self.tail)):
            threading.Thread(target=target, args=arguments, daemon=True).start()
        return None

    def ids(self):
        return dict(worker=os.getpid(), process=self.child.pid, node=ray.util.get_node_ip_address())

    def _read(self, view):
        at = 0
        while at < len(view):
            got = os.readv(self.from_node, [view[at:]])
            if got == 0:
                if at == 0:
                    raise Ended
                raise RuntimeError("the process ended within a frame")
            at += got

    def _drain(self):
        events = []
        while True:
            try:
                events.append(self.events.get_nowait())
            except queue.Empty:
                return events

    def take(self):
        """The next contribution: a head, and the values in `size` chunks. After the last: how it ended."""
        begun = time.perf_counter()
        head = bytearray(struct.calcsize(HEADER))
        try:
            self._read(memoryview(head))
        except Ended:
            code = self.child.wait()
            time.sleep(0.1)
            head = dict(end=code, events=self._drain(), tail=list(self.tail))
            return (head,) + (None,) * self.size
        waited = time.perf_counter() - begun
        magic, version, rank, step, length, floats, flags = struct.unpack(HEADER, head)
        if magic != MAGIC or version != VERSION or rank != self.rank:
            raise RuntimeError(f"replica {self.rank} speaks another protocol: {magic:#x} {version} {rank}")
        note = bytearray(length)
        self._read(memoryview(note))
        values = np.empty(floats, np.float32)
        self._read(memoryview(values).cast("B"))
        head = dict(step=step, note=bytes(note), floats=floats, stop=bool(flags & 1), events=self._drain(), waited=waited)
        return (head,) + (tuple(np.array_split(values, self.size)) if floats else (None,) * self.size)

    def add(self, *chunks):
        """By a tree over ranks, so that the sum has the same bits wherever it is made."""
        return add_by_tree(list(chunks))

    def give(self, step, note, stop, *chunks):
        floats = sum(len(chunk) for chunk in chunks if chunk is not None)
        head = struct.pack(HEADER, MAGIC, VERSION, self.rank, step, len(note), floats, int(stop))
        for part in (head, note, *(memoryview(chunk).cast("B") for chunk in chunks if chunk is not None)):
            view, at = memoryview(part), 0
            while at < len(view):
                at += os.write(self.to_node, view[at:])

    def close(self):
        self.child.kill()


def meet(replicas, job):
    """One meeting of all; False after the last one."""
    size, begun = len(replicas), time.perf_counter()
    taken = [replica.take.options(num_returns=size + 1).remote() for replica in replicas]
    heads = ray.get([head for head, *_ in taken])
    came = time.perf_counter()
    for head in heads:
        for event in head["events"]:
            say(**event)
    ends = [head["end"] for head in heads if "end" in head]
    if ends:
        bad = [code for code in ends if code != 0]
        if not bad and len(ends) == size:
            return False
        failed = [event for head in heads for event in head["events"] if event["type"] == "failed"]
        if failed:
            raise SystemExit(1)
        lines = [line for head in heads for line in head.get("tail", [])]
        raise RuntimeError(f"a replica ended with {bad or ends}: {' '.join(lines)[:300]}")
    steps = {head["step"] for head in heads}
    if len(steps) > 1:
        raise RuntimeError(f"replicas are at the steps {sorted(steps)}")
    step = heads[0]["step"]
    note = b"".join(struct.pack("<I", len(head["note"])) + head["note"] for head in heads)
    stop = any(head["stop"] for head in heads) or os.path.exists(job["stop"])
    chunks = [chunks for _, *chunks in taken]
    some = any(head["floats"] for head in heads)
    sums = [replica.add.remote(*(own[k] for own in chunks)) for k, replica in enumerate(replicas)] if some else [None] * size
    ray.get([replica.give.remote(step, note, stop, *sums) for replica in replicas])
    waits = [head["waited"] for head in heads]
    now = time.perf_counter()
    if some:
        say(type="exchange", step=step, ms=round((now - came) * 1e3, 1), totalMs=round((now - begun) * 1e3, 1),
            waitedMs=round((max(waits) - min(waits)) * 1e3, 1), slowest=waits.index(max(waits)))
    return True


def run_replicas(job, options, attempt):
    size = job["replicas"]
    remote = ray.remote(**options)(Replica)
    replicas = [remote.remote(job, rank, size, attempt) for rank in range(size)]
    try:
        faults = [fault for fault in ray.get([replica.begin.remote() for replica in replicas]) if fault]
        if faults:
            say(type="failed", error=dict(name="WorkerError", message=faults[0]))
            raise SystemExit(1)
        say(type="replicas", attempt=attempt, replicas=ray.get([replica.ids.remote() for replica in replicas]))
        while meet(replicas, job):
            pass
    finally:
        for replica in replicas:
            ray.kill(replica)


def train_replicas(job):
    options = place_options(job)
    slots = count_slots(job)
    if slots < job["replicas"]:
        message = f"--replicas {job['replicas']}: the cluster has room for {slots}"
        say(type="failed", error=dict(name="OptionError", message=message))
        return 1
    for attempt in range(1, ATTEMPTS + 1):
        try:
            run_replicas(job, options, attempt)
            return 0
        except SystemExit:
            return 1
        except (*LOST, RuntimeError) as error:
            say(type="worker-lost", attempt=attempt, error=describe(error))
            last = describe(error)
    message = f"replicas were lost {ATTEMPTS} times, the last time because {last}. Go on with --resume"
    say(type="failed", error=dict(name="WorkerError", message=message))
    return 1


def main(path):
    with open(path) as file:
        job = json.load(file)
    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False)
    code = train_replicas(job) if job.get("replicas", 1) > 1 else train_experts(job)
    say(type="job-end", code=code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
