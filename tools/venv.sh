#!/bin/sh
# venv.sh DIR: a virtual environment with this project and its development tools. Debian splits venv from python3.
set -eu
dir=$1
python=${PY:-python3}
command -v "$python" >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 >/dev/null; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  echo "installing python3-venv" >&2
  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
fi
[ -x "$dir/bin/python" ] || "$python" -m venv "$dir"
# an old pip, such as that of Debian 12, writes a program that imports `re` at each start
"$dir/bin/python" -m pip install -qq --disable-pip-version-check --upgrade pip
"$dir/bin/python" -m pip install -qq --disable-pip-version-check -e '.[dev]'
