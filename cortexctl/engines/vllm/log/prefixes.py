"""Every known text before a message: stamps, names of containers and processes, headers of loggers.

Any of them may precede any other, so one regex removes them in any order until none is left. Nothing follows the
repetition, so the regex never backtracks over it; each part has a bounded length, and so has the whole.
"""

from __future__ import annotations

import re

_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?[ ]"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_ZONE = r"(?:[ ]?(?:Z\b|[+-]\d\d:?\d\d\b|(?:UTC|GMT|[A-Z]{2,4}T)\b))"
_SYSLOG = rf"{_MONTH}[ ]{{1,2}}\d{{1,2}}[ ](?:\d{{4}}[ ])?{_CLOCK}"
_PLAIN_STAMP = (
    r"(?:"
    rf"(?:{_DAY})?\d{{4}}[-/.]\d\d[-/.]\d\d(?:[T_ ]|[ ]-[ ]){_CLOCK}{_ZONE}{{0,2}}"  # 2026-05-01T20:49:35.616Z
    rf"|\d{{8}}[T ]\d\d:?\d\d:?\d\d{_ZONE}?(?![\d:])"  # 20260501T204935Z
    rf"|\d\d?/\d\d?/\d{{4}},?[ ]\d\d?:\d\d:\d\d(?:[ ][AP]M)?"  # 5/1/2026, 8:49:35 PM
    rf"|\d\d?/(?:\d\d|{_MONTH})/\d{{2,4}}[: ]{_CLOCK}{_ZONE}?"  # 01/May/2026:20:49:35 +0000
    rf"|\d\d[-/]\d\d[ ]{_CLOCK}"  # 05-01 18:49:34
    rf"|{_DAY}{_MONTH}[ ]{{1,2}}\d{{1,2}}[ ]{_CLOCK}(?:{_ZONE})?[ ]\d{{4}}"  # date(1)
    rf"|{_DAY}\d{{1,2}}[ ]{_MONTH}[ ]\d{{4}}[ ]{_CLOCK}{_ZONE}?"  # RFC 2822
    rf"|{_SYSLOG}{_ZONE}?"
    rf"|{_CLOCK}(?![\d:.])"
    r"|1\d{9}(?:\.\d{1,9})?\b|1\d{12}\b"  # seconds and milliseconds since the epoch
    r"|@[0-9a-f]{24}\b"  # TAI64N
    r")"
)
_STAMP = rf"(?:{_PLAIN_STAMP}|\[[ ]{{0,12}}\d{{1,9}}\.\d{{3,9}}\]|[\[(]{_PLAIN_STAMP}[\])])"
_END = r"(?::?[ ]?[|\u2502-](?:[ ]|$)|:?[ ]|\t|:?$)"
"""The end of a stamp: before one blank a colon, a bar or a dash. More blanks are the indentation of the message."""

_UPPER = (
    r"(?:(?P<error_{0}>ERROR|CRITICAL|FATAL|SEVERE|PANIC|ALERT|EMERG)"
    r"|(?P<warning_{0}>(?<!NCCL )(?:WARNING|WARN|NOTICE))"
    r"|(?P<info_{0}>INFO|DEBUG|TRACE|VERBOSE))\b(?![ ]{0,3}\]?[ ](?:-[ ])?PyProcess[ ])"
)
_LOWER = (
    r"(?:(?P<error_{0}>error|err|critical|crit|fatal|severe|panic)|(?P<warning_{0}>[Ww]arning|[Ww]arn|[Nn]otice)"
    r"|(?P<info_{0}>[Ii]nfo|[Dd]ebug|[Tt]race|verbose))"
)
_SET_OFF = r"(?=\]|[ ]?[|]|[ ]-[ ]|\t)"
"""Behind a level in lower case, which could otherwise be the first word of a sentence."""
_NAME = (
    r"(?!api_server\.py: error: )(?:[A-Za-z_]\w{0,60}(?:\.|::)){1,8}[a-z_]\w{0,60}(?=:[ ]|[ ][-|][ ])"
    r"|[a-z_][\w-]{0,60}(?=[ ][-|][ ])"
)
"""The name of a logger: the last part of an error's class begins with a capital."""
_PLACE = (
    r"(?:[ ]{0,8}[-|:,][ ]?|[ \t]{1,2}|[ ]{3,8}(?=[\w./-]{1,100}\.\w{1,6}:\d))"
    r"(?:\[(?!rank\d|default\d|\d{1,5}\])[\w./:<>-]{1,120}\]"  # [core.py:12:run], [main]
    r"|[\w.<>-][\w./<>-]{0,100}\.\w{1,6}:\d{1,6}(?::[\w<>.]{1,80})?\]?"  # core.py:12
    r"|[A-Za-z_][\w.]{0,100}:[A-Za-z_<][\w<>.]{0,80}:\d{1,6}"  # vllm.engine:run:12
    rf"|{_NAME})"
)
"""The place in the source, or the logger's name."""
_AFTER = rf"(?!:[ ]{{2}})(?![ ]\d\d-\d\d[ ]\d\d:)\]?(?:{_PLACE}){{0,3}}(?:[ ]?(?:>>|--|[-|:])(?=[ ]|$))?[ \t]?"
_BETWEEN = r"(?:[ \t]{1,3}(?:[-|:,][ \t]{1,3})?|,[ ]?|:[ ]?)"
_LOGGER = r"(?:\[[\w.:/ -]{1,100}\]|[\w.:/-]{1,100})"


def _upper(place: str) -> str:
    return _UPPER.replace("{0}", place)


def _any_case(place: str) -> str:
    return rf"(?:{_UPPER.replace('{0}', place)}|{_LOWER.replace('{0}', place + 'l')}{_SET_OFF})"


_RFC5424 = (
    rf"(?:<\d{{1,3}}>)?1[ ]{_PLAIN_STAMP}(?:[ ]\S{{1,128}}){{4}}[ ]"
    r"(?:-|(?:\[[^\]\n]{1,300}\]){1,5})(?:[ ]\ufeff?|$)"
)
_DAEMONS = (
    r"<\d{1,3}>(?!1[ ])",  # the priority of RFC 3164
    _RFC5424,
    rf"{_STAMP}[ ](?:stdout|stderr)[ ][FP](?:[ ]|$)",  # CRI
    rf"{_STAMP}(?:[ ][\w.:-]{{1,128}})?[ ][\w./@()+-]{{1,128}}\[\d{{1,10}}\]:(?:[ ]|$)",  # journald, RFC 3164
    rf"{_SYSLOG}[ ](?!vllm[ ])[\w.-]{{1,128}}[ ][\w./@()+-]{{1,128}}:(?:[ ]|$)",
    rf"{_STAMP}[ ][\w.-]{{1,128}}(?:/[\w.-]{{1,128}}){{2,5}}(?:[ ]|$)",  # a stream of CloudWatch
    rf"\[{_PLAIN_STAMP}[^\]\n]{{0,60}}\](?:[ ]|$)",  # [2026-05-01 20:49:35 TP0] text
    r"\[pod/[\w./-]{1,300}\](?:[ ]|$)",  # kubectl logs --prefix
    r"\[[a-z0-9]{1,60}(?:-[a-z0-9]{1,60}){1,12}(?:[ ][a-z0-9-]{1,80})?\](?:[ ]|$)",  # kubetail
    r"[ ]{2,12}\|(?:[ ]|$)",  # the gutter of an ExceptionGroup
)
_DJL = (
    r"\[?(?:INFO|WARN|ERROR)[ ]{0,3}\]?[ ]PyProcess[ ](?:-[ ])?W-[\w.-]{1,200}-(?:stdout|stderr):[ ]"
    r"(?:\[1,\d\]<\w{6}>:)?"
)
"""DJL Serving writes each line of vLLM at INFO."""
_NAMES = (
    # docker compose, docker service logs, podman-compose, pm2
    r"(?:\d{1,4}\|)?(?P<source>[\w.@/-]{1,200}|\[[\w.-]{1,200}\])[ \t]{1,80}\|(?:[ ]|$)",
    r"\((?:(?P<process>[A-Za-z_][\w:.-]{0,60})(?:[ ][\w:.,=-]{1,60}){0,4}[ ])?pid=\d{1,10}[^()\n]{0,100}\)[ \t]?",
    _DJL,
    r"\((?:raylet|autoscaler|gcs_server)[^()\n]{0,60}\)[ ]?",
    r"\[(?:rank|default)?\d{1,5}\]:[ ]?",  # [rank0]: of torch, [default0]: of torchrun
    r"[\w.-]{1,100}:\d{1,10}:\d{1,10}[ ]\[\d{1,3}\][ ](?:[\w./-]{1,100}:\d{1,6}[ ])?(?=NCCL )",
    r"\[\d{1,5},\d{1,5}\]<(?:stdout|stderr)>:",  # mpirun
)
_FILE_HEADER = (
    rf"{_upper('f')}[ ](?:\[[\w./ -]{{1,100}}:\d{{1,6}}\]|[\w./-]{{1,100}}\.\w{{1,4}}:\d{{1,6}}\]?)"
    r"(?:[ ]?(?:--|-|:))?[ ]?"
)
_GLOG = (
    rf"\[?(?:(?P<error_g>[EF])|(?P<warning_g>W)|(?P<info_g>[IVD]))\d{{3,4}}[ ]{_CLOCK}[\d.]{{0,20}}[ ]{{1,8}}"
    r"(?:\d{1,10}[ ]{1,4})?[\w./+-]{1,200}:\d{1,6}\][ ]?"
)
_LIBRARY = (
    r"\[(?P<warning_n>transformers|tokenizers|huggingface_hub|accelerate|datasets|safetensors|xformers|flashinfer|aiter"
    r"|[Aa]uto[Tt]uner|Gloo|c10d)\]:?[ ]"
)
"""Libraries that name themselves and no level: they print warnings."""
_HEADERS = (
    rf"{_upper('v')}[ ](?:\d{{4}}-)?\d\d-\d\d[ T]{_CLOCK}[ ](?:\[?[\w./<>-]{{1,200}}:\d{{1,6}}\](?:[ ]|$))?",  # vLLM
    rf"\[{_upper('h')}[ ]?\|[^\]\n|]{{1,160}}\][ ]?(?:{_PLAIN_STAMP}[ ]?)?(?:>>[ ]?)?",  # Transformers
    rf"{_STAMP}(?:{_BETWEEN}{_LOGGER})?{_BETWEEN}\[?{_any_case('s')}{_AFTER}",  # 2026-05-01 20:49:35 - WARNING - x.py:1
    rf"\[{_PLAIN_STAMP}{_BETWEEN}{_any_case('i')}{_AFTER}",  # [2026-05-01 20:49:35 WARNING x.py:1] text
    rf"{_upper('d')}[ ]-[ ]",
    rf"{_upper('p')}:[\w.]{{1,200}}:",  # WARNING:root:text
    rf"{_upper('u')}:(?:(?<=ERROR:|DEBUG:)[ ]{{4}}|(?<=INFO:)[ ]{{5}}|(?<=WARNING:)[ ]{{2}}|[ ]|$)",  # uvicorn
    rf"\[{_any_case('b')}\]:?[ ]?",
    _FILE_HEADER,  # WARNING x.py:1: text
    _GLOG,
    r"\[?(?:(?P<error_c>[EF])|(?P<warning_c>W)|(?P<info_c>I))[ ][\w./+-]{1,200}\.\w{1,4}:\d{1,6}\][ ]?",  # C++
    _LIBRARY,
    r"(?:\[[A-Za-z][\w.-]{0,40}\][ ])?\[(?P<warning_l>W)\][ ]",  # TensorRT-LLM
    r"\[[a-z][\w.-]{0,40}\][ ](?P<warning_k>WARNING|WARN):?[ ]",
    r"[a-z_][\w.]{0,60}:[ ](?P<warning_j>WARNING|WARN):?[ ]",
)
_BAR = r"[^%\n]{0,120}\d{1,3}%[^\[\n]{0,300}\[[^\]\n]{0,80}\](?=[(\[\d{]|[A-Z]{4})"
"""A progress bar that the next message follows without a line break."""

MOST_PREFIXES = 24
"""More of them before one message are no prefixes; without a bound, a line of nothing else would take long."""
PREFIX = re.compile(rf"(?:{'|'.join((*_HEADERS, *_DAEMONS, *_NAMES))}|{_STAMP}{_END}|{_BAR}){{0,{MOST_PREFIXES}}}")
COLOUR = re.compile(r"(?:\x1b|#033|\^\[)\[[\d;]{0,20}[mK]|\[\d{1,3}(?:;\d{1,3}){0,4}m")
"""Colours, also as syslog escapes them, and without the escape character, which some pages lose."""
LEVELS = tuple(
    (name, level)
    for name in PREFIX.groupindex
    for level in ("error", "warning", "info")
    if name.startswith(f"{level}_")
)
"""Group of PREFIX -> its level."""
