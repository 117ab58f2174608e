#!/bin/sh
# Print the Python that `make` builds .venv with, or say in words why there is none: sh deploy/python.sh [PYTHON]
# Without PYTHON the first name that fits wins. 3.11 comes first, since all tests and figures ran on it.
NAMES="python3.11 python3.12 python3.13 python3 python"
NEEDED="CPython 3.11, 3.12 or 3.13 with venv"

# What an interpreter says of itself: "3.12" where it fits, else the version and what is wrong with it.
PROBE='
import sys
problem = "" if (3, 11) <= sys.version_info[:2] <= (3, 13) else ", which is not supported"
if not problem and sys.implementation.name != "cpython":
    problem = " (%s), which has no wheels" % sys.implementation.name
if not problem:
    try:
        import ensurepip, venv
    except ImportError:
        problem = " without venv: install python%d.%d-venv or python3-venv" % sys.version_info[:2]
print("%d.%d%s" % (sys.version_info[0], sys.version_info[1], problem))
'
probe() {
  command -v "$1" >/dev/null || { echo "not found"; return; }
  "$1" -c "$PROBE" 2>/dev/null || echo "does not run: $("$1" -c "$PROBE" 2>&1 | head -n 1)"
}

fits() { case "$1" in 3.11 | 3.12 | 3.13) true ;; *) false ;; esac; }

stop() { printf '%s\n' "$@" >&2; exit 1; }

# An environment that is there must run, fit, and be the version asked for.
if [ -f .venv/pyvenv.cfg ]; then
  has=$(probe .venv/bin/python)
  has=${has%% without venv*}  # which is made already
  fits "$has" || stop ".venv cannot be used; its Python: $has. It was made from $(sed -n 's/^home = //p' .venv/pyvenv.cfg)." \
    "Remove it with \`rm -r .venv\` and try again; it is then made anew (.tandem, where the data lies, stays)."
  [ -z "$1" ] || [ "$(probe "$1")" = "$has" ] || stop ".venv is Python $has, and PYTHON=$1 is: $(probe "$1")." \
    "Leave PYTHON out, or remove .venv with \`rm -r .venv\` and try again."
  exec .venv/bin/python -c 'import sys; print(sys._base_executable)'
fi

found=""
for name in ${1:-$NAMES}; do
  verdict=$(probe "$name")
  if fits "$verdict"; then command -v "$name"; exit; fi
  found="$found
  $name: $verdict"
done
stop "No Python fits. Tandem needs $NEEDED; looked at:$found" \
  "Install one (Debian 12 and 13, Ubuntu 24.04: apt-get install python3 python3-venv; Fedora: dnf install python3.13)" \
  "or name one: make PYTHON=/path/to/python"
