"""A new container has the settings that docker-py would send for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker
import docker.types
import pytest

from cortexctl.hosts.container_config import container_config, cpu_limit, memory_limit
from cortexctl.instance.launch import Launch
from cortexctl.instance.shape import STOP_SIGNAL, shape_of
from cortexctl.instance.spec import CPU_PERIOD, Mount, Publish
from tests.build import make_spec

MOUNTS = (Mount("/srv/models", "/models", read_only=True), Mount("cache", "/cache", read_only=False))
LARGE = {
    "gpus": (0, 3),
    "mounts": MOUNTS,
    "publish": Publish("127.0.0.1", 8001),
    "memory": 8 << 30,
    "cpus": 2.5,
    "env": {"A": "1", "B": "ü=x y"},
    "network": "net",
}


def by_docker_py(launch: Launch, restart: str) -> Any:
    """The body of the request that docker-py would send."""
    api: Any = docker.APIClient("unix:///unused", version="1.41")
    sent: list[Mapping[str, Any]] = []
    api._post_json = lambda _url, data, **_: sent.append({k: v for k, v in data.items() if v is not None})
    api._result = lambda *_args, **_more: {}
    container, shape = launch.spec.container, shape_of(launch.spec.container)
    publish, gpus = shape.publish, docker.types.DeviceRequest(device_ids=list(shape.gpus), capabilities=[["gpu"]])
    api.create_container(
        image=launch.image,
        name=launch.name,
        entrypoint=list(launch.entrypoint),
        command=list(launch.command),
        environment={**container.env, **launch.secrets},
        labels=dict(launch.labels),
        ports=[container.port] if publish else None,
        host_config=api.create_host_config(
            network_mode=shape.network,
            port_bindings={container.port: (publish.address, publish.port)} if publish else None,
            mounts=[
                docker.types.Mount(m.target, m.source, type="volume" if m.is_volume else "bind", read_only=m.read_only)
                for m in shape.mounts
            ],
            device_requests=[gpus] if shape.gpus else None,
            mem_limit=container.memory,
            memswap_limit=container.memory,
            cpu_period=CPU_PERIOD if container.cpus else None,
            cpu_quota=round(container.cpus * CPU_PERIOD) if container.cpus else None,
            restart_policy={"Name": restart},
            ipc_mode=shape.ipc,
            shm_size=shape.shm_size,
            cap_drop=list(shape.cap_drop),
            security_opt=list(shape.security_opt),
            log_config=docker.types.LogConfig(type=shape.log_driver, config=dict(shape.log_options)),
        ),
        networking_config=api.create_networking_config({shape.network: api.create_endpoint_config()}),
        stop_signal=STOP_SIGNAL,
    )
    return sent[0]


def meant(value: Any) -> Any:
    """Without what a daemon sets itself if it is not given."""
    if isinstance(value, Mapping):
        retained = {k: meant(v) for k, v in value.items() if (k, v) != ("Options", {})}
        return {k: v for k, v in retained.items() if v is not None and v is not False and v not in (0, "", [])}
    return [meant(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "fields",
    [
        {},
        LARGE,
        {**LARGE, "publish": Publish("0.0.0.0"), "gpus": ()},
        {"ipc": "host", "restart": "always"},
        {"ipc": "private", "shm_size": 1 << 30},
    ],
)
def test_a_new_container_is_created_as_by_docker_py(fields: dict[str, Any]) -> None:
    spec = make_spec(**fields)
    labels, secrets = {"cortexctl.model": "tiny"}, {"HF_TOKEN": "value"}
    launch = Launch(
        "vllm-model-tiny--g1", "image@sha256:1", ("vllm", "serve"), ("--port", "8000"), spec, labels, secrets
    )
    assert meant(container_config(launch, "no")) == meant(by_docker_py(launch, "no"))


def test_a_limit_that_is_not_given_is_not_sent() -> None:
    assert memory_limit(None) == cpu_limit(None) == {}
    assert memory_limit(1 << 30) == {"Memory": 1 << 30, "MemorySwap": 1 << 30}
    assert cpu_limit(1.5) == {"CpuPeriod": CPU_PERIOD, "CpuQuota": 150_000}
