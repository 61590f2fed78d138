#!/bin/sh
# browser.sh: Debian's Chromium, for the tests that open the HTML view in a real browser.
set -eu
[ -x /usr/bin/chromium ] && exit 0
echo "installing chromium" >&2
apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null
