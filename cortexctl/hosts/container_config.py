"""The settings of a new container in the form of the daemon's API: its program, and the part of its host that it may
use (network, mounts, GPUs, limits).
"""

from __future__ import annotations

from typing import Any

from cortexctl.instance.launch import Launch
from cortexctl.instance.shape import Shape, shape_of
from cortexctl.instance.spec import CPU_PERIOD, Container


def container_config(launch: Launch, restart: str) -> dict[str, Any]:
    """`restart`: off; the plan switches it on, after the gate. Podman cannot change it."""
    container = launch.spec.container
    shape = shape_of(container)
    return {
        "Image": launch.image,
        "Entrypoint": list(launch.entrypoint),
        "Cmd": list(launch.command),
        "Env": [f"{name}={value}" for name, value in {**container.env, **launch.secrets}.items()],
        "Labels": dict(launch.labels),
        "ExposedPorts": {_port(container): {}} if shape.publish else None,
        "StopSignal": shape.stop_signal,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {
            **_on_its_host(container, shape),
            **_limits(container),
            "RestartPolicy": {"Name": restart},
        },
        "NetworkingConfig": {"EndpointsConfig": {shape.network: {}}},
    }


def _on_its_host(container: Container, shape: Shape) -> dict[str, Any]:
    publish = shape.publish
    bound = [{"HostIp": publish.address, "HostPort": str(publish.port or "")}] if publish else []
    return {
        "NetworkMode": shape.network,
        "PortBindings": {_port(container): bound} if publish else None,
        "Mounts": [
            {
                "Target": m.target,
                "Source": m.source,
                "Type": "volume" if m.is_volume else "bind",
                "ReadOnly": m.read_only,
            }
            for m in shape.mounts
        ],
        "DeviceRequests": [{"DeviceIDs": list(shape.gpus), "Capabilities": [["gpu"]]}] if shape.gpus else None,
        "IpcMode": shape.ipc,
        "ShmSize": shape.shm_size,
        "CapDrop": list(shape.cap_drop),
        "SecurityOpt": list(shape.security_opt),
        "LogConfig": {"Type": shape.log_driver, "Config": dict(shape.log_options)},
    }


def _limits(container: Container) -> dict[str, Any]:
    return {**memory_limit(container.memory), **cpu_limit(container.cpus or None)}


def memory_limit(memory: int | None) -> dict[str, int]:
    """In bytes, without more by swapping. None: the container keeps its limit, or gets none."""
    return {"Memory": memory, "MemorySwap": memory} if memory is not None else {}


def cpu_limit(cpus: float | None) -> dict[str, int]:
    """In cores; None as for the memory."""
    return {"CpuPeriod": CPU_PERIOD, "CpuQuota": round(cpus * CPU_PERIOD)} if cpus is not None else {}


def _port(container: Container) -> str:
    return f"{container.port}/tcp"
