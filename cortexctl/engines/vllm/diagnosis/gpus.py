"""The GPUs as the container sees them: toolkit, driver, devices, faults of the hardware."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Said, computed, said


def _old_driver(match: re.Match[str]) -> Said:
    code = match[1]
    shown = f"{int(code) // 1000}.{int(code) % 1000 // 10}"
    return (
        f"the host's NVIDIA driver is too old for this image: it can do CUDA {shown} at most",
        f"update the driver on the host, or pin an image that was built for CUDA {shown} or less",
    )


PATTERNS = (
    said(
        "driver-below-image",
        r"unsatisfied condition: cuda ?>= ?([\d.]+)",
        r"the host's NVIDIA driver is too old: the image needs CUDA \1",
        r"update the driver on the host, or pin an image that was built for an older CUDA",
    ),
    computed(
        "driver-too-old",
        r"The NVIDIA driver on your system is too old \(found version (\d+)\)",
        _old_driver,
    ),
    said(
        "driver-insufficient",
        r"CUDA driver version is insufficient for CUDA runtime version|the provided PTX was compiled with an "
        r"unsupported "
        r"toolchain|forward compatibility was attempted on non supported HW",
        r"the host's NVIDIA driver is too old for the CUDA in this image",
        r"update the driver on the host, or pin an image that was built for an older CUDA",
    ),
    said(
        "driver-and-library-differ",
        r"Driver/library version mismatch",
        r"the host's driver was updated and not loaded yet",
        r"restart the host (or reload the nvidia kernel modules)",
    ),
    said(
        "no-such-gpu",
        r"nvidia-container-cli: device error: (\S+): unknown device|unresolvable CDI devices? (\S+)",
        r"the host has no GPU \1\2",
        r"correct `gpus` (indices count from 0; `nvidia-smi -L` lists them) and the host's gpus.count",
    ),
    said(
        "no-toolkit",
        r"could not select device driver|nvidia-container-cli|libnvidia-ml\.so\.1: cannot open shared object",
        r"the Docker daemon cannot hand out GPUs on this host",
        r'install the NVIDIA container toolkit there, or set gpus = "none"',
    ),
    said(
        "no-gpu-in-container",
        r"No CUDA GPUs are available|Found no NVIDIA driver on your system|Failed to infer device type"
        r"|no CUDA-capable device is detected|libcuda\.so\.1: cannot open shared object",
        r"vLLM sees no GPU in its container",
        r'set `gpus` on the model (now it is "none", or the toolkit did not pass them on); for a CPU take a CPU image',
    ),
    said(
        "gpu-index-out-of-range",
        r"CUDA error: invalid device ordinal|device >= 0 && device < num_gpus",
        r"vLLM asks for a GPU that its container does not have",
        r"set `gpus` to as many as tensor_parallel_size x pipeline_parallel_size, and take CUDA_VISIBLE_DEVICES "
        r"out of `env`",
    ),
    said(
        "no-kernel-for-this-gpu",
        r"no kernel image is available for execution on the device",
        r"the image has no code for this generation of GPU",
        r"pin a newer image (for a newer GPU), or an older one (vLLM's images want compute capability 7.5 or more)",
    ),
    said(
        "assembler-too-old",
        r"ptxas fatal +: Value '(\w+)' is not defined for option 'gpu-name'",
        r"the compiler in the image does not know this GPU (\1)",
        r"pin a newer image",
    ),
    said(
        "fabric-not-ready",
        r"system not yet initialized",
        r"the GPUs' NVSwitch fabric is not running on the host",
        r"start nvidia-fabricmanager there, in the driver's version",
    ),
    said(
        "ecc-error",
        r"uncorrectable ECC error|GPU has fallen off the bus|Unable to determine the device handle for GPU|GPU is lost",
        r"a GPU of the host is faulty",
        r"look at `dmesg | grep Xid`, reset or replace the GPU; meanwhile give the model other `gpus`",
    ),
    said(
        "no-compiler",
        r"Failed to find C compiler|No working C\+\+ compiler found|InvalidCxxCompiler",
        r"the image has no C compiler, and this start wants to compile",
        r"set args.enforce_eager = true, or take the full image of vLLM",
    ),
    said(
        "no-cuda-compiler",
        r"Could not find nvcc|nvcc: not found|RuntimeError: Ninja is required to load C\+\+ extensions",
        r"the image has no CUDA compiler, and a kernel wants to be compiled at start",
        r"take the image of vLLM whose kernels are built in, or turn that kernel off "
        r'(env.VLLM_USE_FLASHINFER_SAMPLER = "0")',
    ),
    said(
        "library-mismatch",
        r"undefined symbol: \S+|version `(GLIBC\w*_[\d.]+)' not found",
        r"libraries in the image do not fit each other \1: something was installed over vLLM's own",
        r"pin an unchanged image of vLLM",
    ),
    said(
        "compile-failed",
        r"InductorError: (.+)|torch\._dynamo\.exc\.BackendCompilerFailed: (.+)",
        r"torch.compile failed at start: \1\2",
        r"set args.enforce_eager = true to do without; fix then what the compiler says further down in the log",
        vague=True,
    ),
    said(
        "cuda-fault",
        r"CUDA error: an illegal memory access was encountered|device-side assert triggered"
        r"|CUDA error: unspecified launch failure|CUDA error: misaligned address",
        r"a kernel on the GPU did something illegal: a fault in vLLM, in a kernel for this GPU, or of the hardware",
        r"try args.enforce_eager = true and no args.attention_backend; look at `dmesg | grep Xid`; then another "
        r"release",
        vague=True,
    ),
)
