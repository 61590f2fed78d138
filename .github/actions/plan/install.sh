#!/usr/bin/env bash
# install.sh WHAT FOLDER: cortexctl in its own virtual environment. WHAT is a release number, anything that pip
# accepts, or `action`: the commit of this script, so that one pin is enough for both.
# `-I`: without it Python imports modules from the current folder, which is the checkout of a request.
set -euo pipefail

case $1 in
  action) what=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd) ;;
  [0-9]*) what="cortexctl==$1" ;;
  *) what=$1 ;;
esac
if ! python3 -I -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Error: Python 3.11 or newer, with venv, is needed: set it up in a step before, or choose another image" >&2
  exit 1
fi
python3 -I -m venv "$2"
"$2/bin/python" -I -m pip install --quiet --disable-pip-version-check -- "$what"
