"""The part of its host that a new container may use, in docker-py's form: network, mounts, GPUs, limits."""

from __future__ import annotations

from typing import Any

import docker
import docker.types

from cortexctl.instance.shape import shape_of
from cortexctl.instance.spec import CPU_PERIOD, Spec


def host_config(api: docker.APIClient, spec: Spec, restart: str) -> Any:
    """For `create_container`. `restart`: off; the plan switches it on, after the gate. Podman cannot change it."""
    shape = shape_of(spec.container)
    publish = shape.publish
    gpus = [docker.types.DeviceRequest(device_ids=list(shape.gpus), capabilities=[["gpu"]])]
    return api.create_host_config(
        network_mode=shape.network,
        port_bindings={spec.container.port: (publish.address, publish.port)} if publish else None,
        mounts=[
            docker.types.Mount(
                target=m.target,
                source=m.source,
                type="volume" if m.is_volume else "bind",
                read_only=m.read_only,
            )
            for m in shape.mounts
        ],
        device_requests=gpus if shape.gpus else None,
        mem_limit=spec.container.memory,
        memswap_limit=spec.container.memory,
        cpu_period=CPU_PERIOD if spec.container.cpus else None,
        cpu_quota=round(spec.container.cpus * CPU_PERIOD) if spec.container.cpus else None,
        restart_policy={"Name": restart},
        ipc_mode=shape.ipc,
        shm_size=shape.shm_size,
        cap_drop=list(shape.cap_drop),
        security_opt=list(shape.security_opt),
        log_config=docker.types.LogConfig(type=shape.log_driver, config=dict(shape.log_options)),
    )
