#!/usr/bin/env bash
# plan.sh FOLDER: check a stack and plan it, for review. The inputs are in the environment and never part of a
# script: CORTEXCTL_STACK, _ENV, _MODE (against, observed, live), _AGAINST, _SNAPSHOT, _ARGS, _MAX_BYTES.
#
# FOLDER gets plan.json and plan.html if there is a plan; plan.md (as in the comment) and summary.md, or the reason for
# no plan; validate.sarif; messages.txt, the other output of cortexctl; results, as lines NAME=VALUE.
# Exit code: 0 (no changes), 2 (changes), else there is no plan that can be applied.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ ! -L "${1%/}" ] || rm -- "${1%/}" # a request may have replaced it by a link
mkdir -p "$1"
folder=$(cd "$1" && pwd)
stack=${CORTEXCTL_STACK:-stack.toml}
env=${CORTEXCTL_ENV-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
max_bytes=${CORTEXCTL_MAX_BYTES:-60000}
words=()  # of CORTEXCTL_ARGS
choice=() # the environment and values of variables, also for validate
basis=()  # what to plan against
top=      # top folder of the stack's checkout
mapfile -t elsewhere < <(git rev-parse --local-env-vars 2>/dev/null)
unset "${elsewhere[@]}" # variables that would lead git to another repository

main() {
  local code=0 valid=true changes=false plan=''
  rm -f "$folder"/{plan,summary,validate,messages}.* "$folder/results"
  : >"$folder/messages.txt"
  if prepare; then
    check || valid=false
    $valid || leave_room
    make_plan || code=$?
  else
    code=1
  fi
  if [ -s "$folder/plan.json" ] && [ -s "$folder/plan.md" ]; then
    plan=$folder/plan.json
    changes=$(has_changes "$code" "$plan")
    views || { cp "$folder/plan.md" "$folder/summary.md"; code=1; }
    if ! $valid; then
      [ "$code" = 1 ] || problems
      code=1
    fi
  else
    [ "$code" != 0 ] || code=1
    no_plan
  fi
  log "$plan"
  printf '%s\n' "exit-code=$code" "changes=$changes" "plan-file=$plan" "folder=$folder" >"$folder/results"
  return "$code"
}

# False, with a message, if the inputs are invalid.
prepare() {
  if ! command -v cortexctl >/dev/null; then
    fail "cortexctl is not installed: set \`version\`, or install it in a step before"
  elif ! [[ $max_bytes =~ ^[1-9][0-9]{0,6}$ ]]; then
    fail "max-bytes is not a number of bytes: leave it out, or write one such as 60000"
  elif ! split_words; then
    fail "args are no list of words: close the quotes, as in a shell"
  else
    choose
    case ${CORTEXCTL_MODE:-against} in
      live) ;;
      observed) snapshot ;;
      against) against "${CORTEXCTL_AGAINST:-${GITHUB_BASE_REF:+git:origin/$GITHUB_BASE_REF}}" ;;
      *) fail "mode is \"$CORTEXCTL_MODE\": write against, observed or live" ;;
    esac
  fi
}

fail() {
  printf 'Error: %s\n' "$1" >>"$folder/messages.txt"
  return 1
}

# Quotes as in a shell, and nothing is expanded. `-I`: without it Python imports modules from the checkout.
split_words() {
  local read='import os, shlex, sys; sys.stdout.write("".join(w + "\0" for w in shlex.split(os.environ["CORTEXCTL_ARGS"])))'
  [ -n "${CORTEXCTL_ARGS-}" ] || return 0
  python3 -I -c "$read" >"$work/words" 2>/dev/null || return 1
  mapfile -d '' -t words <"$work/words"
}

choose() {
  local i
  [ -z "$env" ] || choice+=("--env=$env")
  for ((i = 0; i < ${#words[@]}; i++)); do
    case ${words[i]} in
      --var | --var-file) choice+=("${words[i]}=${words[i + 1]-}") ;;
      --var=* | --var-file=*) choice+=("${words[i]}") ;;
    esac
  done
}

snapshot() {
  if [ -z "${CORTEXCTL_SNAPSHOT-}" ]; then
    fail "mode is observed, and no snapshot is named: set \`snapshot\` to a file that cortexctl observe --out wrote"
  else
    basis=("--observed=$CORTEXCTL_SNAPSHOT")
  fi
}

# A revision is fetched first, because pipelines check out only their own. If it does not have the stack or the
# environment yet, the plan is made as if nothing had been applied.
against() {
  local revision=${1#git:} name reason
  if [ -z "$1" ]; then
    fail "this is not a pull request, so there is nothing to compare with: set \`against\`, or another \`mode\`"
  elif [ "$revision" = "$1" ] || [ ! -f "$stack" ]; then
    basis=("--against=$1")
  elif [[ $revision == -* ]]; then
    fail "against names no revision: write git:REVISION, or a stack file"
  elif ! find_top; then
    fail "$stack is in no checkout that git can be asked about: check the repository out, and name the stack in it"
  else
    name=$revision # the full name of a branch of the origin: a tag may have the same name
    [[ $revision != origin/* ]] || name=refs/remotes/$revision
    reason=$(fetch "$revision" 2>&1 | grep -E -m 1 '^(fatal|error): ') || true
    if ! ask_git rev-parse --quiet --verify "$name^{commit}" >/dev/null 2>&1; then
      fail "$revision cannot be compared with (${reason:-there is no such revision}): let the checkout fetch all history"
    elif in_base "$name"; then
      basis=("--against=$1")
    else
      basis=(--against=none)
    fi
  fi
}

# The checkout is the nearest folder above the stack that has a .git, in the job's workspace. A request cannot contain
# one, because git tracks no .git. But it can contain files that look like a repository without a work tree, and git
# would use them in every folder below the top.
find_top() {
  local at real workspace=${GITHUB_WORKSPACE:-${CI_PROJECT_DIR-}}
  at=$(cd -- "$(dirname -- "$stack")" 2>/dev/null && pwd) || return
  while [ ! -e "$at/.git" ]; do
    [ "$at" != / ] || return
    at=$(dirname -- "$at")
  done
  real=$(cd -- "$at" && pwd -P) || return
  if [ -n "$workspace" ]; then
    workspace=$(cd -- "$workspace" && pwd -P) || return
    [[ $real/ == "${workspace%/}"/* ]] || return
  fi
  top=$at
  [ "$(GIT_CEILING_DIRECTORIES=$(dirname -- "$real") git_quietly -C "$real" rev-parse --show-toplevel 2>/dev/null)" = "$real" ]
}

# Only for this checkout.
ask_git() {
  git_quietly --git-dir="$top/.git" --work-tree="$top" -C "$top" "$@"
}

# How the checkout fetches (its credentials, its ssh) is the job's own; nothing else of its config runs anything.
git_quietly() {
  LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0 git --no-pager -c safe.bareRepository=explicit \
    -c core.fsmonitor=false -c core.hooksPath=/dev/null -c core.pager=cat -c core.editor=false -c diff.external= \
    -c core.alternateRefsCommand= -c protocol.ext.allow=never -c gc.auto=0 -c maintenance.auto=false \
    -c submodule.recurse=false "$@"
}

# A shallow checkout stays shallow and a full one full. A revision that cannot be fetched may already exist locally.
fetch() {
  local depth=() what=$1
  case $1 in
    origin/*) what="+refs/heads/${1#origin/}:refs/remotes/$1" ;;
    *) ! ask_git rev-parse --quiet --verify "$1^{commit}" >/dev/null || return 0 ;;
  esac
  [ "$(ask_git rev-parse --is-shallow-repository)" = false ] || depth=(--depth=1)
  ask_git fetch --quiet --no-tags --no-recurse-submodules "${depth[@]}" origin "$what"
}

# False only if it is certain: cortexctl reports every other problem.
in_base() {
  local base report path kind
  path=$(cd -- "$(dirname -- "$stack")" && pwd)/$(basename -- "$stack")
  path=${path#"${top%/}/"}
  base=$work/base.$(basename -- "$stack")
  kind=$(ask_git cat-file --batch-check --follow-symlinks <<<"$1:$path" 2>/dev/null | head -n 1) || return 0
  [[ $kind != *' missing' ]] || return 1
  [[ $kind =~ ^([0-9a-f]+)\ blob\ [0-9]+$ ]] && [ -n "$env" ] || return 0
  ask_git cat-file blob "${BASH_REMATCH[1]}" >"$base" 2>/dev/null || return 0
  report=$(cortexctl validate --format=json "--env=$env" -- "$base" 2>/dev/null) || [[ $report != *'"rule": "CX109"'* ]]
}

check() {
  local code=0
  cortexctl validate --format=sarif "${choice[@]}" -- "$stack" >"$folder/validate.sarif" 2>/dev/null || code=$?
  [ -s "$folder/validate.sarif" ] || rm "$folder/validate.sarif"
  return "$code"
}

# Reserves space for the output of `problems`.
leave_room() {
  max_bytes=$((max_bytes > 26000 ? max_bytes - 20000 : max_bytes))
}

make_plan() {
  local code=0
  cortexctl plan "${basis[@]}" "${choice[@]}" "${words[@]}" --detailed-exitcode --out="$folder/plan.json" -- "$stack" \
    >/dev/null 2>>"$folder/messages.txt" || code=$?
  [ ! -s "$folder/plan.json" ] || comment || return
  return "$code"
}

comment() (
  cd "$folder" && cortexctl show --format=markdown --max-bytes="$max_bytes" plan.json >plan.md 2>>messages.txt
)

has_changes() {
  # The exit code of a refused plan does not show whether there are changes.
  local read='import json, sys
print(str(any(c["action"] not in {"no-op", "forget"} for c in json.load(open(sys.argv[1], encoding="utf-8"))["changes"])).lower())'
  case $1 in
    0) echo false ;;
    2) echo true ;;
    *) python3 -I -c "$read" "$2" ;;
  esac
}

# A job's summary may be sixteen times as long as a comment.
views() (
  cd "$folder" || return
  cortexctl show --format=html plan.json >plan.html 2>>messages.txt || return
  cortexctl show --format=markdown --max-bytes=900000 plan.json >summary.md 2>>messages.txt
)

# The plan is valid, but the stack is not: in another environment, because without one all of them are checked.
problems() {
  local report
  report=$(cortexctl validate "${choice[@]}" -- "$stack" 2>&1) || true
  printf '%s\n' "$report" >>"$folder/messages.txt"
  for view in plan summary; do
    printf '\n' >>"$folder/$view.md"
    quoted "**The stack is not valid.** cortexctl validate says:" <<<"$report" >>"$folder/$view.md"
  done
}

no_plan() {
  {
    printf '### cortexctl plan: no plan\n\n'
    { printf '%s\n\n' "$stack${env:+ ($env)}" && cat "$folder/messages.txt"; } | quoted "**The plan could not be made.** cortexctl said:"
  } >"$folder/plan.md"
  cp "$folder/plan.md" "$folder/summary.md"
}

quoted() {
  python3 "$here/refusal.py" "$1"
}

# GitHub runs lines of a log that begin with `::`, but not between these two.
log() {
  local word
  word=$(python3 -I -c 'import secrets; print(secrets.token_hex(16))')
  [ -z "${GITHUB_ACTIONS-}" ] || printf '::stop-commands::%s\n' "$word"
  cat "$folder/messages.txt"
  [ -z "$1" ] || cortexctl show "$1"
  [ -z "${GITHUB_ACTIONS-}" ] || printf '::%s::\n' "$word"
}

main
