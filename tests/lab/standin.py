#!/usr/bin/env python3
"""Stand-in for a vLLM server: OpenAI-compatible answers in milliseconds, standard library only.

It replaces the program `vllm` in an image, and has the same command line:

    vllm serve MODEL [OPTIONS]          vllm serve --model MODEL [OPTIONS]

Under the name `other-server` it is another engine (tests/fakes/other_engine.py), with its own options, paths and key:

    other-server MODEL --names A,B --port N [--depth N]       /ready /names /say, OTHER_KEY

Every option of vLLM is accepted. These have an effect: --host --port --served-model-name --api-key --max-model-len
--max-num-seqs --runner --task --shutdown-timeout --headless --disable-uvicorn-access-log, and VLLM_API_KEY of the
environment. A model with "whisper" in its name transcribes. Texts, statuses, metric names and the stop sequence are
those of vLLM 0.32.0. Like vLLM, it exits with 1 if a model below /models does not exist, or if --max-model-len is above
the limit in the model's config.json. Like vLLM, as process 1 of a container it ignores a SIGTERM until it serves.

Environment variables cause faults:

    STANDIN_START_SECONDS=5         refuse connections for 5 s, as vLLM does while it loads a model
    STANDIN_CRASH_AFTER_SECONDS=3   exit 3 s after the start, ready or not ...
    STANDIN_EXIT_CODE=0             ... with this exit code (default 1; vLLM with a dead engine exits with 0)
    STANDIN_ENGINE_DIES_AFTER_SECONDS=3   from 3 s after it is ready, /health and /ping answer 503 and requests 500
    STANDIN_TAKES_MIB=100           use 100 MiB of memory once it is ready
    STANDIN_HANG=1                  accept connections, never answer; a value that begins with / is a prefix:
                                    only paths with this prefix hang (/v1/: /health still answers)
    STANDIN_HEALTH_STATUS=503       the status of /health and /ping
    STANDIN_MODELS=a,b              the names in /v1/models, instead of the served names
    STANDIN_COMPLETION_STATUS=500   refuse completions with this status
    STANDIN_CHAT_TEMPLATE=0         refuse chats, as for a model without a chat template
    STANDIN_TOKEN_SECONDS=0.05      the time for each token (default 0)
    STANDIN_LOG='line\\nline'        print this to standard error at the start
"""

from __future__ import annotations

import base64
import email
import hashlib
import io
import json
import os
import random
import re
import secrets
import select
import signal
import socket
import socketserver
import struct
import sys
import threading
import time
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice
from types import SimpleNamespace

# It starts hundreds of times in the tests, so it does without modules that take a tenth of its start: dataclasses,
# pathlib, typing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, ClassVar, NoReturn

    Json = dict[str, Any]

VERSION = "0.32.0"
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
TOKENS = ["Hello", " from", " the", " stand", "-in", "."]
NO_CHAT_TEMPLATE = (
    "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if the "
    "tokenizer does not define one."
)
ENGINE_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
GUARDED = ("/v1", "/v2", "/inference", "/cohere")

OTHER = "other-server"
OTHER_PATHS = {"/ready": "/health", "/names": "/v1/models", "/say": "/v1/completions"}
"""The paths of the other engine -> vLLM's path with the same answer. It has no other path."""


# ---- options and faults --------------------------------------------------------------------------------------------


class Options(SimpleNamespace):
    """The options of the command line that have an effect."""

    model: str
    names: list[str]
    host: str = "0.0.0.0"  # as vLLM
    port: int = 8000
    api_keys: Sequence[str] = ()
    max_model_len: int = 2048
    max_num_seqs: int = 256
    shutdown_timeout: float = 0.0
    pooling: bool = False
    headless: bool = False
    access_log: bool = True
    paths: dict[str, str] | None = None


class Faults(SimpleNamespace):
    """The values of the STANDIN_* variables."""

    start_seconds: float = 0.0
    crash_after_seconds: float | None = None
    exit_code: int = 1
    engine_dies_after_seconds: float | None = None
    chat_template: bool = True
    takes_mib: int = 0
    hang: str | None = None
    health_status: int = 200
    models: list[str] | None = None
    completion_status: int = 200
    token_seconds: float = 0.0
    log: str = ""


def read_faults(env: dict[str, str]) -> Faults:
    """Read the STANDIN_* variables. An empty variable counts as unset."""
    settings = {
        name.removeprefix("STANDIN_"): text for name, text in env.items() if name.startswith("STANDIN_") and text
    }
    hang = settings.get("HANG", "0")

    def seconds(name: str) -> float | None:
        return float(settings[name]) if name in settings else None

    return Faults(
        start_seconds=float(settings.get("START_SECONDS", "0")),
        crash_after_seconds=seconds("CRASH_AFTER_SECONDS"),
        exit_code=int(settings.get("EXIT_CODE", "1")),
        engine_dies_after_seconds=seconds("ENGINE_DIES_AFTER_SECONDS"),
        takes_mib=int(settings.get("TAKES_MIB", "0")),
        chat_template=settings.get("CHAT_TEMPLATE", "1") != "0",
        hang=None if hang == "0" else hang if hang.startswith("/") else "/",
        health_status=int(settings.get("HEALTH_STATUS", "200")),
        models=settings["MODELS"].split(",") if "MODELS" in settings else None,
        completion_status=int(settings.get("COMPLETION_STATUS", "200")),
        token_seconds=float(settings.get("TOKEN_SECONDS", "0")),
        log=settings.get("LOG", "").replace("\\n", "\n"),
    )


def usage_error(message: str) -> NoReturn:
    """Exit like vLLM if the command line is wrong."""
    print(f"usage: vllm serve [model_tag] [options]\nvllm serve: error: {message}", file=sys.stderr)
    sys.exit(2)


def human_int(option: str, text: str) -> int:
    """Read a number that may be written as 4k (4000) or 4K (4096)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT]?)", text)
    if not match:
        usage_error(f"argument --{option}: invalid human_readable_int_or_auto value: {text!r}")
    number, suffix = match.groups()
    base = 1024 if suffix.isupper() else 1000
    return int(float(number) * base ** ("kmgt".index(suffix.lower()) + 1 if suffix else 0))


def split_arguments(arguments: list[str]) -> tuple[str | None, dict[str, list[str]]]:
    """Split a command line into the model (a first argument that is not an option) and each option with its values."""
    model = arguments[0] if arguments and not arguments[0].startswith("-") else None
    options: dict[str, list[str]] = {}
    values: list[str] = []
    for argument in arguments[1:] if model else arguments:
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            values = options[name.replace("_", "-")] = [value] if equals else []
        else:
            values.append(argument)
    return model, options


def read_options(arguments: list[str], env: dict[str, str]) -> Options:
    """Read the arguments after `vllm serve`."""
    model, options = split_arguments(arguments)

    def first(name: str, default: str) -> str:
        values = options.get(name)
        return values[0] if values else default

    def whole(name: str, default: int) -> int:
        text = first(name, str(default))
        if not text.isdigit():
            usage_error(f"argument --{name}: invalid int value: {text!r}")
        return int(text)

    model = model or first("model", "Qwen/Qwen3-0.6B")
    length = first("max-model-len", "auto")
    return Options(
        model=model,
        names=options.get("served-model-name") or [model],
        host=first("host", Options.host),
        port=whole("port", Options.port),
        api_keys=[key for key in options.get("api-key") or [env.get("VLLM_API_KEY", "")] if key],
        max_model_len=Options.max_model_len if length in {"auto", "-1"} else human_int("max-model-len", length),
        max_num_seqs=whole("max-num-seqs", Options.max_num_seqs),
        shutdown_timeout=whole("shutdown-timeout", 0),
        pooling=first("runner", "") == "pooling" or first("task", "generate") not in {"generate", "auto"},
        headless="headless" in options,
        access_log="disable-uvicorn-access-log" not in options,
    )


def read_other_options(arguments: list[str], env: dict[str, str]) -> Options:
    """Read the command line of the other engine."""
    model, inputs = split_arguments(arguments)
    if model is None or inputs.keys() - {"names", "port", "depth"} or not {"names", "port"} <= inputs.keys():
        usage_error(f"{OTHER} MODEL --names A,B --port N [--depth N]")
    return Options(
        model=model,
        names=inputs["names"][0].split(","),
        port=int(inputs["port"][0]),
        api_keys=[env["OTHER_KEY"]] if env.get("OTHER_KEY") else [],
        paths=OTHER_PATHS,
    )


# ---- the log -------------------------------------------------------------------------------------------------------


def log(source: str, text: str, *, level: str = "INFO", process: str = "APIServer") -> None:
    """Print one line as vLLM does."""
    stamp = time.strftime("%m-%d %H:%M:%S")
    pid = os.getpid() if process == "APIServer" else os.getpid() + 16
    print(f"({process} pid={pid}) {level} {stamp} [{source}] {text}", file=sys.stderr, flush=True)


def refuse_missing_model(options: Options) -> None:
    """Exit like vLLM for a path that does not exist: vLLM mistakes it for the name of a model on the hub."""
    if not options.model.startswith("/models/") or os.path.exists(options.model):
        return
    text = (
        f"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{options.model}'. "
        "Use `repo_type` argument if needed."
    )
    print(
        "Traceback (most recent call last):",
        '  File "/usr/local/lib/python3.11/site-packages/huggingface_hub/utils/_validators.py", line 133, in '
        "validate_repo_id",
        "    raise HFValidationError(",
        f"huggingface_hub.errors.HFValidationError: {text}",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        '  File "/usr/local/lib/python3.11/site-packages/transformers/utils/hub.py", line 595, in cached_files',
        '    raise OSError(f"{e}") from e',
        f"OSError: {text}",
        sep="\n",
        file=sys.stderr,
    )
    sys.exit(1)


def refuse_long_context(options: Options) -> None:
    """Exit like vLLM if --max-model-len is above the limit in the model's config.json."""
    try:
        with open(f"{options.model}/config.json", encoding="utf-8") as file:
            limit = json.load(file).get("max_position_embeddings")
    except (OSError, ValueError):
        return
    if not limit or options.max_model_len <= limit or os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") == "1":
        return
    print(
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        f"  Value error, User-specified max_model_len ({options.max_model_len}) is greater than the derived "
        f"max_model_len (max_position_embeddings={float(limit)} or model_max_length=None in model's config.json). To allow "
        "overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. [type=value_error, "
        "input_value=ArgsKwargs((), {'model': ...nderer_num_workers': 1}), input_type=ArgsKwargs]",
        "    For further information visit https://errors.pydantic.dev/2.14/v/value_error",
        sep="\n",
        file=sys.stderr,
    )
    sys.exit(1)


# ---- the engine: requests, tokens, stopping ------------------------------------------------------------------------


class EngineError(Exception):
    """The engine cannot finish a request: the client gets a 500, or an error inside its stream."""


class ClientGoneError(Exception):
    """The client has closed the connection."""


class Engine:
    """Counts requests and generates tokens, until it is stopped."""

    def __init__(self, options: Options, faults: Faults) -> None:
        """Make an engine without requests."""
        self.options = options
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self.active = 0  # running and waiting
        self.closing = False  # takes no new requests
        self.dead = False
        self.stalled = False  # gives no more tokens, and no error either
        self.aborted = threading.Event()
        self._changed = threading.Condition()
        self._slots = threading.BoundedSemaphore(options.max_num_seqs)

    def running_and_waiting(self) -> tuple[int, int]:
        """Return the number of running requests, and of those that wait for a slot."""
        active = self.active
        return min(active, self.options.max_num_seqs), max(0, active - self.options.max_num_seqs)

    def tokens(self, count: int, connection: socket.socket) -> Iterator[str]:
        """Yield tokens at the configured pace. The request is active until the iterator ends."""
        with self._changed:
            self.active += 1
        reason = "abort"
        try:
            self._take_slot(connection)
            try:
                for token in islice(cycle(TOKENS), count):
                    if self.faults.token_seconds:
                        self.aborted.wait(self.faults.token_seconds)
                    self._check(connection)
                    self.counts["generation_tokens"] += 1
                    yield token
            finally:
                self._slots.release()
            reason = "length"
        finally:
            with self._changed:
                self.counts[f"success_{reason}"] += 1
                self.active -= 1
                self._changed.notify_all()

    def _take_slot(self, connection: socket.socket) -> None:
        while not self._slots.acquire(timeout=0.05):
            self._check(connection)

    def _check(self, connection: socket.socket) -> None:
        if self.aborted.is_set():
            raise EngineError(ENGINE_DEAD)
        while self.stalled:
            wait_for_hang_up(connection)

    def stop(self) -> None:
        """Stop like vLLM: at once with an error for all requests, or after the seconds of --shutdown-timeout."""
        self.closing = True
        limit = self.options.shutdown_timeout
        if not limit:
            self.aborted.set()
        with self._changed:
            # an aborted request only has to write its last line
            if not self._changed.wait_for(lambda: self.active == 0, limit or 5) and limit:
                self.stalled = True

    def die(self) -> None:
        """Die while the server stays up: running requests fail, and new ones are refused."""
        self.dead = True
        self.aborted.set()

    def wait_until_idle(self) -> None:
        """Wait for the last request. A stalled request ends only when its client gives up."""
        with self._changed:
            self._changed.wait_for(lambda: self.active == 0)


def wait_for_hang_up(connection: socket.socket) -> NoReturn:
    """Block until the client closes its connection."""
    while True:
        select.select([connection], [], [])
        try:
            data = connection.recv(1, socket.MSG_PEEK)
        except OSError:
            data = b""
        if not data:
            raise ClientGoneError
        time.sleep(0.1)  # it has sent more data, which is not read


# ---- HTTP ----------------------------------------------------------------------------------------------------------


def error_body(status: int, message: str, kind: str | None = None, param: str | None = None) -> Json:
    """Return an error in vLLM's format."""
    kind = kind or HTTPStatus(status).phrase.replace(" ", "")
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def count_prompt(prompt: object) -> int:
    """Return the number of tokens of a prompt: its words, or its token ids."""
    if isinstance(prompt, str):
        return max(1, len(prompt.split()))
    if isinstance(prompt, list) and prompt and all(isinstance(item, int) for item in prompt):
        return len(prompt)
    if isinstance(prompt, list):
        return sum(map(count_prompt, prompt)) or 1
    if isinstance(prompt, dict):
        return count_prompt(prompt.get("content") or prompt.get("text") or "")
    return 1


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return the usage part of an answer."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "total_tokens": total, "completion_tokens": completion_tokens}


def numbers_for(text: object, count: int) -> list[float]:
    """Return a vector of length 1 that depends on the text alone."""
    rng = random.Random(hashlib.sha256(repr(text).encode()).digest())
    vector = [rng.uniform(-1, 1) for _ in range(count)]
    length = sum(number * number for number in vector) ** 0.5 or 1.0
    return [number / length for number in vector]


class Server(ThreadingHTTPServer):
    """Binds early and listens late, as vLLM: a taken port shows at once, clients are refused until it is ready."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, engine: Engine) -> None:
        """Bind the port."""
        self.engine = engine
        self.options = engine.options
        self.faults = engine.faults
        self.started = int(time.time())
        if ":" in self.options.host:
            self.address_family = socket.AF_INET6
        super().__init__((self.options.host, self.options.port), Handler, bind_and_activate=False)
        self.server_bind()

    def server_bind(self) -> None:
        """Bind without the DNS query for the own name that HTTPServer makes: the name is not used, and it may be slow."""
        socketserver.TCPServer.server_bind(self)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the second small packet of an answer waits for 40 ms
    server: Server

    GET: ClassVar[dict[str, str]] = {
        "/health": "health",
        "/ping": "health",
        "/version": "version",
        "/load": "load",
        "/metrics": "metrics",
        "/v1/models": "models",
    }
    GENERATE: ClassVar[dict[str, str]] = {"/v1/completions": "complete", "/v1/chat/completions": "chat"}
    TRANSCRIBE: ClassVar[dict[str, str]] = {"/v1/audio/transcriptions": "transcribe"}
    POOLING: ClassVar[dict[str, str]] = {
        "/v1/embeddings": "embed",
        "/v1/score": "score",
        "/score": "score",
        "/classify": "classify",
        "/pooling": "pool",
    }

    def do_GET(self) -> None:
        """Answer a GET request."""
        self.answer("GET")

    def do_POST(self) -> None:
        """Answer a POST request."""
        self.answer("POST")

    def answer(self, method: str) -> None:
        """Call the method for the path, and answer with its errors."""
        path = self.path.split("?")[0]
        if self.server.options.paths is not None:
            path = self.server.options.paths.get(path, "/")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            if self.server.faults.hang and path.startswith(self.server.faults.hang):
                wait_for_hang_up(self.connection)
            if path.startswith(GUARDED) and not self.authorized():
                self.send_json(401, {"error": "Unauthorized"})
                return
            posts = {"/ping": "health", **self.posts(self.server.options)}
            routes = self.GET if method == "GET" else posts
            if path in self.TRANSCRIBE and path in routes:
                self.transcribe(self.read_form(body))
            elif path in routes:
                request = [self.read_json(body)] if method == "POST" and path != "/ping" and body else []
                getattr(self, routes[path])(*request)
            elif path in self.GET or path in posts:
                self.send_json(405, {"detail": "Method Not Allowed"})
            else:
                self.send_json(404, {"detail": "Not Found"})
        except ValueError as error:
            self.send_json(400, error_body(400, f"1 validation error:\n  {error}", "Bad Request"))
        except EngineError as error:
            self.send_json(500, error_body(500, str(error)))
        except (ClientGoneError, ConnectionError):
            self.close_connection = True

    @classmethod
    def posts(cls, options: Options) -> dict[str, str]:
        """Return path -> handler, of the requests that the model supports."""
        if options.pooling:
            return cls.POOLING
        return {**cls.GENERATE, **(cls.TRANSCRIBE if "whisper" in options.model.lower() else {})}

    def authorized(self) -> bool:
        """Return whether the request has a valid key, or needs none."""
        keys = self.server.options.api_keys
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        return not keys or (
            scheme.lower() == "bearer" and any(secrets.compare_digest(key.encode(), k.encode()) for k in keys)
        )

    @staticmethod
    def read_json(body: bytes) -> Json:
        """Read the body of a request."""
        document = json.loads(body)
        if not isinstance(document, dict):
            message = "Input should be a valid dictionary"
            raise ValueError(message)  # as for text that is not JSON
        return document

    def read_form(self, body: bytes) -> dict[str, bytes]:
        """Read the fields and files of a form, by name."""
        kind = self.headers.get("content-type", "")
        message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        if not message.is_multipart():
            complaint = "Input should be a form"
            raise ValueError(complaint)
        parts = [part for part in message.walk() if not part.is_multipart()]
        return {
            str(part.get_param("name", "", "content-disposition")): bytes(part.get_payload(decode=True))
            for part in parts
        }

    # ---- small answers

    def health(self) -> None:
        """Answer /health and /ping."""
        self.send_bytes(503 if self.server.engine.dead else self.server.faults.health_status, b"", None)

    def version(self) -> None:
        """Answer /version."""
        self.send_json(200, {"version": VERSION})

    def load(self) -> None:
        """Answer /load."""
        self.send_json(200, {"server_load": self.server.engine.active})

    def models(self) -> None:
        """Answer /v1/models."""
        server = self.server
        cards: list[Json] = [
            {
                "id": name,
                "object": "model",
                "created": server.started,
                "owned_by": "vllm",
                "root": server.options.model,
                "parent": None,
                "max_model_len": server.options.max_model_len,
                "permission": [],
            }
            for name in server.faults.models or server.options.names
        ]
        self.send_json(200, {"object": "list", "data": cards})

    def metrics(self) -> None:
        """Answer /metrics."""
        self.send_bytes(200, metrics_text(self.server).encode(), "text/plain; version=0.0.4; charset=utf-8")

    # ---- generation

    def accepted(self, request: Json) -> bool:
        """Refuse a request for another model, and all requests if STANDIN_COMPLETION_STATUS is set."""
        names = self.server.options.names
        model = request.get("model")
        if self.server.engine.dead:
            raise EngineError(ENGINE_DEAD)
        if model and model not in names:
            message = f"The model `{model}` does not exist. Valid aliases: {', '.join(names)}."
            self.send_json(404, error_body(404, message, "NotFoundError", "model"))
            return False
        status = self.server.faults.completion_status
        if status != HTTPStatus.OK:
            self.send_json(status, error_body(status, ENGINE_DEAD))
            return False
        return True

    def complete(self, request: Json | None = None) -> None:
        """Answer /v1/completions."""
        self.generate(request or {}, "prompt", "cmpl", "text_completion")

    def chat(self, request: Json | None = None) -> None:
        """Answer /v1/chat/completions."""
        if not self.server.faults.chat_template:
            self.send_json(400, error_body(400, NO_CHAT_TEMPLATE, "BadRequestError"))
            return
        self.generate(request or {}, "messages", "chatcmpl", "chat.completion")

    def generate(self, request: Json, needed: str, prefix: str, kind: str) -> None:
        """Answer a request for text, in one piece or as a stream."""
        if needed not in request:
            message = f"{{'type': 'missing', 'loc': 'body.{needed}', 'msg': 'Field required'}}"
            raise ValueError(message)
        if not self.accepted(request):
            return
        limit = self.server.options.max_model_len
        count = request.get("max_completion_tokens") or request.get("max_tokens")
        count = 16 if count is None else int(count)
        if count > limit:
            message = (
                f"max_tokens={count} cannot be greater than max_model_len={limit}. Please request fewer output tokens. "
                f"(parameter=max_tokens, value={count})"
            )
            self.send_json(400, error_body(400, message, "BadRequestError", "max_tokens"))
            return
        if self.server.engine.closing:
            message = "cannot schedule new futures after shutdown"
            raise EngineError(message)
        prompt_tokens = count_prompt(request[needed])
        self.server.engine.counts["prompt_tokens"] += prompt_tokens
        head: Json = {
            "id": f"{prefix}-{secrets.token_hex(8)}",
            "object": kind,
            "created": int(time.time()),
            "model": request.get("model") or self.server.options.names[0],
        }
        tokens = self.server.engine.tokens(count, self.connection)
        if request.get("stream"):
            with_usage = (request.get("stream_options") or {}).get("include_usage", False)
            self.stream(head, tokens, count, usage(prompt_tokens, count) if with_usage else None)
            return
        text = "".join(tokens)
        reply = {"role": "assistant", "content": text}
        answer: Json = {"message": reply} if needed == "messages" else {"text": text}
        choice = {"index": 0, **answer, "logprobs": None, "finish_reason": "length", "stop_reason": None}
        self.send_json(200, {**head, "choices": [choice], "usage": usage(prompt_tokens, count)})

    def stream(self, head: Json, tokens: Iterator[str], count: int, final_usage: Json | None) -> None:
        """Answer with server-sent events, one for each token."""
        chat = head["object"] == "chat.completion"
        if chat:
            head["object"] = "chat.completion.chunk"

        def choices(piece: Json, reason: str | None = None) -> Json:
            return {**head, "choices": [{"index": 0, **piece, "logprobs": None, "finish_reason": reason}]}

        self.start_stream()
        try:
            for number, token in enumerate(tokens, 1):
                if chat and number == 1:
                    self.send_event(choices({"delta": {"role": "assistant", "content": ""}}))
                reason = "length" if number == count else None
                self.send_event(choices({"delta": {"content": token}} if chat else {"text": token}, reason))
        except EngineError as error:
            self.send_event(error_body(500, str(error)))
            final_usage = None
        if final_usage:
            self.send_event({**head, "choices": [], "usage": final_usage})
        self.send_event("[DONE]")
        self.send_chunk(b"")

    # ---- pooling

    def embed(self, request: Json | None = None) -> None:
        """Answer /v1/embeddings."""
        request = request or {}
        if not self.accepted(request):
            return
        texts = request.get("input", "")
        single = not isinstance(texts, list) or all(isinstance(item, int) for item in texts)
        size = int(request.get("dimensions") or 8)
        vectors = [numbers_for(text, size) for text in ([texts] if single else texts)]
        packed = request.get("encoding_format") == "base64"
        data = [
            {
                "index": index,
                "object": "embedding",
                "embedding": base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() if packed else v,
            }
            for index, v in enumerate(vectors)
        ]
        self.send_list("embd", request, data, count_prompt(texts))

    def score(self, request: Json | None = None) -> None:
        """Answer /v1/score: one number between 0 and 1 for each pair of texts."""
        request = request or {}
        if not self.accepted(request):
            return
        one, many = request.get("text_1", ""), request.get("text_2", "")
        many = many if isinstance(many, list) else [many]
        ones = one if isinstance(one, list) and len(one) == len(many) else [one] * len(many)
        scores = [abs(numbers_for(pair, 2)[0]) for pair in zip(ones, many, strict=True)]
        data = [{"index": index, "object": "score", "score": score} for index, score in enumerate(scores)]
        self.send_list("score", request, data, count_prompt([one, *many]))

    def classify(self, request: Json | None = None) -> None:
        """Answer /classify: one of two classes."""
        request = request or {}
        if not self.accepted(request):
            return
        share = abs(numbers_for(request.get("input"), 2)[0])
        data = [{"index": 0, "label": "LABEL_0", "probs": [share, 1 - share], "num_classes": 2}]
        self.send_list("classify", request, data, count_prompt(request.get("input")))

    def pool(self, request: Json | None = None) -> None:
        """Answer /pooling: the raw numbers of the model."""
        request = request or {}
        if not self.accepted(request):
            return
        data = [{"index": 0, "object": "pooling", "data": numbers_for(request.get("input"), 4)}]
        self.send_list("pool", request, data, count_prompt(request.get("input")))

    # ---- sound

    def transcribe(self, fields: dict[str, bytes]) -> None:
        """Answer /v1/audio/transcriptions: the duration of the sound."""
        if "file" not in fields:
            message = "{'type': 'missing', 'loc': 'body.file', 'msg': 'Field required'}"
            raise ValueError(message)
        if not self.accepted({"model": fields.get("model", b"").decode()}):
            return
        import wave

        try:
            with wave.open(io.BytesIO(fields["file"])) as sound:
                seconds = sound.getnframes() / sound.getframerate()
        except (wave.Error, EOFError):
            self.send_json(400, error_body(400, "Invalid or unsupported audio file.", "BadRequestError"))
            return
        text = f" A tone of {seconds:.1f} seconds."
        self.send_json(200, {"text": text, "usage": {"type": "duration", "seconds": round(seconds)}})

    # ---- lists

    def send_list(self, prefix: str, request: Json, data: list[Json], tokens: int) -> None:
        """Send the frame that embeddings and scores share."""
        head = {"id": f"{prefix}-{secrets.token_hex(8)}", "object": "list", "created": int(time.time())}
        model = request.get("model") or self.server.options.names[0]
        self.send_json(200, {**head, "model": model, "data": data, "usage": usage(tokens, 0)})

    # ---- sending

    def send_json(self, status: int, document: Json) -> None:
        """Send a whole answer."""
        self.send_bytes(status, json.dumps(document, separators=(",", ":")).encode(), "application/json")

    def send_bytes(self, status: int, body: bytes, kind: str | None) -> None:
        """Send a whole answer of any kind, in one packet if it fits."""
        self.send_response(status)
        if kind:
            self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start_stream(self) -> None:
        """Send the head of a stream."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def send_event(self, data: Json | str) -> None:
        """Send one server-sent event."""
        text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
        self.send_chunk(f"data: {text}\n\n".encode())

    def send_chunk(self, data: bytes) -> None:
        """Send one piece of a stream. An empty piece ends it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def version_string(self) -> str:
        """Name the server as vLLM's does."""
        return "uvicorn"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print the access line that uvicorn prints."""
        del size
        if self.server.options.access_log:
            host, port = self.client_address[:2]
            phrase = HTTPStatus(int(code)).phrase
            print(f'INFO:     {host}:{port} - "{self.requestline}" {int(code)} {phrase}', flush=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing about clients that closed their connection."""


def metrics_text(server: Server) -> str:
    """Return the metrics that scrapers of vLLM read."""
    engine, options = server.engine, server.options
    running, waiting = engine.running_and_waiting()
    labels = f'engine="0",model_name="{options.names[0]}"'
    room = options.max_num_seqs * options.max_model_len
    lines: list[str] = []

    def metric(name: str, kind: str, *samples: tuple[str, float]) -> None:
        lines.append(f"# HELP {name} {name}")
        lines.append(f"# TYPE {name} {kind}")
        for extra, value in samples:
            lines.append(f"{name}{{{labels}{extra}}} {float(value)}")

    metric("vllm:num_requests_running", "gauge", ("", running))
    metric("vllm:num_requests_waiting", "gauge", ("", waiting))
    reasons = (',reason="capacity"', waiting), (',reason="deferred"', 0)
    metric("vllm:num_requests_waiting_by_reason", "gauge", *reasons)
    metric("vllm:engine_sleep_state", "gauge", (',sleep_state="awake"', 1))
    metric("vllm:kv_cache_usage_perc", "gauge", ("", running * 64 / room))
    metric("vllm:cache_config_info", "gauge", (f',block_size="16",num_gpu_blocks="{room // 16}"', 1))
    metric("vllm:prefix_cache_queries_total", "counter", ("", engine.counts["prompt_tokens"]))
    metric("vllm:prefix_cache_hits_total", "counter", ("", 0))
    metric("vllm:num_preemptions_total", "counter", ("", 0))
    metric("vllm:prompt_tokens_total", "counter", ("", engine.counts["prompt_tokens"]))
    metric("vllm:generation_tokens_total", "counter", ("", engine.counts["generation_tokens"]))
    outcomes = [
        (f',finished_reason="{r}"', engine.counts[f"success_{r}"]) for r in ("stop", "length", "abort", "error")
    ]
    metric("vllm:request_success_total", "counter", *outcomes)
    lines += [
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {float(server.started)}",
        "",
    ]
    return "\n".join(lines)


# ---- start, serve, stop --------------------------------------------------------------------------------------------


class Life:
    """Starts, serves and stops. Signals are blocked and waited for, so that they interrupt nothing."""

    def __init__(self, options: Options, faults: Faults) -> None:
        """Block the signals before other threads start. Threads inherit the mask."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        self.options = options
        self.faults = faults
        self.ready = False
        self.memory = b""

    def run(self) -> None:
        """Run from the first log line to the exit."""
        options, faults = self.options, self.faults
        log("api_utils.py:347", f" version {VERSION}  model {options.model}")
        if faults.log:
            print(faults.log, file=sys.stderr, flush=True)
        if faults.crash_after_seconds is not None:
            timer = threading.Timer(faults.crash_after_seconds, self.crash)
            timer.daemon = True
            timer.start()
        refuse_missing_model(options)
        refuse_long_context(options)
        log("model.py:2152", f"Using max model len {options.max_model_len}")
        if options.headless:  # a further node of a group: works for the first one, serves nothing
            signal.sigwait(STOP_SIGNALS)
            return
        engine = Engine(options, faults)
        server = Server(engine)
        self.load_model()
        self.announce()
        server.server_activate()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.ready = True
        self.memory = b"x" * (faults.takes_mib << 20)
        if faults.engine_dies_after_seconds is not None:
            dying = threading.Timer(faults.engine_dies_after_seconds, engine.die)
            dying.daemon = True
            dying.start()
        print("INFO:     Application startup complete.", file=sys.stderr, flush=True)

        signal.sigwait(STOP_SIGNALS)
        mode = "drain" if options.shutdown_timeout else "abort"
        log("launcher.py:249", "[shutdown] API server: shutdown triggered")
        text = f"[shutdown] API server: stopping engine client mode={mode} timeout={int(options.shutdown_timeout)}s"
        log("launcher.py:259", text)
        engine.stop()
        server.shutdown()
        server.server_close()
        print("INFO:     Shutting down", file=sys.stderr, flush=True)
        if engine.stalled:
            print(
                "INFO:     Waiting for connections to close. (CTRL+C to force quit)",
                file=sys.stderr,
                flush=True,
            )
        engine.wait_until_idle()
        print("INFO:     Application shutdown complete.", file=sys.stderr, flush=True)

    def load_model(self) -> None:
        """Wait until the server listens, and log the lines that report the progress."""
        log("cpu_model_runner.py:68", f"Starting to load model {self.options.model}...", process="EngineCore")
        pause = self.faults.start_seconds / 3
        for done in range(3):
            bar = f"{done * 50:3d}% Completed | {done}/2 [00:00<00:00, 20.00it/s]"
            print(f"Loading safetensors checkpoint shards: {bar}", file=sys.stderr, flush=True)
            self.pass_time(pause)
        log("default_loader.py:501", "Loading weights took 0.10 seconds", process="EngineCore")
        text = "init engine (profile, create kv cache, warmup model) took 0.10 s"
        log("core.py:402", text, process="EngineCore")

    @staticmethod
    def pass_time(seconds: float) -> None:
        """Sleep. vLLM listens to signals only when it serves: before, as process 1 of a container, it misses them."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if (caught := signal.sigtimedwait(STOP_SIGNALS, left)) and os.getpid() != 1:
                sys.exit(128 + caught.si_signo)

    def announce(self) -> None:
        """Print the lines before the server listens."""
        log("entry.py:140", f"Starting vLLM server on http://{self.options.host}:{self.options.port}")
        log("launcher.py:186", "Available routes are:")
        posts = Handler.posts(self.options)
        for method, routes in (("GET", Handler.GET), ("POST", posts)):
            for route in routes:
                log("launcher.py:195", f"Route: {route}, Methods: {method}")
        print(f"INFO:     Started server process [{os.getpid()}]", file=sys.stderr)
        print("INFO:     Waiting for application startup.", file=sys.stderr, flush=True)

    def crash(self) -> NoReturn:
        """Exit like vLLM after its engine has died."""
        if self.ready:
            log("core.py:1221", "EngineCore encountered a fatal error.", level="ERROR", process="EngineCore")
            print(f"vllm.v1.engine.exceptions.EngineDeadError: {ENGINE_DEAD}", file=sys.stderr, flush=True)
        else:
            log("core.py:1195", "EngineCore failed to start.", level="ERROR", process="EngineCore")
            failed = "Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
            print(f"RuntimeError: {failed}", file=sys.stderr, flush=True)
        os._exit(self.faults.exit_code)


def main() -> None:
    """Read the command line and serve."""
    arguments, env = sys.argv[1:], dict(os.environ)
    if os.path.basename(sys.argv[0]) == OTHER:
        Life(read_other_options(arguments, env), read_faults(env)).run()
        return
    if arguments[:1] in (["--version"], ["-v"]):
        print(VERSION)
        return
    if arguments[:1] != ["serve"]:
        usage_error("the stand-in knows only 'vllm serve'")
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    Life(read_options(arguments[1:], env), read_faults(env)).run()


if __name__ == "__main__":
    main()
