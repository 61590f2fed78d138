# The daemon: an existing one if it answers, else a private one in its own network namespace. Sourced by ../lab.
# shellcheck shell=bash

DAEMON_DIR=$LAB_HOME/engine
PRIVATE_HOST=unix://$DAEMON_DIR/docker.sock
NETNS=/run/netns/$LAB_NAME

# ---- which daemon ----------------------------------------------------------------------------------------------------

# answers HOST: bounded, since a stopped or hung daemon accepts connections and never answers.
answers() {
  [[ $1 != unix://* || -S ${1#unix://} ]] || return 1
  command -v docker >/dev/null && DOCKER_HOST=$1 timeout 5 docker version -f '{{.Server.Version}}' >/dev/null 2>&1 9>&-
}

# Sets DAEMON_KIND (external, private or none) and DAEMON_HOST. An existing daemon has precedence: CI machines and
# developers' laptops have one, and a second one would only use disk space.
find_daemon() {
  local given=${DOCKER_HOST:-unix:///var/run/docker.sock}
  DAEMON_KIND=none DAEMON_HOST=
  if [[ $given != "$PRIVATE_HOST" ]] && answers "$given"; then
    DAEMON_KIND=external DAEMON_HOST=$given
  elif answers "$PRIVATE_HOST"; then
    DAEMON_KIND=private DAEMON_HOST=$PRIVATE_HOST
  fi
}

require_daemon() {
  find_daemon
  [[ $DAEMON_KIND != none ]] || die "no daemon answers; start one with: $LAB_DIR/lab up"
  [[ $DAEMON_KIND != private ]] || namespace_works || die "the daemon's namespace is gone; run: $LAB_DIR/lab up"
}

ensure_daemon() {
  need docker
  find_daemon
  if [[ $DAEMON_KIND == none ]] || { [[ $DAEMON_KIND == private ]] && ! namespace_works; }; then
    start_private_daemon
    DAEMON_KIND=private DAEMON_HOST=$PRIVATE_HOST
  fi
  [[ $DAEMON_KIND != private ]] || small_connection_tables
  export DOCKER_HOST=$DAEMON_HOST
}

daemon_status() {
  find_daemon
  local version
  case $DAEMON_KIND in
    none) echo "daemon  none" && return 1 ;;
    private) namespace_works || { echo "daemon  private, but its namespace is gone" && return 1; } ;;
  esac
  export DOCKER_HOST=$DAEMON_HOST
  version=$(timeout 5 docker version -f '{{.Server.Version}}')
  echo "daemon  $DAEMON_KIND, version $version, $DAEMON_HOST"
}

# ---- the private daemon ----------------------------------------------------------------------------------------------

# After a reboot, or if the namespace was deleted, the name is missing or a plain file.
namespace_works() { [[ -e $NETNS ]] && nsenter --net="$NETNS" true 2>/dev/null; }

# No route leads out of the namespace. With a route, packets for a container whose bridge was just removed would leave
# the machine, and another server could answer for a published port.
make_namespace() {
  namespace_works && return
  ip netns delete "$LAB_NAME" 2>/dev/null || rm -f "$NETNS"
  ip netns add "$LAB_NAME" 9>&-
  ip -n "$LAB_NAME" link set lo up
}

# A gate reads /proc/PID/net/tcp of a server four times a second. The kernel walks over a table for all connections of the
# machine, which takes several milliseconds if the machine has much memory. Each container gets a table of its own, if the
# kernel can do that (Linux 6.1).
small_connection_tables() {
  nsenter --net="$NETNS" sh -c 'echo 64 >/proc/sys/net/ipv4/tcp_child_ehash_entries' 2>/dev/null || true
}

start_private_daemon() {
  ((EUID == 0)) || die "no daemon answers, and only root can start one"
  # the paths of containerd's sockets are longer than ours, and a socket's path has at most 107 bytes
  ((${#DAEMON_DIR} <= 68)) || die "path too long for sockets, set CORTEXCTL_LAB_HOME to a shorter one: $DAEMON_DIR"
  need docker dockerd ip iptables nsenter unshare setsid
  if [[ -n $(daemon_processes dockerd) ]] && namespace_works; then
    say "a daemon of the lab runs, but does not answer; waiting 10 s"
    wait_until 10 answers "$PRIVATE_HOST" && return
  fi
  refuse_foreign_namespace
  end_leftovers
  make_namespace
  mkdir -p "$DAEMON_DIR"
  # without its own key it would have the same ID as every other daemon of this machine
  printf '{"deprecated-key-path": "%s/key.json"}\n' "$DAEMON_DIR" >"$DAEMON_DIR/daemon.json"
  [[ ! -e $DAEMON_DIR/dockerd.log ]] || mv -f "$DAEMON_DIR/dockerd.log" "$DAEMON_DIR/dockerd.log.1"
  launch_dockerd
  local pid=$!
  wait_until 60 daemon_answers_or_died "$pid" || true
  if ! answers "$PRIVATE_HOST"; then
    tail -n 5 "$DAEMON_DIR/dockerd.log" >&2
    end_leftovers
    die "the daemon did not start, see $DAEMON_DIR/dockerd.log"
  fi
  if [[ -e $DAEMON_DIR/remove-containers ]]; then
    remove_containers
    rm -f "$DAEMON_DIR/remove-containers"
  fi
  say "started a private daemon in namespace $LAB_NAME"
}

# nsenter and not 'ip netns exec': that one mounts a new /sys, in which the cgroup mounts are missing.
# An own UTS namespace gives the daemon a name of its own in /info; cgroupfs, because the cgroup parent is a plain path.
# CORTEXCTL_LAB_DOCKERD: more options, split at spaces, for hosts that answer at a TCP port as well.
# GOGC, GOMEMLIMIT: the daemon and the programs that it starts for each container collect garbage only if they are large.
# That is a seventh of the processor time of a container's start.
launch_dockerd() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  setsid nsenter --net="$NETNS" unshare --uts \
    sh -c 'echo "$0" >/proc/sys/kernel/hostname && exec "$@"' "$LAB_NAME" \
    env GOGC=off GOMEMLIMIT=200MiB dockerd --config-file "$DAEMON_DIR/daemon.json" --host "$PRIVATE_HOST" --pidfile "$DAEMON_DIR/docker.pid" \
    --data-root "$DAEMON_DIR/data" --exec-root "$DAEMON_DIR/exec" \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$LAB_NAME" --shutdown-timeout 3 \
    ${CORTEXCTL_LAB_DOCKERD:-} >"$DAEMON_DIR/dockerd.log" 2>&1 </dev/null 9>&- &
}

daemon_answers_or_died() { ! alive "$1" || answers "$PRIVATE_HOST"; }

# A zombie counts as dead: if process 1 does not reap, it stays forever.
alive() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  [[ ${stat##*) } != [ZX]* ]]
}

# ---- leftovers -------------------------------------------------------------------------------------------------------

# daemon_processes dockerd|containerd|shim: ids of this lab's processes, identified by the paths in their arguments.
daemon_processes() {
  local mark file args
  case $1 in
    dockerd) mark="--pidfile $DAEMON_DIR/docker.pid " ;;
    containerd) mark="--config $DAEMON_DIR/exec/containerd/containerd.toml " ;;
    shim) mark="-address $DAEMON_DIR/exec/containerd/containerd.sock " ;;
  esac
  for file in /proc/[0-9]*/cmdline; do
    # Processes start and end meanwhile. Without a program for each of them, this takes a hundredth of the time.
    { mapfile -d '' -t args <"$file"; } 2>/dev/null || continue
    [[ "${args[*]} " == *"$mark"* ]] || continue
    file=${file#/proc/}
    echo "${file%/cmdline}"
  done
}

cgroup_dirs() { find /sys/fs/cgroup -maxdepth 2 -type d -name "$LAB_NAME"; }

container_processes() {
  local dir
  cgroup_dirs | while read -r dir; do find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null; done | sort -u
}

# A second lab with another home would share our namespace and cgroup by name: each would kill the other's processes.
refuse_foreign_namespace() {
  local pid args
  for pid in $(ip netns pids "$LAB_NAME" 2>/dev/null || true); do
    args=$({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) || continue
    [[ $args != dockerd\ * || $args == *"--pidfile $DAEMON_DIR/docker.pid "* ]] ||
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

# Everything of a dead (or hanging) daemon that would hinder the next one: processes, mounts, pid files.
end_leftovers() {
  local file
  daemon_processes dockerd | end_processes KILL
  daemon_processes containerd | end_processes KILL
  # cgroup v1: a paused container does not even die of SIGKILL
  for file in /sys/fs/cgroup/freezer/"$LAB_NAME"/*/freezer.state; do
    [[ ! -e $file ]] || echo THAWED >"$file" || true
  done
  container_processes | end_processes KILL
  daemon_processes shim | end_processes KILL
  daemon_mounts | while read -r file; do umount --lazy "$(printf '%b' "$file")" || true; done
  # dockerd refuses to start while a process has its old id, and waits 15 s in vain for the old containerd
  rm -f "$DAEMON_DIR/docker.pid" "$DAEMON_DIR/exec/containerd/containerd.pid" "$DAEMON_DIR/docker.sock"
}

# The kernel writes a blank in a path as \040, deepest mounts go first.
daemon_mounts() {
  local dir=${DAEMON_DIR// /\\040}
  # through the environment, as awk would read the backslash in a -v value
  DIR=$dir/ awk 'index($5, ENVIRON["DIR"]) == 1 { print $5 }' /proc/self/mountinfo | sort -r
}

remove_containers() {
  local ids
  mapfile -t ids < <(DOCKER_HOST=$PRIVATE_HOST timeout 10 docker ps -aq)
  ((${#ids[@]} == 0)) || DOCKER_HOST=$PRIVATE_HOST timeout 120 docker rm -fv "${ids[@]}" >/dev/null || true
  DOCKER_HOST=$PRIVATE_HOST timeout 60 docker network prune -f >/dev/null || true
}

stop_private_daemon() {
  if [[ ! -e $DAEMON_DIR ]]; then
    say "no private daemon here"
    return
  fi
  refuse_foreign_namespace
  if answers "$PRIVATE_HOST"; then
    remove_containers
    daemon_processes dockerd | end_processes TERM
  elif [[ -d $DAEMON_DIR/data/containers ]]; then
    touch "$DAEMON_DIR/remove-containers" # without a daemon this is not possible now: the next start does it
  fi
  end_leftovers
  ip netns delete "$LAB_NAME" 2>/dev/null || rm -f "$NETNS"
  cgroup_dirs | while read -r dir; do find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
  rm -rf "$DAEMON_DIR/exec"
  say "the private daemon is stopped"
}
