# Paths, messages, the lock and the packages that the lab needs. Sourced by ../lab.
# shellcheck shell=bash disable=SC2034  # the variables are for the files sourced after this one

# The name of the network namespace, the cgroup and the host name of the private daemon. Two labs with different homes
# need different names to run side by side; nobody else should have to set it.
LAB_NAME=${CORTEXCTL_LAB_NAME:-cortexctl-lab}
LAB_HOME=${CORTEXCTL_LAB_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/cortexctl-lab}
REPO_DIR=$(cd "$LAB_DIR/../.." && pwd)
MODEL_DIR=$REPO_DIR/.lab/models/tiny-llama

# Debian keeps dockerd, ip and iptables where a plain user's PATH does not look.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf 'lab: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# One 'lab up' or 'lab down' at a time. The lock ends with this process; long-lived children must be started with 9>&-.
take_lock() {
  need flock
  mkdir -p "$LAB_HOME"
  exec 9>"$LAB_HOME/lock"
  flock --nonblock 9 && return
  say "waiting for another lab command to finish"
  flock --timeout 3600 9 || die "the other lab command did not finish within an hour"
}

package_of() {
  case $1 in
    docker | dockerd) echo docker.io ;;
    ip) echo iproute2 ;;
    iptables) echo iptables ;;
    ps) echo procps ;;
    podman) printf '%s\n' podman netavark aardvark-dns ;;
    ssh) echo openssh-client ;;
    sshd) echo openssh-server ;;
    openssl) echo openssl ;;
    *) echo util-linux ;; # nsenter, unshare, setsid, flock, lscpu
  esac
}

# need COMMAND...: installs the packages of those commands that are missing, and touches nothing when none is.
need() {
  local cmd missing=() packages=()
  for cmd; do command -v "$cmd" >/dev/null || missing+=("$cmd"); done
  ((${#missing[@]})) || return 0
  mapfile -t packages < <(for cmd in "${missing[@]}"; do package_of "$cmd"; done | sort -u)
  if ! command -v apt-get >/dev/null || ((EUID != 0)); then
    die "missing: ${missing[*]} (packages on Debian: ${packages[*]})"
  fi
  say "installing ${packages[*]}"
  install_packages "${packages[@]}" || die "could not install ${packages[*]}, see $LAB_HOME/apt.log"
  hash -r
  for cmd in "${missing[@]}"; do
    command -v "$cmd" >/dev/null || die "${packages[*]} did not bring $cmd, see $LAB_HOME/apt.log"
  done
}

install_packages() {
  local policy=/usr/sbin/policy-rc.d ours='' rc=0
  mkdir -p "$LAB_HOME"
  # On a machine with an init system the package would start a daemon of its own, with a bridge and firewall rules in
  # the machine's own network. policy-rc.d is Debian's way of saying no to that; it is left alone where there is one.
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    ours=1
  fi
  {
    timeout 600 apt-get update -q &&
      DEBIAN_FRONTEND=noninteractive timeout 1200 apt-get install -qy --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@"
  } >"$LAB_HOME/apt.log" 2>&1 </dev/null 9>&- || rc=$?
  [[ -z $ours ]] || rm -f "$policy"
  return "$rc"
}

# wait_until SECONDS CMD...: polls CMD; false if it has not come true in time.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# What the caches hold can be made again; the lock file stays, since somebody may be waiting on it.
purge() {
  rm -rf "$LAB_HOME/engine" "$LAB_HOME/build" "$LAB_HOME/site" "$LAB_HOME/uv" "$LAB_HOME/uv-cache" "$LAB_HOME/apt.log"
  say "deleted the daemon's data and the build caches under $LAB_HOME"
}

ensure_model() { python3 "$LAB_DIR/tiny_llama.py" "$MODEL_DIR"; }

model_status() {
  if [[ -e $MODEL_DIR/model.safetensors ]]; then
    echo "model   tiny-llama: ready ($MODEL_DIR)"
  else
    echo "model   tiny-llama: missing ($MODEL_DIR)"
    return 1
  fi
}
