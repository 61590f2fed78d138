"""The stack file's schema: the hosts."""

from typing import Annotated

from cortexctl.desired.stack import ReachMode
from cortexctl.stack import value_forms
from cortexctl.stack.tables import Bounds, Check, Documented, Table

Size = Annotated[str, Check(value_forms.size_form), Documented(examples=("2 GiB",))]


class MeasuredTable(Table):
    """Constants that a start of one release of vLLM showed on the GPUs of a host. `doctor --calibrate --write` writes
    them.
    """

    driver: str | None = None
    """The driver of that start."""
    free: Size | None = None
    """Free memory of an idle GPU when a server starts: "142628 MiB"."""
    outside_torch: Size | None = None
    """Memory that a server on one GPU allocates outside torch: "230 MiB"."""
    workspace: Size | None = None
    """Workspace of matrix products: "32 MiB"."""
    graph: Size | None = None
    """Memory of one CUDA graph of one layer: "297 KiB"."""
    multiprocessors: Annotated[int, Bounds(at_least=1, at_most=10_000)] | None = None
    """Number of multiprocessors of a GPU."""
    l2: Size | None = None
    """L2 cache of a GPU: "60 MiB"."""


class HostGpusTable(Table):
    """The GPUs of a host. All are of one kind."""

    count: Annotated[int, Bounds(at_least=1, at_most=value_forms.MOST_GPUS)]
    """How many GPUs the host has."""
    name: str | None = None
    """The name that nvidia-smi shows: "L40S"."""
    memory: Size | None = None
    """Memory of one GPU, as nvidia-smi shows it: "46068 MiB"."""
    compute_capability: Annotated[str, Check(value_forms.capability_form)] | None = None
    """Compute capability of the GPUs: "8.9"."""
    measured: dict[Annotated[str, Check(value_forms.release_form)], MeasuredTable] = {}
    """By release of vLLM: constants of these GPUs, which forecasts of memory then use."""


class TlsTable(Table):
    """PEM files on the machine that runs cortexctl, relative to the stack file."""

    ca: str
    """The authority that signed the daemon's certificate."""
    cert: str
    """The client's certificate, signed by an authority that the daemon accepts."""
    key: str
    """The private key of the client's certificate."""


class HostTable(Table):
    """A Docker daemon, and the folders on its host."""

    docker: Annotated[str, Check(value_forms.docker_form)] | None = None
    """URL of the daemon: "unix:///var/run/docker.sock", "ssh://ops@gpu-1", "tcp://gpu-1:2376" with `tls`, or
    "context:NAME" for a Docker context. Default: as for the docker command ($DOCKER_HOST, $DOCKER_CONTEXT).
    """
    tls: TlsTable | None = None
    """The files for a tcp:// daemon. Default: those in $DOCKER_CERT_PATH."""
    address: str | None = None
    """Address of the published ports, for clients. Default: the host of an ssh:// or tcp:// URL, else 127.0.0.1."""
    models_dir: str | None = None
    """Folder on the host that contains the model folders. Mounted read-only as /models. Relative to the stack file."""
    hf_cache: str | None = None
    """Folder on the host for the Hugging Face cache. Relative to the stack file."""
    network: Annotated[str, Check(value_forms.network_form)] = "cortex_default"
    """Docker network of the containers. Created if it is missing."""
    reach: ReachMode = "auto"
    """Path of requests to a server. "exec": from inside its container. "direct": only to the container's own
    address, over a connection that provably ends there; not over TLS. "auto": directly where that works and pays, else
    from inside.
    """
    gpus: HostGpusTable | None = None
    """The GPUs of the host. Required if the `gpus` of a model is a number, because cortexctl then chooses them."""
    retired: bool = False
    """Whether the host is about to leave the stack. No model runs on it, and the next apply removes the stack's
    containers there; remove the host's block after that. Without the block they would stay, and no command reads them.
    """
