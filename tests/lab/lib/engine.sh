# The engine: somebody's, if one answers, else a private one in a network namespace of its own. Sourced by ../lab.
# shellcheck shell=bash

ENGINE_DIR=$LAB_HOME/engine
PRIVATE_HOST=unix://$ENGINE_DIR/docker.sock
NETNS=/run/netns/$LAB_NAME

# ---- which engine ----------------------------------------------------------------------------------------------------

# answers HOST: bounded, since a stopped or hung daemon accepts connections and never answers.
answers() {
  [[ $1 != unix://* || -S ${1#unix://} ]] || return 1
  command -v docker >/dev/null && DOCKER_HOST=$1 timeout 5 docker version -f '{{.Server.Version}}' >/dev/null 2>&1 9>&-
}

# Sets ENGINE_KIND (external, private or none) and ENGINE_HOST. An engine that is already there goes first: CI machines
# and developers' laptops have one, and a second one would only take room.
find_engine() {
  local given=${DOCKER_HOST:-unix:///var/run/docker.sock}
  ENGINE_KIND=none ENGINE_HOST=
  if [[ $given != "$PRIVATE_HOST" ]] && answers "$given"; then
    ENGINE_KIND=external ENGINE_HOST=$given
  elif answers "$PRIVATE_HOST"; then
    ENGINE_KIND=private ENGINE_HOST=$PRIVATE_HOST
  fi
}

require_engine() {
  find_engine
  [[ $ENGINE_KIND != none ]] || die "no engine answers; start one with: $LAB_DIR/lab up"
  [[ $ENGINE_KIND != private ]] || namespace_works || die "the engine's namespace is gone; run: $LAB_DIR/lab up"
}

ensure_engine() {
  need docker
  find_engine
  if [[ $ENGINE_KIND == none ]] || { [[ $ENGINE_KIND == private ]] && ! namespace_works; }; then
    start_private_engine
    ENGINE_KIND=private ENGINE_HOST=$PRIVATE_HOST
  fi
  export DOCKER_HOST=$ENGINE_HOST
}

engine_status() {
  find_engine
  local version
  case $ENGINE_KIND in
    none) echo "engine  none" && return 1 ;;
    private) namespace_works || { echo "engine  private, but its namespace is gone" && return 1; } ;;
  esac
  export DOCKER_HOST=$ENGINE_HOST
  version=$(timeout 5 docker version -f '{{.Server.Version}}')
  echo "engine  $ENGINE_KIND, version $version, $ENGINE_HOST"
}

# ---- the private engine ----------------------------------------------------------------------------------------------

# After a reboot, or when somebody deleted the namespace, the name is missing or a plain file.
namespace_works() { [[ -e $NETNS ]] && nsenter --net="$NETNS" true 2>/dev/null; }

# No route leads out of the namespace. With one, packets for a container whose bridge has just gone would follow it and
# leave the machine, and a published port would speak for whoever answers there.
make_namespace() {
  namespace_works && return
  ip netns delete "$LAB_NAME" 2>/dev/null || rm -f "$NETNS"
  ip netns add "$LAB_NAME" 9>&-
  ip -n "$LAB_NAME" link set lo up
}

start_private_engine() {
  ((EUID == 0)) || die "no engine answers, and only root can start one"
  # containerd's sockets lie deeper than ours, and a socket's path ends at 107 bytes
  ((${#ENGINE_DIR} <= 68)) || die "path too long for sockets, set CORTEXCTL_LAB_HOME to a shorter one: $ENGINE_DIR"
  need docker dockerd ip iptables nsenter unshare setsid
  if [[ -n $(engine_processes dockerd) ]] && namespace_works; then
    say "an engine of the lab is there, but does not answer; giving it 10 s"
    wait_until 10 answers "$PRIVATE_HOST" && return
  fi
  refuse_foreign_namespace
  end_leftovers
  make_namespace
  mkdir -p "$ENGINE_DIR"
  # without a key of its own it would have the same ID as every other engine of this machine
  printf '{"deprecated-key-path": "%s/key.json"}\n' "$ENGINE_DIR" >"$ENGINE_DIR/daemon.json"
  [[ ! -e $ENGINE_DIR/dockerd.log ]] || mv -f "$ENGINE_DIR/dockerd.log" "$ENGINE_DIR/dockerd.log.1"
  launch_dockerd
  local pid=$!
  wait_until 60 engine_answers_or_died "$pid" || true
  if ! answers "$PRIVATE_HOST"; then
    tail -n 5 "$ENGINE_DIR/dockerd.log" >&2
    end_leftovers
    die "the engine did not start, see $ENGINE_DIR/dockerd.log"
  fi
  if [[ -e $ENGINE_DIR/remove-containers ]]; then
    remove_containers
    rm -f "$ENGINE_DIR/remove-containers"
  fi
  say "started a private engine in namespace $LAB_NAME"
}

# nsenter and not 'ip netns exec': that one mounts a new /sys, in which the cgroup mounts are missing.
# An own UTS namespace gives the engine a name of its own in /info; cgroupfs, because the cgroup parent is a plain path.
launch_dockerd() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  setsid nsenter --net="$NETNS" unshare --uts \
    sh -c 'echo "$0" >/proc/sys/kernel/hostname && exec "$@"' "$LAB_NAME" \
    dockerd --config-file "$ENGINE_DIR/daemon.json" --host "$PRIVATE_HOST" --pidfile "$ENGINE_DIR/docker.pid" \
    --data-root "$ENGINE_DIR/data" --exec-root "$ENGINE_DIR/exec" \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$LAB_NAME" --shutdown-timeout 3 \
    >"$ENGINE_DIR/dockerd.log" 2>&1 </dev/null 9>&- &
}

engine_answers_or_died() { ! alive "$1" || answers "$PRIVATE_HOST"; }

# A zombie counts as dead: where process 1 does not reap, it stays for good.
alive() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  [[ ${stat##*) } != [ZX]* ]]
}

# ---- what it leaves behind -------------------------------------------------------------------------------------------

# engine_processes dockerd|containerd|shim: ids of this lab's processes, told from others by the paths they were given.
engine_processes() {
  local mark file
  case $1 in
    dockerd) mark="--pidfile $ENGINE_DIR/docker.pid " ;;
    containerd) mark="--config $ENGINE_DIR/exec/containerd/containerd.toml " ;;
    shim) mark="-address $ENGINE_DIR/exec/containerd/containerd.sock " ;;
  esac
  for file in /proc/[0-9]*/cmdline; do
    # processes come and go while this reads
    [[ "$({ tr '\0' ' ' <"$file"; } 2>/dev/null)" == *"$mark"* ]] || continue
    file=${file#/proc/}
    echo "${file%/cmdline}"
  done
}

cgroup_dirs() { find /sys/fs/cgroup -maxdepth 2 -type d -name "$LAB_NAME"; }

container_processes() {
  local dir
  cgroup_dirs | while read -r dir; do find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null; done | sort -u
}

# A second lab with another home would share our namespace and cgroup by name: each would end what the other runs.
refuse_foreign_namespace() {
  local pid args
  for pid in $(ip netns pids "$LAB_NAME" 2>/dev/null || true); do
    args=$({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) || continue
    [[ $args != dockerd\ * || $args == *"--pidfile $ENGINE_DIR/docker.pid "* ]] ||
      die "namespace $LAB_NAME belongs to another lab (set CORTEXCTL_LAB_NAME): $args"
  done
}

end_processes() { # SIGNAL, then ids on standard input
  local pid pids
  mapfile -t pids
  for pid in "${pids[@]}"; do kill "-$1" "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait_until 15 dead "$pid" || say "process $pid does not end"; done
}

dead() { ! alive "$1"; }

# Everything of a dead (or hanging) engine that would hinder the next one: processes, mounts, pid files.
end_leftovers() {
  local file
  engine_processes dockerd | end_processes KILL
  engine_processes containerd | end_processes KILL
  # cgroup v1: a paused container does not even die of SIGKILL
  for file in /sys/fs/cgroup/freezer/"$LAB_NAME"/*/freezer.state; do
    [[ ! -e $file ]] || echo THAWED >"$file" || true
  done
  container_processes | end_processes KILL
  engine_processes shim | end_processes KILL
  engine_mounts | while read -r file; do umount --lazy "$(printf '%b' "$file")" || true; done
  # dockerd refuses to start while a process has its old id, and waits 15 s in vain for the old containerd
  rm -f "$ENGINE_DIR/docker.pid" "$ENGINE_DIR/exec/containerd/containerd.pid" "$ENGINE_DIR/docker.sock"
}

# The kernel writes a blank in a path as \040, deepest mounts go first.
engine_mounts() {
  local dir=${ENGINE_DIR// /\\040}
  # through the environment, as awk would read the backslash in a -v value
  DIR=$dir/ awk 'index($5, ENVIRON["DIR"]) == 1 { print $5 }' /proc/self/mountinfo | sort -r
}

remove_containers() {
  local ids
  mapfile -t ids < <(DOCKER_HOST=$PRIVATE_HOST timeout 10 docker ps -aq)
  ((${#ids[@]} == 0)) || DOCKER_HOST=$PRIVATE_HOST timeout 120 docker rm -fv "${ids[@]}" >/dev/null || true
  DOCKER_HOST=$PRIVATE_HOST timeout 60 docker network prune -f >/dev/null || true
}

stop_private_engine() {
  if [[ ! -e $ENGINE_DIR ]]; then
    say "no private engine here"
    return
  fi
  refuse_foreign_namespace
  if answers "$PRIVATE_HOST"; then
    remove_containers
    engine_processes dockerd | end_processes TERM
  elif [[ -d $ENGINE_DIR/data/containers ]]; then
    touch "$ENGINE_DIR/remove-containers" # nobody there to do it now: the next start will
  fi
  end_leftovers
  ip netns delete "$LAB_NAME" 2>/dev/null || rm -f "$NETNS"
  cgroup_dirs | while read -r dir; do find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
  rm -rf "$ENGINE_DIR/exec"
  say "the private engine is stopped"
}
