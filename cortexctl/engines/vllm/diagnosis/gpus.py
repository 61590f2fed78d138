"""The container's GPUs: toolkit, driver, devices, hardware faults."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed


def _old_driver(match: re.Match[str]) -> Message:
    code = match[1]
    shown = f"{int(code) // 1000}.{int(code) % 1000 // 10}"
    return (
        f"the host's NVIDIA driver is too old for this image: it supports CUDA up to {shown}",
        f"update the driver on the host, or pin an image built for CUDA {shown} or older",
    )


PATTERNS = (
    fixed(
        "driver-below-image",
        r"unsatisfied condition: cuda ?>= ?([\d.]+)",
        r"the host's NVIDIA driver is too old: the image needs CUDA \1",
        "update the driver on the host, or pin an image built for an older CUDA",
    ),
    computed(
        "driver-too-old",
        r"The NVIDIA driver on your system is too old \(found version (\d+)\)",
        _old_driver,
    ),
    fixed(
        "driver-insufficient",
        r"CUDA driver version is insufficient for CUDA runtime version|the provided PTX was compiled with an "
        r"unsupported "
        r"toolchain|forward compatibility was attempted on non supported HW",
        r"the host's NVIDIA driver is too old for the CUDA in this image",
        "update the driver on the host, or pin an image built for an older CUDA",
    ),
    fixed(
        "cuda-libraries-of-the-image",
        r"Error 803\b|system has unsupported display driver / cuda driver combination",
        "the image's CUDA compatibility libraries shadow the host's driver, which is newer (CUDA error 803)",
        'set env.LD_LIBRARY_PATH = "/usr/local/nvidia/lib64:/usr/local/nvidia/lib:/usr/lib/x86_64-linux-gnu", or '
        "start the "
        "container with `gpus` of the stack (docker --gpus), not with runtime = nvidia",
    ),
    fixed(
        "driver-and-library-differ",
        r"[Dd]river/library version mismatch|NVMLError_LibRmVersionMismatch",
        "the host's driver was updated, but the new one is not loaded yet",
        r"restart the host (or reload the nvidia kernel modules)",
    ),
    fixed(
        "no-such-gpu",
        r"nvidia-container-cli: device error: (\S+): unknown device|unresolvable CDI devices? (\S+)",
        r"the host has no GPU \1\2",
        "correct `gpus` (indices start at 0; `nvidia-smi -L` lists them) and the host's gpus.count",
    ),
    fixed(
        "driver-not-loaded",
        r"nvml error: driver not loaded|couldn't communicate with the NVIDIA driver",
        "the host's NVIDIA driver is not loaded",
        "check `nvidia-smi` on the host; install the driver again after an update of the kernel, or restart the host",
    ),
    fixed(
        "no-toolkit",
        r"could not select device driver|unknown or invalid runtime name: nvidia|no known GPU vendor found"
        r"|nvidia-container-cli|libnvidia-ml\.so\.1: cannot open shared object",
        "the Docker daemon cannot provide GPUs on this host",
        'install the NVIDIA container toolkit there, or set gpus = "none"',
    ),
    fixed(
        "gpu-lost-by-container",
        r"NVMLError_Unknown\b|Failed to initialize NVML: Unknown Error",
        "the container lost its GPUs: `systemctl daemon-reload` on the host withdraws them from running containers",
        "create the container again (`cortexctl apply --replace HOST/MODEL`); to prevent it, set Docker's cgroup "
        "driver to "
        "cgroupfs in daemon.json, or update the NVIDIA container toolkit",
    ),
    fixed(
        "gpu-not-in-container",
        r"NVMLError_InvalidArgument\b|NVMLError_NotFound\b",
        "CUDA_VISIBLE_DEVICES names a GPU that the container does not have: in a container, the GPUs are counted "
        "from 0",
        "remove CUDA_VISIBLE_DEVICES and NVIDIA_VISIBLE_DEVICES from `env`, and set `gpus` on the model",
    ),
    fixed(
        "gpu-by-uuid",
        r"invalid literal for int\(\) with base 10: '((?:GPU|MIG)-[\w./-]{1,80})",
        r"CUDA_VISIBLE_DEVICES names a GPU by its UUID (\1), which this vLLM release cannot read",
        "remove CUDA_VISIBLE_DEVICES from `env`, and set `gpus` on the model: in the container, the GPUs are then "
        "counted from 0",
    ),
    fixed(
        "gpu-not-permitted",
        r"Unable to open /dev/kfd\b.*|NVMLError_NoPermission\b",
        "the container has no permission to use the GPU",
        "check the owner and the mode of the host's /dev/nvidia* (AMD: /dev/kfd and /dev/dri, groups video and "
        "render), and start the container as root",
    ),
    fixed(
        "driver-lacks-function",
        r"NVMLError_(?:FunctionNotFound|NotSupported)\b",
        "the host's driver does not have a function that vLLM or a library calls",
        "update the driver on the host; on a GPU without this function (vGPU, Jetson), pin a newer image",
    ),
    fixed(
        "gpu-busy",
        r"CUDA-capable device\(s\) is/are busy or unavailable|all CUDA-capable devices are busy or unavailable",
        "a GPU is not available: another process uses it exclusively (compute mode EXCLUSIVE_PROCESS), or it hangs",
        "stop the other process on that GPU (nvidia-smi shows it), or allow several processes (`nvidia-smi -c "
        "DEFAULT`)",
    ),
    fixed(
        "driver-fails",
        r"Error 999: unknown error|CUDA unknown error - this may be due to an incorrectly set up environment",
        "the NVIDIA driver of the host fails (CUDA error 999): usually its module nvidia_uvm is not loaded, "
        "often after a "
        "suspend",
        "on the host run `modprobe -r nvidia_uvm && modprobe nvidia_uvm`, or restart the host",
    ),
    fixed(
        "no-mps-daemon",
        r"Error 80[5-9]\b|MPS client failed to connect to the MPS control daemon|MPS server is not ready",
        "the host's CUDA MPS daemon does not answer, but the container is set up to use it",
        "start nvidia-cuda-mps-control on the host, or remove CUDA_MPS_PIPE_DIRECTORY from `env` and `volumes`",
    ),
    fixed(
        "no-amd-gpu-in-container",
        r"No HIP GPUs are available|no ROCm-capable device is detected",
        "vLLM finds no AMD GPU in its container",
        "check `rocminfo` on the host and that the container has /dev/kfd and /dev/dri; on a host with NVIDIA GPUs pin "
        "an image of vllm/vllm-openai",
    ),
    fixed(
        "no-gpu-in-container",
        r"NVMLError_LibraryNotFound|NVMLError_DriverNotLoaded|NVML Shared Library Not Found"
        r"|No CUDA GPUs are available|Found no NVIDIA driver on your system|Failed to infer device type"
        r"|no CUDA-capable device is detected|libcuda\.so\.1: cannot open shared object",
        "vLLM finds no GPU in its container",
        (
            'set `gpus` on the model (it is "none", or the toolkit did not pass the GPUs on); without a GPU '
            "use a CPU image"
        ),
    ),
    fixed(
        "gpu-index-out-of-range",
        r"(?:CUDA error|Error 101|HIP error): invalid device ordinal|device >= 0 && device < num_gpus",
        "vLLM requests a GPU that its container does not have",
        "set `gpus` to tensor_parallel_size x pipeline_parallel_size GPUs, and remove CUDA_VISIBLE_DEVICES from `env`",
    ),
    fixed(
        "no-kernel-for-this-gpu",
        r"no kernel image is available for execution on the device|device kernel image is invalid",
        "the image has no code for this GPU generation",
        "pin a newer image (for a newer GPU) or an older one (vLLM's images need compute capability 7.5 or more)",
    ),
    fixed(
        "no-kernel-for-this-amd-gpu",
        r"hipErrorNoBinaryForGpu|HIP error: (?:invalid device function|shared object initialization failed)",
        "the image has no code for this AMD GPU",
        "pin a ROCm image that is built for it (`rocminfo` shows the GPU's gfx name), or try "
        "env.HSA_OVERRIDE_GFX_VERSION with "
        "the version of a related GPU",
    ),
    fixed(
        "assembler-too-old",
        r"ptxas fatal +: Value '(\w+)' is not defined for option 'gpu-name'",
        r"the compiler in the image does not know this GPU (\1)",
        r"pin a newer image",
    ),
    fixed(
        "fabric-not-ready",
        r"system not yet initialized",
        "the GPUs' NVSwitch fabric is not running on the host",
        "start nvidia-fabricmanager there, in the driver's version",
    ),
    fixed(
        "ecc-error",
        r"uncorrectable ECC error|GPU has fallen off the bus|Unable to determine the device handle for GPU|GPU is lost",
        "a GPU of the host is faulty",
        "check `dmesg | grep Xid`, reset or replace the GPU; meanwhile give the model other `gpus`",
    ),
    fixed(
        "no-cuda-library-for-linker",
        r"/ld: cannot find -lcuda\b",
        "kernels cannot be linked: the linker does not find libcuda.so",
        "check that the container got its GPUs through the NVIDIA container toolkit; then set env.LIBRARY_PATH to the "
        'folder of libcuda.so, such as "/usr/local/cuda/lib64/stubs"',
    ),
    fixed(
        "no-compiler",
        r"Failed to find C compiler|No working C\+\+ compiler found|InvalidCxxCompiler",
        "the image has no C compiler, but this start has to compile",
        "set args.enforce_eager = true, or use the full vLLM image",
    ),
    fixed(
        "no-cuda-compiler",
        r"Could not find nvcc|nvcc: not found|RuntimeError: Ninja is required to load C\+\+ extensions"
        r"|No such file or directory: '(?:/[\w./-]{1,100})?nvcc'|CUDA_HOME environment variable is not set"
        r"|Could not find CUDA installation|Unsupported NVCC version",
        "the image has no CUDA compiler, but a kernel has to be compiled at start",
        "use a vLLM image with prebuilt kernels, or turn that kernel off "
        r'(env.VLLM_USE_FLASHINFER_SAMPLER = "0")',
    ),
    fixed(
        "library-mismatch",
        r"undefined symbol: \S+|lib(?:cudart|cublas\w*|cudnn\w*|nvrtc"
        r"|cufile)\.so\.\d+: cannot open shared object|version `(GLIBC\w*_[\d.]+)' not found"
        r"|is required for a normal functioning of this module, but found|No module named 'vllm\._\w+'",
        r"libraries in the image do not match \1: something was installed over vLLM's own",
        "pin an unmodified vLLM image",
    ),
    fixed(
        "kernel-compiler-failed",
        r"RuntimeError: PassManager::run failed",
        "Triton cannot compile a kernel of this release for this GPU",
        "pin another release: a newer one for a new GPU, an older one for a GPU of compute capability 7.x (V100, T4)",
        vague=True,
    ),
    fixed(
        "compile-failed",
        r"InductorError: (.+)|torch\._dynamo\.exc\.BackendCompilerFailed: (.+)",
        r"torch.compile failed at start: \1\2",
        (
            "set args.enforce_eager = true to turn compilation off; then fix the compiler's error, which "
            "follows in the log"
        ),
        vague=True,
    ),
    fixed(
        "cuda-fault",
        r"CUDA error: an illegal memory access was encountered|device-side assert triggered"
        r"|CUDA error: unspecified launch failure|CUDA error: misaligned address",
        "a kernel on the GPU made an illegal access: a bug in vLLM or in a kernel for this GPU, or faulty hardware",
        "try args.enforce_eager = true and remove args.attention_backend; check `dmesg | grep Xid`; then "
        "try another release",
        vague=True,
    ),
    fixed(
        "cuda-does-not-start",
        r"Unexpected error from cudaGetDeviceCount\(\)\..{0,200}Error (\d+): (.+)"
        r"|CUDA error: (initialization error|OS call failed or operation not supported on this OS"
        r"|operation not supported)",
        r"CUDA does not start in the container: \2\3",
        "run `docker run --rm --gpus all IMAGE nvidia-smi` on the host: if it fails, restart the host's driver; "
        "if not, "
        "check whether another process fills the GPU, whether it is a vGPU without a licence, and `dmesg`",
        vague=True,
    ),
)
