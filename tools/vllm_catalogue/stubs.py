"""Stubs of all modules that vLLM's sources import and that are not installed here: torch, transformers, CUDA, …

Runs in the process that builds one release's parser (`inside.py`), which imports all of them and needs none. A stub
supports everything that module-level code does with a name: subclass it, decorate with it, put it into a type hint,
call it, index it, compare it. Every attribute of a stub is a stub with its dotted name, so that a stub in a fact is
detected and refused (`is_stub`).
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Self

REAL = {
    *sys.stdlib_module_names,
    "tools",
    *("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"),
    *("regex", "yaml", "packaging", "msgspec"),
}
"""Top-level modules that are not stubbed: the standard library, and the packages that the parser needs."""

ABSENT = {
    *(
        "libtpu",
        "torch_xla",
        "tpu_info",
        "tpu_inference",
        "tpu_commons",
        "amdsmi",
        "torch_neuronx",
        "transformers_neuronx",
    ),
    *(
        "neuronx_distributed_inference",
        "habana_frameworks",
        "intel_extension_for_pytorch",
        "openvino",
        "optimum",
        "zentorch",
    ),
    *("vllm_omni", "librosa", "mkdocs", "torch_npu", "vllm_kernels"),
}
"""Not installed in a CUDA image either: importing them must fail, or the release takes another platform for its own."""

STUBBED_PARTS = {
    *("vllm.ir", "vllm.kernels", "vllm.benchmarks", "vllm.v1.worker", "vllm.v1.executor"),
    *(
        "vllm.model_executor.layers.fused_moe",
        "vllm.entrypoints.openai.api_server",
        "vllm.entrypoints.launchers.api_server",
    ),
}
"""Packages of vLLM itself whose code at import needs missing packages. None of them changes the parser."""


class Base:
    """What a class that inherits from a stub inherits from instead."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__()

    def __class_getitem__(cls, item: Any) -> Any:
        return cls


class Stub:
    """A name of a module that is not installed here."""

    def __init__(self, name: str) -> None:
        module, _, last = name.rpartition(".")
        self.__dict__.update(_stub_name=name, __name__=last, __qualname__=last, __module__=module or "stub")

    def __repr__(self) -> str:
        return f"<stub {self._stub_name}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return answer(f"{self._stub_name}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As a decorator, return the decorated object. Any other call returns a new stub."""
        if (
            len(args) == 1
            and not kwargs
            and isinstance(args[0], types.FunctionType | type | staticmethod | classmethod)
        ):
            return args[0]
        return Stub(f"{self._stub_name}()")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (Base,) if next(b for b in bases if isinstance(b, Stub)) is self and Base not in bases else ()

    def __getitem__(self, item: Any) -> Stub:
        return Stub(f"{self._stub_name}[]")

    def __setitem__(self, item: Any, value: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, item: Any) -> bool:
        return False

    def __bool__(self) -> bool:
        return True

    def __int__(self) -> int:
        return 1

    def __index__(self) -> int:
        return 1

    def __float__(self) -> float:
        return 1.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def __hash__(self) -> int:
        return hash(self._stub_name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stub) and other._stub_name == self._stub_name

    def __instancecheck__(self, instance: object) -> bool:
        return False

    def __subclasscheck__(self, subclass: type) -> bool:
        return False

    def __or__(self, other: Any) -> Any:
        return typing.Union[self, other]  # noqa: UP007 - `|` is what is being defined

    def __ror__(self, other: Any) -> Any:
        return typing.Union[other, self]  # noqa: UP007

    def __get_pydantic_core_schema__(self, *_: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.any_schema()


def _calculates(name: str) -> Callable[..., Any]:
    def calculate(self: Stub, *_: Any) -> Any:
        return Stub(f"{self._stub_name}.{name}")

    return calculate


def _compares(answer: bool) -> Callable[..., bool]:
    return lambda *_: answer


for _name in (
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "mod", "pow", "matmul"),
    *("neg", "and", "lshift", "rshift", "invert"),
):
    setattr(Stub, f"__{_name}__", _calculates(_name))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Stub, f"__{_name}__", _compares(_name.startswith("g")))


class StubModule(types.ModuleType):
    """A module of stubs; submodules are found by the import hook."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name not in {"__version__", "__file__"}:
            raise AttributeError(name)
        return answer(f"{self.__name__}.{name}")


def is_stub(value: object) -> bool:
    return isinstance(value, Stub | StubModule) or (isinstance(value, type) and issubclass(value, Base))


class _Info:
    """torch.iinfo and torch.finfo of a dtype, as far as code at import uses them."""

    def __init__(self, dtype: object = None) -> None:
        name = getattr(dtype, "__name__", "")
        digits = "".join(c for c in name if c.isdigit())
        self.bits = int(digits[:2]) if digits else {"long": 64, "short": 16}.get(name, 32)
        self.max = 2 ** (self.bits - 1) - 1
        self.min = -self.max - 1
        self.eps = 1e-7


class _Device:
    name = "NVIDIA H100 80GB HBM3"
    total_memory = 80 * 1024**3
    multi_processor_count = 132
    major, minor = 9, 0


def _class(name: str) -> type:
    return type(name.rpartition(".")[2], (Base,), {"__module__": name.rpartition(".")[0]})


class _Methods(type):
    """A class with the methods that code at import needs."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub(f"{cls.__module__}.{cls.__name__}.{name}")


ANSWERS: dict[str, Any] = {
    "torch.__version__": "2.9.0",
    "torch.version.__version__": "2.9.0",
    "torch.version.cuda": "12.8",
    "torch.version.hip": None,
    "torch.version.xpu": None,
    "torch.cuda.is_available": lambda: True,
    "torch.cuda.device_count": lambda: 1,
    "torch.cuda.get_device_capability": lambda *_: (9, 0),
    "torch.cuda.get_device_properties": lambda *_: _Device,
    "torch.cuda.get_device_name": lambda *_: _Device.name,
    "torch.xpu.is_available": lambda: False,
    "torch.library.custom_op": lambda name, *_, **__: lambda _: Stub(f"torch.ops.{name}"),
    "torch.iinfo": _Info,
    "torch.finfo": _Info,
    "torch.float8_e4m3fn": Stub("torch.float8_e4m3fn"),
    "pynvml.nvmlDeviceGetCount": lambda: 1,
    "pynvml.nvmlDeviceGetName": lambda *_: _Device.name,
    "pynvml.nvmlDeviceGetCudaComputeCapability": lambda *_: (9, 0),
    "pynvml.__file__": "pynvml.py",
    "triton.__version__": "3.5.0",
    "numpy.__version__": "2.0.0",
    "flashinfer.__version__": "0.5.0",
    "ray.__version__": "2.40.0",
    "torch.nn.Module": _class("torch.nn.Module"),
    "torch.Tensor": _Methods("Tensor", (Base,), {"__module__": "torch"}),
    "torch.dtype": _class("torch.dtype"),
    "torch.device": _class("torch.device"),
    "torch.Generator": _class("torch.Generator"),
}
"""Names whose value is used. A stub would give a wrong value."""


def answer(name: str) -> Any:
    """The value of a name that is not installed here."""
    known = name.replace("vllm.third_party.pynvml.", "pynvml.")
    if known in ANSWERS:
        return ANSWERS[known]
    if known.endswith(".__version__"):
        return "1.0.0"
    if known.endswith(".__file__"):
        raise AttributeError(name)
    if name in sys.modules:
        return sys.modules[name]
    return Stub(name)


class Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """First on the import path: imports stubs for missing modules, and lists them in `stubbed`."""

    def __init__(self) -> None:
        self.stubbed: set[str] = set()

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        top = name.partition(".")[0]
        if top in REAL:
            return None
        if top in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if top == "vllm":
            if not _stubbed(name) and importlib.machinery.PathFinder.find_spec(name, path):
                return None
            if not _stubbed(name) and not _compiled(name):
                return None
        self.stubbed.add(name)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return StubModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _stubbed(name: str) -> bool:
    return any(name == part or name.startswith(part + ".") for part in STUBBED_PARTS)


def _compiled(name: str) -> bool:
    """Whether a name is an extension module, or a file that only a build creates."""
    last = name.rpartition(".")[2]
    return last.startswith("_") or "vllm_flash_attn" in name
