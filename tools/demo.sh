#!/bin/bash
# The main job, shown on a terminal: stacks/quickstart.toml on the real vLLM, from an empty host to an empty host.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH
stack=stacks/quickstart.toml
url=http://127.0.0.1:8801

say() { printf '\n\033[1;36m== %s\033[0m\n' "$*"; }
run() {
  printf '\033[1m$ %s\033[0m\n' "$*"
  "$@"
}
ask() {
  printf '\033[1m$ POST %s/v1/chat/completions\033[0m\n' "$url"
  python3 - "$url" <<'PY'
import json, sys, urllib.request

body = {"model": "tiny-llama", "max_tokens": 16, "messages": [{"role": "user", "content": "Say ok."}]}
request = urllib.request.Request(
    sys.argv[1] + "/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
)
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
    answer_json = json.load(answer)
print(f'{answer_json["model"]}: {answer_json["choices"][0]["message"]["content"]!a}  ({answer_json["usage"]["completion_tokens"]} tokens)')
print("The weights are random, so the text is random. The point is that the model answers.")
PY
}

if ! cortexctl plan --destroy "$stack" | grep -q 'Nothing to destroy'; then
  say "An earlier demo left containers: remove them"
  run cortexctl destroy "$stack" --auto-approve
fi

say "1. What would change?"
run cortexctl plan "$stack"

say "2. Apply"
run cortexctl apply "$stack" --auto-approve

say "3. Send a request to the model"
ask

say "4. Plan again: nothing to do"
run cortexctl plan "$stack"

say "5. A container is stopped by hand"
run docker stop -t 30 vllm-model-tiny
run cortexctl status "$stack" || true

say "6. The plan shows it (exit code 2: there are changes)"
run cortexctl plan "$stack" --detailed-exitcode && exit 1 || [ $? -eq 2 ]

say "7. Repair it"
run cortexctl apply "$stack" --auto-approve
run cortexctl status "$stack"

say "8. Remove everything"
run cortexctl destroy "$stack" --auto-approve
run cortexctl plan --destroy "$stack"

say "That is the main job. Next: README.md, or cortexctl init"
