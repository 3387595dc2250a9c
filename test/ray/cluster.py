"""A Ray cluster of several nodes on this machine, for tests: `cluster.py NODES PORT`.

Prints one line of JSON when it is ready, and stays until its stdin ends. Node i is at 127.0.0.(i+1)
with one core and one slot "graft". Ray listens on every address of its network, so this is started in
a network of its own (unshare --net), where there is loopback alone.
"""

import json
import os
import sys
import time

# Commands come by a socket. Bash takes a socket at its stdin for a remote login and reads ~/.bashrc,
# which may put another Python first in the PATH of jobs: Ray's processes get none.
commands = os.fdopen(os.dup(0))
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # jobs call "python"
os.environ.update(RAY_DISABLE_USAGE_STATS="1", RAY_usage_stats_enabled="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="1")
from ray.cluster_utils import Cluster  # noqa: E402

nodes, port = int(sys.argv[1]), int(sys.argv[2])
begun = time.time()
slot = dict(num_cpus=1, resources={"graft": 1}, object_store_memory=200 << 20)
cluster = Cluster(
    initialize_head=True,
    head_node_args=dict(slot, include_dashboard=True, dashboard_host="127.0.0.1", dashboard_port=port, node_ip_address="127.0.0.1"),
)
added = [cluster.add_node(**slot, node_ip_address=f"127.0.0.{i + 1}") for i in range(1, nodes)]
cluster.wait_for_nodes()
print(json.dumps(dict(address=cluster.address, seconds=round(time.time() - begun, 1))), flush=True)
try:
    for line in commands:
        word, _, place = line.strip().partition(" ")
        if word == "kill":  # the node at this address, as a machine that loses power
            node = next(one for one in added if one.node_ip_address == place)
            added.remove(node)
            cluster.remove_node(node, allow_graceful=False)
            print(json.dumps(dict(killed=node.node_ip_address)), flush=True)
finally:
    cluster.shutdown()
