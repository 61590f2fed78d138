#!/bin/bash
# standin.sh TAG KEY: makes the image with the stand-in server (../standin.py) under the names of vLLM's program and of
# the test engine's.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
TAG=$1 KEY=$2

mkdir -p "$LAB_HOME/build"
BUILD=$(mktemp -d "$LAB_HOME/build/standin.XXXXXX")
trap 'rm -rf "$BUILD"' EXIT

python3 "$HERE/rootfs.py" "$BUILD/root" --slim
# A program is compiled at each of its starts, and a module once. Without packages the start is shorter as well.
lib=$(echo "$BUILD"/root/usr/local/lib/python3.*)
cp "$HERE/../standin.py" "$lib"
python3 -m compileall -q --invalidation-mode unchecked-hash -s "$BUILD/root" "$lib/standin.py"
printf '%s\n' '#!/usr/local/bin/python3 -ISu' 'import standin' 'standin.main()' >"$BUILD/root/usr/local/bin/vllm"
chmod 755 "$BUILD/root/usr/local/bin/vllm"
ln -s vllm "$BUILD/root/usr/local/bin/other-server"

tar -C "$BUILD/root" --owner=0 --group=0 --numeric-owner -c . |
  timeout 300 docker import \
    -c 'ENTRYPOINT ["vllm","serve"]' \
    -c 'ENV LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1' \
    -c "LABEL cortexctl.lab.key=$KEY" - "$TAG" >/dev/null
