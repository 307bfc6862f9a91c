# Sourced by the other scripts in this folder, which set $root, the project's folder.
#
# environment run|cuda|dev: makes sure that the virtual environment $venv contains this clone and
# the packages pinned by requirements-run.txt, -cuda.txt or -dev.txt. If nothing has changed, this
# is just one comparison.
#
# PYTHON names the Python for a new environment; JMLP_VENV names another folder for it.

venv=${JMLP_VENV:-$root/.venv}
case $venv in
    /*) ;;
    *) venv=$PWD/$venv ;;
esac

environment() {
    needed=$1
    if [ "$needed" = run ] && [ -f "$venv/cuda.stamp" ]; then
        needed=cuda # was added before
    fi
    if [ -x "$venv/bin/jmlp" ] && [ -x "$venv/bin/python" ] && is_current "$needed"; then
        return
    fi
    find_python
    "$python" -I "$root/scripts/environment.py" "$root" "$venv" "$needed" </dev/null >&2
}

# environment.py writes the stamp when everything is installed. It includes the folder, because a
# moved or copied environment still points to its old location.
is_current() {
    wanted=$(printf '%s\n' "$root" && cat "$root/scripts/requirements-$1.txt" "$root/pyproject.toml")
    [ "$wanted" = "$(cat "$venv/$1.stamp" 2>/dev/null)" ]
}

# Each candidate is actually run: it may be too old, or a pyenv shim without a Python behind it.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        python=$PYTHON
        if ! is_usable "$python"; then
            echo "jmlp: PYTHON=$python is not a Python 3.11 or newer with venv and ensurepip." >&2
            exit 2
        fi
        return
    fi
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if is_usable "$python"; then
            return
        fi
    done
    cat >&2 <<'MESSAGE'
jmlp: no Python 3.11 or newer with venv and ensurepip was found (tried: python3, python3.11 to
python3.14). Install one (on Debian and Ubuntu: apt install python3-venv), or name one that is not
on the PATH: PYTHON=/path/to/python scripts/jmlp
MESSAGE
    exit 2
}

is_usable() {
    "$1" -I -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
        </dev/null >/dev/null 2>&1
}
