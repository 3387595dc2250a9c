"""Graft behind Ray Serve: replicas of `graft serve`, and a gate that sends an adapter's requests home.

  graft_serve.py JOB.json

A replica is a process of `graft serve` (or of any server with OpenAI's routes and vLLM's two calls for
adapters) on a port of its own machine. The gate listens for HTTP, reads the request's `model`, and
asks a replica that holds the adapter; which ones may hold it follows from a hash of both names, and how
many from how often it is asked for. A user that servers learn from is answered by one replica, which
follows from a hash, too. Knows nothing of models.
"""

import asyncio
import collections
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import aiohttp
import ray
from graft_process import choose_threads, end_with_parent, find_fault
from ray import serve
from ray.serve.config import RequestRouterConfig
from ray.serve.request_router import MultiplexMixin, RequestRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

WINDOW_S = 10.0  # demand is counted over the last seconds
FULL = 0.6  # of a replica's slots, above which an adapter gets one home more
TRIES = 4
KEPT_ANSWERS = 20_000  # of which the gate knows whose they are


def join_route(adapter, user):
    """What Ray Serve's router is told of a request: the adapter, and who asks where servers learn."""
    return f"{adapter}/{hashlib.blake2b(user.encode(), digest_size=8).hexdigest()}" if user else adapter


def score(name, replica):
    """Rendezvous: each adapter has an order of all replicas of its own, which few changes touch."""
    return hashlib.blake2b(f"{name}\0{replica}".encode(), digest_size=8).digest()


class Placement:
    """Where adapters lie and who is busy, as one gate knows it at once and exactly."""

    def __init__(self, slots, resident, now=time.monotonic):
        self.slots, self.resident, self.now = slots, resident, now
        self.held = collections.defaultdict(collections.OrderedDict)  # replica → adapters, the last used last
        self.busy = collections.Counter()
        self.asked = collections.defaultdict(collections.deque)  # adapter → when it was asked for
        self.seconds = 1.0  # of an answer, as a moving mean

    def count_homes(self, name, replicas):
        asked, now = self.asked[name], self.now()
        while asked and asked[0] < now - WINDOW_S:
            asked.popleft()
        demand = len(asked) / WINDOW_S * self.seconds  # slots that it keeps busy
        return min(replicas, max(2, int(demand / (FULL * self.slots)) + 1))

    def order(self, route, replicas):
        """Replicas to ask, the best first: homes that hold it and have a free slot, homes with room."""
        name, _, user = route.partition("/")
        replicas = [one for one in replicas]
        if user:  # nobody else, because what it has learned is in that one's memory
            return sorted(replicas, key=lambda one: score(user, one))[:1]
        if not name:
            return sorted(replicas, key=lambda one: self.busy[one])
        homes = sorted(replicas, key=lambda one: score(name, one))
        count = self.count_homes(name, len(replicas))

        def rank(item):
            place, one = item
            holds, free = name in self.held[one], self.busy[one] < self.slots
            is_home = place < count
            if holds and free:
                return (0, self.busy[one], place)
            room = len(self.held[one]) < self.resident
            return (1 if is_home and free else 2 if free else 3, not room, self.busy[one], place)

        return [one for _, one in sorted(enumerate(homes), key=rank)]

    def begin(self, route, replica):
        name, _, _ = route.partition("/")
        self.busy[replica] += 1
        if not name:
            return
        self.asked[name].append(self.now())
        held = self.held[replica]
        held[name] = True
        held.move_to_end(name)
        while len(held) > self.resident:
            held.popitem(last=False)

    def finish(self, replica, seconds):
        self.busy[replica] = max(0, self.busy[replica] - 1)
        self.seconds += 0.1 * (seconds - self.seconds)

    def keep(self, replicas):
        """Replicas that are gone are forgotten."""
        for one in set(self.held) - set(replicas):
            del self.held[one]
            del self.busy[one]


class HomeRouter(MultiplexMixin, RequestRouter):
    """Ray Serve's router by Placement: a deployment's requests go to the adapter's homes."""

    def initialize_state(self, slots=4, resident=8):
        self.placement = Placement(slots, resident)
        self.begun = {}

    async def choose_replicas(self, candidate_replicas, pending_request=None):
        by_id = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        self.placement.keep(by_id)
        name = ""
        if pending_request:
            name = pending_request.metadata.multiplexed_model_id
            pending_request.routing_context.should_backoff = True
        return [[by_id[one]] for one in self.placement.order(name, list(by_id))]

    def on_request_routed(self, pending_request, replica_id, result):
        name = pending_request.metadata.multiplexed_model_id
        self.placement.begin(name, replica_id.unique_id)
        self.begun[pending_request.metadata.internal_request_id] = time.monotonic()

    def on_request_completed(self, replica_id, internal_request_id):
        begun = self.begun.pop(internal_request_id, None)
        if begun is not None:
            self.placement.finish(replica_id.unique_id, time.monotonic() - begun)


def find_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process and a client to it. Both end together."""

    def __init__(self, job):
        fault = find_fault(job)
        if fault:
            raise RuntimeError(fault)
        self.port = find_port()
        self.folder = tempfile.mkdtemp(prefix="graft-serve-")
        command = [part.replace("{port}", str(self.port)).replace("{state}", self.folder) for part in job["command"]]
        command += choose_threads(job)
        self.process = subprocess.Popen(command, preexec_fn=end_with_parent)
        self.session = None
        threading.Thread(target=self._end_together, daemon=True).start()

    def _end_together(self):
        """A replica without its server is none: Ray starts another at once. Nor is one without its raylet."""
        raylet = os.getppid()
        while self.process.poll() is None and os.getppid() == raylet:
            time.sleep(0.2)
        shutil.rmtree(self.folder, ignore_errors=True)
        os._exit(1)

    async def ask(self, method, path, **more):
        if self.session is None:
            self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        return await self.session.request(method, f"http://127.0.0.1:{self.port}{path}", **more)

    async def wait_ready(self):
        while True:
            try:
                async with await self.ask("GET", "/healthz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


class Loaded:
    """An adapter in a replica's server; gone when Ray Serve drops it."""

    def __init__(self, server, name):
        self.server, self.name = server, name

    async def __del__(self):  # Ray Serve awaits it
        async with await self.server.ask("POST", "/v1/unload_lora_adapter", json=dict(lora_name=self.name)):
            pass


class Absent(Exception):
    pass


def find_adapter(job, name):
    """The adapter's folder, whose content counts: a replaced one is another."""
    folder = os.path.join(job["adapters"], name)
    config = os.path.join(folder, "adapter_config.json")
    if "/" in name or "\\" in name or name.startswith(".") or not os.path.exists(config):
        raise Absent(name)
    return folder, f"{os.stat(config).st_mtime_ns:x}"


def build(job):
    options = dict(num_cpus=job.get("threads", 1))
    if ray.cluster_resources().get("graft"):
        options["resources"] = {"graft": 1}
    least, most = job["replicas"]
    scale = (
        dict(num_replicas=least)
        if least == most
        else dict(
            autoscaling_config=dict(
                min_replicas=least, max_replicas=most, target_ongoing_requests=max(1, job["ongoing"] // 2), upscale_delay_s=2, downscale_delay_s=30
            )
        )
    )

    @serve.deployment(
        ray_actor_options=options,
        max_ongoing_requests=job["ongoing"],
        health_check_period_s=2,
        health_check_timeout_s=10,
        request_router_config=RequestRouterConfig(
            request_router_class=HomeRouter,
            request_router_kwargs=dict(slots=job["ongoing"], resident=job["resident"]),
        ),
        **scale,
    )
    class Engine:
        def __init__(self):
            self.server = Server(job)
            self.loads = 0

        @serve.multiplexed(max_num_models_per_replica=job["resident"])
        async def adapter(self, versioned):
            name, _, _ = versioned.rpartition(".")
            folder, _ = find_adapter(job, name)
            body = dict(lora_name=versioned, lora_path=folder)
            async with await self.server.ask("POST", "/v1/load_lora_adapter", json=body) as answer:
                if answer.status != 200:
                    raise RuntimeError(await answer.text())
            self.loads += 1
            return Loaded(self.server, versioned)

        async def answer(self, method, path, headers, body):
            """First the status and who answered, then the bytes as they come."""
            await self.server.wait_ready()
            versioned, _, _ = serve.get_multiplexed_model_id().partition("/")
            before = self.loads
            if versioned:
                await self.adapter(versioned)
                given = json.loads(body)
                if "model" in given:  # feedback names an answer
                    body = json.dumps(dict(given, model=versioned)).encode()
            async with await self.server.ask(method, path, data=body, headers=headers) as answer:
                replica = serve.get_replica_context().replica_id.unique_id
                yield json.dumps(
                    dict(status=answer.status, type=answer.headers.get("content-type"), replica=replica, loaded=self.loads > before)
                ).encode()
                async for part in answer.content.iter_any():
                    yield part.replace(versioned.encode(), versioned.rpartition(".")[0].encode()) if versioned else part

        async def pid(self):
            return self.server.process.pid

        async def check_health(self):
            if self.server.process.poll() is not None:
                raise RuntimeError("the server process is gone")

    def refuse(status, message, code):
        return JSONResponse(dict(error=dict(message=message, type="unavailable_error", param=None, code=code)), status)

    @serve.deployment(num_replicas=1, ray_actor_options=dict(num_cpus=0), max_ongoing_requests=1000)
    class Gate:
        def __init__(self, engines):
            self.engines = engines
            self.answers = collections.OrderedDict()  # id → who asked, and the adapter that answered

        def find_user(self, path, given):
            """Whom a request is of; None where servers do not learn or it names nobody."""
            if not job.get("learns"):
                return None
            named = re.match(r"/v1/users/([^/]+)", path)
            if named:
                return urllib.parse.unquote(named[1])
            metadata = given.get("metadata")
            known = self.answers.get(given.get("id"), (None, ""))[0] if path == "/v1/feedback" else None
            user = given.get("user") or (metadata.get("user_id") if isinstance(metadata, dict) else None) or known
            return user if isinstance(user, str) else None

        async def note_answer(self, parts, user, versioned):
            """Passes an answer on, and keeps its id: feedback names nothing else."""
            head = b""
            async for part in parts:
                if head is not None:
                    head += part
                    found = re.search(rb'"id":\s*"([^"]+)"', head)
                    if found:
                        self.answers[found[1].decode()] = (user, versioned)
                        if len(self.answers) > KEPT_ANSWERS:
                            self.answers.popitem(last=False)
                    if found or len(head) > 4096:
                        head = None
                yield part

        def name_expert(self, path, given):
            """The adapter that a request asks for, with its version; '' for the base."""
            if path == "/v1/feedback":  # learned under what answered
                versioned = self.answers.get(given.get("id"), (None, ""))[1]
                return versioned if versioned and versioned == self.name_expert("", dict(model=versioned.rpartition(".")[0])) else ""
            name = given.get("model") or ""
            if not isinstance(name, str) or name in job["bases"] or not name:
                return ""
            for base in job["bases"]:
                name = name.removeprefix(f"{base}:")
            _, version = find_adapter(job, name)
            return f"{name}.{version}"

        async def __call__(self, request: Request):
            body = await request.body()
            token = job.get("key")
            if token and request.headers.get("authorization") != f"Bearer {token}":
                return refuse(401, "The key is missing or wrong.", "invalid_api_key")
            if request.url.path == "/v1/models":
                return JSONResponse(self.list_models())
            path = request.url.path
            try:
                given = json.loads(body)
            except ValueError:
                given = None  # the server says what is wrong
            given = given if isinstance(given, dict) else {}
            user = self.find_user(path, given)
            if user and path == "/v1/feedback":
                body = json.dumps(dict(given, user=user)).encode()
            try:
                versioned = self.name_expert(path, given)
            except Absent as absent:
                return JSONResponse(
                    dict(error=dict(message=f'There is no expert "{absent}".', type="not_found_error", param="model", code="model_not_found")), 404
                )
            headers = {"content-type": request.headers.get("content-type", "application/json")}
            route = join_route(versioned, user)
            options = dict(stream=True, **({"multiplexed_model_id": route} if route else {}))
            target = path + (f"?{request.url.query}" if request.url.query else "")
            for left in reversed(range(TRIES)):  # until the first byte, another replica can take over
                parts = self.engines.options(**options).answer.remote(request.method, target, headers, body)
                try:
                    head = json.loads(await anext(aiter(parts)))
                    break
                except Exception as error:
                    if left == 0:
                        return refuse(503, str(error).strip().splitlines()[-1], "unavailable")
                    await asyncio.sleep(0.2)
            if user and path != "/v1/feedback":
                parts = self.note_answer(parts, user, versioned)
            return StreamingResponse(
                parts,
                head["status"],
                media_type=head["type"],
                headers={"x-graft-replica": head["replica"], "x-graft-loaded": str(head["loaded"]).lower()},
            )

        def list_models(self):
            names = sorted(name for name in os.listdir(job["adapters"]) if os.path.exists(os.path.join(job["adapters"], name, "adapter_config.json")))
            bases = [job["bases"][0], *(["auto"] if "auto" in job["bases"] else [])]
            data = [dict(id=name, object="model") for name in bases] + [dict(id=name, object="model", parent=job["bases"][0]) for name in names]
            return dict(object="list", data=data)

    return Gate.bind(Engine.bind())


def main(path):
    with open(path) as file:
        job = json.load(file)
    ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False)
    fault = find_fault(job)
    if fault:
        print(json.dumps(dict(type="failed", error=dict(name="WorkerError", message=fault))), flush=True)
        return 1
    serve.start(http_options=dict(host=job["host"], port=job["port"]), proxy_location="HeadOnly")
    serve.run(build(job), name="graft", route_prefix="/")
    print(json.dumps(dict(type="serving", host=job["host"], port=job["port"])), flush=True)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    while not ended.is_set() and not os.path.exists(job["stop"]):
        ended.wait(0.5)
    serve.delete("graft")
    print(json.dumps(dict(type="job-end", code=0)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
