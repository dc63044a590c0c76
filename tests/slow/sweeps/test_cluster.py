"""A sweep on a cluster that loses a process and a machine midway is complete all the same."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from sega_session import run_sweep
from sega_session.sweeps import UnitResult
from sega_session.testing import FakeModel

from ...sweeps.rays import quiet_ray
from ...sweeps.support import images_of, small_sweep, table_of

NODES = 3


def test_a_lost_process_and_a_lost_machine(tmp_path: Path) -> None:
    sweep = small_sweep(seeds="0-19", seeds_together=1)
    out, workers = tmp_path / "out", tmp_path / "workers"

    def load() -> FakeModel:
        """Return a slow model, and note the process and its machine."""
        node = ray.get_runtime_context().get_node_id()
        with workers.open("a") as file:
            file.write(f"{os.getpid()} {node}\n")
        return FakeModel(on_evaluate=lambda _: time.sleep(0.02))

    def started() -> list[tuple[int, str]]:
        lines = workers.read_text().splitlines()
        return [(int(pid), node) for pid, node in map(str.split, lines)]

    with quiet_ray():
        # The driver's own machine has no CPUs, so that workers are on the others.
        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        # Ray only counts GPUs, so that these need not be there.
        added = [cluster.add_node(num_cpus=2, num_gpus=1) for _ in range(NODES)]
        nodes = {node.node_id: node for node in added}
        done: Counter[int] = Counter()
        lost: list[str] = []

        def disturb(result: UnitResult) -> None:
            done[result.index] += 1
            if done.total() == 5:
                pid, _ = started()[0]
                os.kill(pid, signal.SIGKILL)
            if done.total() == 15:
                _, node = started()[-1]
                cluster.remove_node(nodes[node], allow_graceful=False)
                lost.append(node)

        try:
            result = run_sweep(
                sweep,
                out,
                load=load,
                ray_address=cluster.address,
                callback_on_unit_end=disturb,
            )
            found = started()
        finally:
            ray.shutdown()
            cluster.shutdown()

    # A worker on each GPU; that of the killed process was replaced, and that of the lost machine
    # found no other GPU.
    assert len(lost) == 1
    assert len(found) == NODES + 1
    assert {node for _, node in found} == set(nodes)
    # No unit twice, none missing.
    assert done == Counter(range(sweep.num_units))
    assert (result.units, result.errors) == (sweep.num_units, 0)
    run_sweep(sweep, tmp_path / "here", pipeline=FakeModel())
    # An image that a killed unit left has no cost in the table.
    costs = dict.fromkeys(("evaluations", "seconds"), "")
    table, expected = (
        [{**row, **costs} for row in table_of(folder)] for folder in (out, tmp_path / "here")
    )
    assert table == expected
    assert len(table) == sweep.num_images == len({row["digest"] for row in table})
    assert images_of(out) == images_of(tmp_path / "here")
