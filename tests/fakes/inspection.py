"""A daemon's inspection of a container: `GET /containers/ID/json`, as Docker 20.10 answers it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.instance.spec import CPU_PERIOD, Spec

IMAGE_ENV = ("PATH=/usr/local/bin:/usr/bin", "LANG=C.UTF-8")


def inspection(
    spec: Spec, secrets: Mapping[str, str] | None = None, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The inspection of a container that cortexctl created from `spec`, with the defaults of the image and the daemon.
    `changes` replaces parts of it.
    """
    env = [*IMAGE_ENV, *(f"{k}={v}" for k, v in {**spec.container.env, **(secrets or {})}.items())]
    shown: dict[str, Any] = {
        "Config": {
            "Hostname": "0123456789ab",
            "Env": env,
            "Cmd": arguments(spec.server),
            "Entrypoint": entrypoint(spec.server),
            "WorkingDir": "/vllm-workspace",
            "StopSignal": "SIGTERM",
        },
        "HostConfig": {
            "NetworkMode": spec.container.network,
            "PortBindings": (
                {
                    f"{spec.container.port}/tcp": [
                        {"HostIp": spec.container.publish.address, "HostPort": str(spec.container.publish.port or "")}
                    ]
                }
                if spec.container.publish
                else {}
            ),
            "RestartPolicy": {"Name": spec.container.restart, "MaximumRetryCount": 0},
            "Memory": spec.container.memory or 0,
            "MemorySwap": spec.container.memory or 0,
            "CpuPeriod": CPU_PERIOD if spec.container.cpus else 0,
            "CpuQuota": round(spec.container.cpus * CPU_PERIOD) if spec.container.cpus else 0,
            "NanoCpus": 0,
            "CpuShares": 0,
            "CpusetCpus": "",
            "MemoryReservation": 0,
            "CapAdd": None,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges", *(["label=disable"] if spec.container.ipc == "host" else [])],
            "IpcMode": spec.container.ipc,
            "ShmSize": spec.container.shm_size if spec.container.ipc == "private" else 67108864,
            "Privileged": False,
            "PublishAllPorts": False,
            "LogConfig": {"Type": "json-file", "Config": {"max-file": "3", "max-size": "50m"}},
            "DeviceRequests": [
                {
                    "Driver": "",
                    "Count": 0,
                    "DeviceIDs": [str(g) for g in spec.container.gpus],
                    "Capabilities": [["gpu"]],
                    "Options": {},
                }
            ]
            if spec.container.gpus
            else None,
            "Runtime": "runc",
            "CgroupnsMode": "private",
        },
        "Mounts": [
            {
                "Type": "volume" if m.is_volume else "bind",
                "Source": f"/var/lib/docker/volumes/{m.source}/_data" if m.is_volume else m.source,
                "Destination": m.target,
                "RW": not m.read_only,
                **({"Name": m.source} if m.is_volume else {}),
            }
            for m in spec.container.mounts
        ],
        "RestartCount": 0,
    }
    merged: dict[str, Any] = laid_over(shown, changes or {})
    return merged


def laid_over(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, Mapping):
        return {**copy.deepcopy(under), **{k: laid_over(under.get(k), v) for k, v in over.items()}}
    return copy.deepcopy(over)
