"""Where the model comes from: folders, Hugging Face's hub, the network between, the cache."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Said, computed, said

HAND_OVER = '[models.NAME.secrets] HF_TOKEN = { env = "HF_TOKEN" }'
_CACHES = ("/root/.cache/huggingface", "/huggingface", "/hf")


def _read_only(match: re.Match[str]) -> Said:
    path = match[1]
    if any(part in path for part in _CACHES):
        return (
            f"the Hugging Face cache cannot be written ({path})",
            (
                "set the host's `hf_cache` to a folder that may be written, and mount it without :ro; "
                "with all files in it, `offline = true` does not write"
            ),
        )
    if path.startswith("/models"):
        return (
            f"something wants to write beside the model ({path}), and /models is mounted read-only",
            "take the option that writes there out of `args`, or point it at a folder of `volumes`",
        )
    return (
        f"vLLM cannot write to {path}: it is read-only",
        f'mount a folder there: volumes = ["/var/lib/cortex/cache:{path}"], or set env.VLLM_CACHE_ROOT = "/tmp/vllm"',
    )


PATTERNS = (
    said(
        "no-such-model-folder",
        r"Repo id must be .*?: '(/[^']+)'|Incorrect path_or_model_id: '(/[^']+)'",
        r"there is no model at \1\2 in the container (vLLM takes a missing path for a Hugging Face name)",
        r"check `source.path` and the host's `models_dir`: the folder must exist on that host",
    ),
    said(
        "not-in-the-cache",
        r"outgoing traffic has been disabled|OfflineModeIsEnabled|Cannot reach \S+: offline mode is enabled",
        r"the model is not in the host's cache, and the container is offline",
        r"fetch it into `hf_cache` first, or give `source.path`; `offline = false` lets vLLM download it",
    ),
    said(
        "gated",
        r"GatedRepoError|gated repo|is a gated repository|403 Client Error(?!.*[Rr]ate)|Access to model (\S+) is "
        r"restricted",
        r"the model's repository is gated, and the token is missing or not allowed",
        HAND_OVER + ", and accept the licence with that account",
    ),
    said(
        "no-such-revision",
        r"RevisionNotFoundError|Revision Not Found for url: (\S+?)\.?$|(?<!\S)(\S+) is not a valid git identifier",
        r"the repository has no such revision \2",
        r"set source.revision to a commit or tag that the repository has",
    ),
    said(
        "no-such-repository",
        r"RepositoryNotFoundError|Repository Not Found for url"
        r"|(?<!\S)(\S+) is not a local folder and is not a valid model identifier",
        r"there is no such repository, or it is private and the token is missing",
        r"check `source.repo`; for a private one: " + HAND_OVER,
    ),
    said(
        "bad-token",
        r"401 Client Error|Invalid user token|Invalid credentials in Authorization header",
        r"Hugging Face does not take the token: it is wrong, expired or missing",
        r"make a new one, and hand it over: " + HAND_OVER,
    ),
    said(
        "rate-limited",
        r"429 Client Error|Too Many Requests|hit the rate limit",
        r"Hugging Face answers too many requests from this address (429)",
        r"wait some minutes; fetch the model once into the host's `hf_cache` and set offline = true; "
        r"a token has a larger allowance: " + HAND_OVER,
    ),
    said(
        "hub-in-trouble",
        r"(50[0234]) Server Error: .*for url: (https?://[^/\s]+)",
        r"\2 is in trouble: it answered \1",
        r"apply again later; a model in `hf_cache` with offline = true does not depend on it",
    ),
    said(
        "certificate",
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        r"the certificate of the hub, or of the proxy before it, is not trusted in the container",
        "mount your authority's certificate, as volumes = "
        '["/etc/ssl/certs/ca-certificates.crt:/etc/ssl/corp.crt:ro"], '
        r'and set env.REQUESTS_CA_BUNDLE and env.SSL_CERT_FILE = "/etc/ssl/corp.crt"',
    ),
    said(
        "proxy",
        r"ProxyError|407 Proxy Authentication Required|Cannot connect to proxy",
        r"the proxy between the container and the hub does not let it through",
        r"correct env.HTTPS_PROXY on the model (with user and password as one of its `secrets`), "
        r"or fetch the model into `hf_cache` and set offline = true",
    ),
    said(
        "name-not-resolved",
        r"Failed to resolve '([^']+)'|Temporary failure in name resolution|\[Errno -2\] Name or service not known",
        r"the container cannot resolve the name \1 of the hub: it has no name server or no way out",
        r"fix the host's DNS, or fetch the model into `hf_cache` and set offline = true",
    ),
    said(
        "hub-timed-out",
        r"(?:ReadTimeout|ConnectTimeout|ReadTimeoutError|ConnectTimeoutError)\b.*|"
        r"(?:Read|Connection to \S+) timed out",
        r"the hub did not answer in time",
        r'set env.HF_HUB_DOWNLOAD_TIMEOUT = "60", or fetch the model into `hf_cache` and set offline = true',
    ),
    said(
        "hub-not-reached",
        r"We couldn't connect to '(https?://[^']+)'|Network is unreachable|error happened while trying to locate "
        r"the file on the Hub"
        r"|Max retries exceeded with url.*|ClientConnectorError",
        r"the container does not reach the hub \1",
        r"open the way out for the host, set env.HTTPS_PROXY, or fetch the model into `hf_cache` and set offline "
        r"= true",
    ),
    said(
        "not-permitted",
        r"PermissionError: \[Errno 13\] Permission denied: '([^']+)'",
        r"the server may not read or write \1: root in the container has no special rights (cap_drop = ALL)",
        r"on the host, let everybody read it (chmod -R a+rX), or let root own it; for the cache: writable by root",
    ),
    computed("read-only", r"\[Errno 30\] Read-only file system: '([^']+)'", _read_only),
    said(
        "object-storage-format",
        r"To load a model from object storage .{0,80}?load_format.{0,20}? must be (.{1,200}?), but got '?(\w+)'?",
        r"a model in object storage cannot be read with load_format \2",
        r'set args.load_format = "runai_streamer"',
    ),
)
