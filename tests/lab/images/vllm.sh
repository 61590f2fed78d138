#!/bin/bash
# vllm.sh TAG KEY: makes the image with the real vLLM for the CPU. All is inside, and it starts as the official one does:
#   docker run IMAGE MODEL --port ...
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
TAG=$1 KEY=$2
SITE=$LAB_HOME/site
RAW=cortexctl-lab/vllm-openai:raw
CONTAINER=cortexctl-lab-build-$$

mkdir -p "$LAB_HOME/build"
BUILD=$(mktemp -d "$LAB_HOME/build/vllm.XXXXXX")
clean_up() {
  rm -rf "$BUILD"
  timeout 60 docker rm -f "$CONTAINER" >/dev/null 2>&1 || true
  timeout 60 docker image rm "$RAW" >/dev/null 2>&1 || true
}
trap clean_up EXIT

bash "$HERE/site.sh" "$SITE"

# lscpu: the engine reads the machine's topology from it and does not start without
python3 "$HERE/rootfs.py" "$BUILD/root" --site "$SITE" --libs libnuma.so.1 --tools lscpu ps bash
cat >"$BUILD/root/usr/local/bin/vllm" <<'PY'
#!/usr/local/bin/python3
import sys

if __name__ == "__main__":  # the engine is spawned, and runs this file again under another name
    from vllm.entrypoints.cli.main import main

    sys.exit(main())
PY
chmod 755 "$BUILD/root/usr/local/bin/vllm"

# Straight from the two folders into the engine: 2.3 GB need not lie on the disk once more.
# Each path may be in the archive only once, so the empty folder has to go first.
# S: what links lead to stays, as dist-packages leads to site-packages.
packages=$(cd "$BUILD/root" && echo usr/local/lib/python3.*/site-packages)
rmdir "$BUILD/root/$packages"
tar --owner=0 --group=0 --numeric-owner --exclude=site/.key --transform "s,^site,./$packages,S" \
  -c -C "$BUILD/root" . -C "$LAB_HOME" site |
  timeout 1200 docker import \
    -c 'ENV LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 VLLM_TARGET_DEVICE=cpu' \
    -c 'ENV VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1' \
    -c 'ENV OMP_NUM_THREADS=1 VLLM_ENABLE_V1_MULTIPROCESSING=0 VLLM_CPU_KVCACHE_SPACE=1' - "$RAW" >/dev/null

# vLLM remembers what it found out about a model class, to spare each start a process that imports everything once more
# (17 s of CPU time). Let it find out now for the class of the tiny model, and keep its notes as a second layer.
timeout 600 docker run --name "$CONTAINER" --network none --tmpfs /tmp --entrypoint python3 "$RAW" -c '
from vllm.model_executor.models import ModelRegistry

if __name__ == "__main__":
    ModelRegistry.models["LlamaForCausalLM"].inspect_model_cls()
' >"$BUILD/log" 2>&1 || { cat "$BUILD/log" >&2; exit 1; }
timeout 600 docker commit -c 'ENTRYPOINT ["vllm","serve"]' -c 'CMD []' -c "LABEL cortexctl.lab.key=$KEY" \
  "$CONTAINER" "$TAG" >/dev/null
