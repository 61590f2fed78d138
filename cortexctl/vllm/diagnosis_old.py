"""From vLLM's log to a cause and the stack edit that mends it. Says nothing where it does not know."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`cause` in one sentence, `mend` as an edit of the stack, `evidence` the log line that proves it."""

    cause: str
    mend: str
    evidence: str


@dataclass(frozen=True, slots=True)
class _Pattern:
    regex: re.Pattern[str]
    explain: Callable[[re.Match[str]], tuple[str, str]]


def _pattern(regex: str, cause: str, mend: str) -> _Pattern:
    return _Pattern(re.compile(regex), lambda m: (m.expand(cause), m.expand(mend)))


# The order counts: what names a cause precisely stands before what could have many.
_PATTERNS = (
    _pattern(
        r"unrecognized arguments: (.+)",
        r"this vLLM release does not know: \1",
        r"remove it from `extra_args`, or pin an image whose release has it",
    ),
    _pattern(
        r"error: argument (\S+): (.+)",
        r"vLLM's parser refuses \1: \2",
        r"correct the value in the model's `args`",
    ),
    _pattern(
        r"(?:HFValidationError|OSError|ValueError).*?'(/models/[^']+)'",
        r"there is no model at \1 in the container (vLLM takes a missing path for a Hugging Face name)",
        r"check `source.path` and the host's `models_dir`: the folder must exist on that host",
    ),
    _pattern(
        r"LocalEntryNotFoundError|outgoing traffic has been disabled",
        r"the model is not in the host's cache, and the container is offline",
        r"fetch it into `hf_cache` first, or give `source.path`; `offline = false` lets vLLM download it",
    ),
    _pattern(
        r"RepositoryNotFoundError|Repository Not Found for url",
        r"there is no such repository, or it is private and the token is missing",
        r"check `source.repo`; for a private one: [models.NAME.secrets] HF_TOKEN = { env = \"HF_TOKEN\" }",
    ),
    _pattern(
        r"(?:401 Client Error|403 Client Error|GatedRepoError|gated repo)",
        r"the model's repository is gated, and the token is missing or not allowed",
        r'[models.NAME.secrets] HF_TOKEN = { env = "HF_TOKEN" }, and accept the licence with that account',
    ),
    _pattern(
        r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len "
        r"\((?:[^=]*=)?(\d+)",
        r"max_model_len \1 is beyond what the model was made for (\2)",
        r"set args.max_model_len to \2 or less",
    ),
    _pattern(
        r"greater than the derived max_model_len",
        r"max_model_len is beyond what the model was made for",
        r"lower args.max_model_len to the model's own limit",
    ),
    _pattern(
        r"estimated maximum model length is (\d+)",
        r"the KV cache is too small for one request of max_model_len; \1 tokens would fit",
        r"set args.max_model_len = \1 or less, or give it more GPU memory",
    ),
    _pattern(
        r"No available memory for the cache blocks",
        r"nothing is left for the KV cache after the weights",
        r"raise args.gpu_memory_utilization, lower args.max_model_len, or use more GPUs",
    ),
    _pattern(
        r"Free memory on device .*?\((\S+)/(\S+) GiB\) on startup is less than desired GPU memory utilization "
        r"\((\S+),",
        r"only \1 of \2 GiB of GPU memory are free, and the model asks for a share of \3",
        r"stop what else uses that GPU, or lower args.gpu_memory_utilization below \3",
    ),
    _pattern(
        r"CUDA out of memory|torch\.OutOfMemoryError",
        r"the GPU's memory ran out",
        r"lower args.gpu_memory_utilization or args.max_model_len, or use more GPUs",
    ),
    _pattern(
        r"Available memory on node .*?\((\S+)/(\S+) GiB\).*less than requested memory for kv \((\S+) GiB\)",
        r"the KV cache asks for \3 GiB and only \1 of \2 GiB of memory are available",
        r"raise the container's memory limit, or lower VLLM_CPU_KVCACHE_SPACE",
    ),
    _pattern(
        r"Insufficient space in /dev/shm",
        r"/dev/shm in the container is too small",  # noqa: S108
        r'set shm_size = "2 GiB" (or more) on the model',
    ),
    _pattern(
        r"Total number of attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        r"\1 attention heads cannot be split over tensor_parallel_size \2",
        r"choose an args.tensor_parallel_size that divides \1",
    ),
    _pattern(
        r"Model architecture (\S+) was supported in vLLM until v?(\S+?),",
        r"this vLLM release no longer supports the architecture \1 (last in \2)",
        r"pin an image of vLLM \2 or older",
    ),
    _pattern(
        r"Model architectures \[(.+?)\].* (?:are|is) not supported",
        r"this vLLM release does not support the architecture \1",
        r"pin a newer image, or serve the model with another engine",
    ),
    _pattern(
        r"(?:argument|option|set|pass)[^.]*`?trust_remote_code=True|pass (?:the )?.{0,20}--trust-remote-code",
        r"the model brings code of its own, which vLLM does not run unless told to",
        r"review that code, pin `source.revision`, then set args.trust_remote_code = true",
    ),
    _pattern(
        r"Bfloat16 is only supported on GPUs with compute capability",
        r"this GPU has no bfloat16",
        r'set args.dtype = "half"',
    ),
    _pattern(
        r"bind source path does not exist: (\S+)",
        r"the folder \1 does not exist on the host",
        r"create it there, or correct models_dir, hf_cache or volumes",
    ),
    _pattern(
        r"could not select device driver|nvidia-container-cli",
        r"the engine cannot hand out GPUs on this host",
        r'install the NVIDIA container toolkit there, or set gpus = "none"',
    ),
    _pattern(
        r"[Aa]ddress already in use|port is already allocated",
        r"the server's port is taken",
        r"change `publish`, or stop what listens there",
    ),
)  # fmt: skip

_ERROR_LINE = re.compile(r"Value error, |\b(?:\w+(?:Error|Exception)|error):\s|\bERROR\b|cannot |No such")
_NOT_THE_CAUSE = re.compile(r"For further information visit|See root cause above|\d+ validation errors? for")
_NOISE = re.compile(r"Route: /|\"(?:GET|POST) /\S* HTTP/1\.[01]\" \d{3}")
_FRAME = re.compile(r"(?:^|\] )(?:    |  File \")|^Traceback \(most recent call last\)")
_PREFIX = re.compile(
    r"^(?:\(\w+ pid=\d+\)\s*)?(?:(?:ERROR|INFO|WARNING|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]+\]\s*)?"
)


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    """The first known pattern, looked for from the end of the log; None when there is no known cause."""
    for pattern in _PATTERNS:
        for line in reversed(log):
            match = pattern.regex.search(line)
            if match:
                cause, mend = pattern.explain(match)
                return Diagnosis(cause, mend, strip_prefix(line))
    return None


def last_error_line(log: Sequence[str]) -> str:
    """vLLM's own last word about an error, without its logger's prefix; else the last line with text.

    Its very last line is often a help link or a pointer upwards, so those are passed over.
    """
    with_text = [line for line in log if line.strip() and not _NOISE.search(line)]
    for line in reversed(with_text):
        if _ERROR_LINE.search(line) and not _NOT_THE_CAUSE.search(line):
            return strip_prefix(line)
    return strip_prefix(with_text[-1]) if with_text else ""


def without_frames(log: Sequence[str]) -> list[str]:
    """The log without the insides of Python tracebacks, its list of routes and its access log: what was said."""
    return [line for line in log if line.strip() and not _FRAME.search(line) and not _NOISE.search(line)]


def strip_prefix(line: str) -> str:
    """Without '(EngineCore pid=7) ERROR 11-24 06:00:00 [core.py:1]'."""
    return _PREFIX.sub("", line).strip()
