"""The model's source: folders, the Hugging Face Hub, the network to it, the cache."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed
from cortexctl.model_files.files import HF_HOME

HAND_OVER = '[models.NAME.secrets] HF_TOKEN = { env = "HF_TOKEN" }'
_CACHES = (HF_HOME, "/huggingface", "/hf")


def _read_only(match: re.Match[str]) -> Message:
    path = match[1]
    if any(part in path for part in _CACHES):
        return (
            f"the Hugging Face cache is not writable ({path})",
            (
                "set the host's `hf_cache` to a writable folder, and mount it without :ro; if all files are in "
                "it, `offline = true` writes nothing"
            ),
        )
    if path.startswith("/models"):
        return (
            f"vLLM tries to write next to the model ({path}), but /models is mounted read-only",
            "remove the option with that path from `args`, or set it to a folder of `volumes`",
        )
    return (
        f"vLLM cannot write to {path}: it is read-only",
        f'mount a folder there: volumes = ["/var/lib/cortex/cache:{path}"], or set env.VLLM_CACHE_ROOT = "/tmp/vllm"',
    )


PATTERNS = (
    fixed(
        "no-such-model-folder",
        r"Repo id must be .*?: '(/[^']+)'|Incorrect path_or_model_id: '(/[^']+)'",
        r"the container has no model at \1\2 (vLLM reads a missing path as a Hugging Face name)",
        r"check `source.path` and the host's `models_dir`: the folder must exist on that host",
    ),
    fixed(
        "not-in-the-cache",
        r"outgoing traffic has been disabled|OfflineModeIsEnabled|Cannot reach \S+: offline mode is enabled",
        "the model is not in the host's cache, and the container is offline",
        "fetch it into `hf_cache` first, or set `source.path`; `offline = false` lets vLLM download it",
    ),
    fixed(
        "gated",
        r"GatedRepoError|gated repo|is a gated repository|403 Client Error(?!.*[Rr]ate)|Client error '403"
        r"|Access to model (\S+) is "
        r"restricted",
        "the model's repository is gated, and the token is missing or has no access",
        HAND_OVER + ", and accept the licence with that account",
    ),
    fixed(
        "no-such-revision",
        r"RevisionNotFoundError|Revision Not Found for url: (\S+?)\.?$|(?<!\S)(\S+) is not a valid git identifier",
        r"the repository does not have the revision \2",
        "set source.revision to a commit or tag of the repository",
    ),
    fixed(
        "no-such-file-in-repository",
        r"Entry Not Found for url: (\S+?)\.?$",
        r"the repository does not have the file that vLLM requests: \1",
        "check that `source.repo` is a model in Hugging Face's form (config.json, safetensors): not an adapter, nor a "
        "repository with only GGUF files",
    ),
    fixed(
        "no-such-repository",
        r"RepositoryNotFoundError|Repository Not Found for url"
        r"|(?<!\S)(\S+) is not a local folder and is not a valid model identifier",
        "the repository does not exist, or it is private and the token is missing",
        "check `source.repo`; for a private one: " + HAND_OVER,
    ),
    fixed(
        "bad-token",
        r"401 Client Error|Client error '401|Invalid user token"
        r"|Invalid credentials in Authorization header",
        "Hugging Face rejects the token: it is wrong, expired or missing",
        "create a new one, and pass it on: " + HAND_OVER,
    ),
    fixed(
        "rate-limited",
        r"429 Client Error|Too Many Requests|hit the rate limit|kind: Status\(429|Status Code: 429"
        r"|HTTP status client error \(429",
        "Hugging Face refuses further requests from this address for now (429, too many requests)",
        "wait some minutes; fetch the model once into the host's `hf_cache` and set offline = true; with "
        "a token the limit is higher: " + HAND_OVER,
    ),
    fixed(
        "hub-in-trouble",
        r"(50[0234]) Server Error: .*for url: (https?://[^/\s]+)"
        r"|kind: Status\((50[0234])\).{0,20}\"(https?://[^/\s\"]+)"
        r"|(?:Server error '|HTTP status server error \()(50[0234])\b.{0,60}?(https?://[^/\s']+)",
        r"\2\4\6 reports a server error: \1\3\5",
        "apply again later; a model in `hf_cache` with offline = true does not depend on it",
    ),
    fixed(
        "no-vocabulary-of-gpt-oss",
        r"error downloading or loading vocab|openaipublic\.blob\.core\.windows\.net",
        "gpt-oss needs two vocabulary files of OpenAI, which are not in the model's folder, and they could not "
        "be downloaded "
        "(`offline = true` does not provide them)",
        "put o200k_base.tiktoken and cl100k_base.tiktoken "
        "(https://openaipublic.blob.core.windows.net/encodings/) into a "
        "folder of the host, mount it with `volumes`, and set env.TIKTOKEN_ENCODINGS_BASE to its path in the container",
    ),
    fixed(
        "no-credentials-for-storage",
        r"NoCredentialsError|Unable to locate credentials|DefaultCredentialsError",
        "the container has no credentials for the object storage that contains the model",
        "pass them on as the model's `secrets`: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or those of your storage",
    ),
    fixed(
        "storage-refuses",
        r"botocore\.exceptions\.ClientError: An error occurred \((\w+)\) when calling the (\w+) operation",
        r"the object storage refuses \2: \1",
        "check the bucket and the path in `source`, and that the credentials in `secrets` may list and read it",
    ),
    fixed(
        "storage-not-reached",
        r"EndpointConnectionError: Could not connect to the endpoint URL: \"(\w+://[^/\"]+)",
        r"the container cannot reach the object storage at \1",
        "correct env.AWS_ENDPOINT_URL, and check the network and the name server of the container",
    ),
    fixed(
        "certificate",
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "the container does not trust the certificate of the Hub, or of the proxy in front of it",
        "mount the certificate of your authority, such as volumes = "
        '["/etc/ssl/certs/ca-certificates.crt:/etc/ssl/corp.crt:ro"], '
        r'and set env.REQUESTS_CA_BUNDLE and env.SSL_CERT_FILE = "/etc/ssl/corp.crt"',
    ),
    fixed(
        "proxy",
        r"ProxyError|407 Proxy Authentication Required|Cannot connect to proxy",
        "the proxy between the container and the Hub refuses the connection",
        r"correct env.HTTPS_PROXY on the model (with user and password as one of its `secrets`), "
        r"or fetch the model into `hf_cache` and set offline = true",
    ),
    fixed(
        "name-not-resolved",
        r"Failed to resolve '([^']+)'|Temporary failure in name resolution|\[Errno -2\] Name or service not known",
        r"the container cannot resolve the Hub's name \1: it has no name server or no network access",
        r"fix the host's DNS, or fetch the model into `hf_cache` and set offline = true",
    ),
    fixed(
        "hub-timed-out",
        r"(?:ReadTimeout|ConnectTimeout|ReadTimeoutError|ConnectTimeoutError)\b.*|"
        r"(?:Read|Connection to \S+) timed out",
        "the Hub did not answer in time",
        r'set env.HF_HUB_DOWNLOAD_TIMEOUT = "60", or fetch the model into `hf_cache` and set offline = true',
    ),
    fixed(
        "no-hf-transfer",
        r"'hf_transfer' package is not available",
        "HF_HUB_ENABLE_HF_TRANSFER is set, but the image does not contain the package hf_transfer",
        "remove HF_HUB_ENABLE_HF_TRANSFER from `env`",
    ),
    fixed(
        "download-broke-off",
        r"Consistency check failed: file should be of size (\d+) but has size (\d+).*|ChunkedEncodingError"
        r"|IncompleteRead\("
        r"|RemoteProtocolError|An error occurred while downloading using `hf_transfer`|Connection reset by peer",
        "a download from the Hub broke off",
        "apply again: the Hub's client resumes it; if it repeats, check the proxy and the free disk space, remove "
        "HF_HUB_ENABLE_HF_TRANSFER from `env`, or fetch the model into `hf_cache` first and set offline = true",
    ),
    fixed(
        "hub-storage-not-reached",
        r"RuntimeError: Data processing error(?!.*os error 13)|CAS (?:service|[Cc]lient) [Ee]rror"
        r"|ReqwestMiddleware Error|cas::cas_error|xet-?(?:core|hub)\S* .{0,200}(?:[Tt]imed out|error)",
        "the download from Hugging Face's storage (Xet) failed after several attempts",
        'set env.HF_HUB_DISABLE_XET = "1" (it then downloads over plain HTTPS), allow connections to '
        "*.xethub.hf.co, or fetch "
        "the model into `hf_cache` and set offline = true",
    ),
    fixed(
        "hub-not-reached",
        r"We couldn't connect to '(https?://[^']+)'|Network is unreachable|error happened while trying to locate "
        r"the file on the Hub"
        r"|Max retries exceeded with url.*|ClientConnectorError|(?:httpx|httpcore)\.Connect(?:ion)?Error\b",
        r"the container cannot reach the Hub \1",
        "allow outgoing connections from the host, set env.HTTPS_PROXY, or fetch the model into "
        "`hf_cache` and set offline = true",
    ),
    fixed(
        "not-permitted",
        r"PermissionError: \[Errno 13\] Permission denied: '([^']+)'|Permission denied \(os error 13\)",
        r"the server cannot read or write \1: root in the container has no special rights (cap_drop = ALL)",
        (
            "on the host, make it readable for everybody (chmod -R a+rX) or owned by root; the cache must be "
            "writable for root"
        ),
    ),
    fixed(
        "stale-file",
        r"\[Errno 116\] Stale file handle",
        "the model is on a network share whose files were replaced while the container had them open",
        "mount the share on the host again, then start the container again",
    ),
    computed("read-only", r"\[Errno 30\] Read-only file system: '([^']+)'", _read_only),
    fixed(
        "object-storage-format",
        r"To load a model from object storage .{0,80}?load_format.{0,20}? must be (.{1,200}?), but got '?(\w+)'?",
        r"load_format \2 cannot read a model from object storage",
        r'set args.load_format = "runai_streamer"',
    ),
)
