#!/bin/sh
# Make the virtual environment of the locked packages, and let the link $1 point to it.
#
# It lies beside the link as $1-HASH, where HASH is that of requirements.lock and of what is written
# into an environment: this folder and its Python. It is made whole before the link moves. So an
# interrupted set-up leaves the old environment as it was, and nothing that runs in the old one, be
# it this script's own uv, is removed under it.
set -eu
link=$1

python=
# The first one is the one that this project is tested with.
for candidate in python3.11 python3.12 python3.13 python3 python; do
    # A name on the PATH may be a stub that only says where to find the real one, so it is run. The
    # interpreter of an environment is followed to the one it was made from.
    found=$("$candidate" -c 'import os, sys
assert (3, 11) <= sys.version_info < (3, 14)
print(os.path.realpath(sys.executable))' 2>/dev/null) || continue
    python=$found
    break
done
if [ -z "$python" ]; then
    echo "setup: no Python 3.11, 3.12 or 3.13 on the PATH; install one, for example" >&2
    echo "       'apt-get install python3 python3-venv' or 'brew install python@3.13'" >&2
    exit 1
fi

hash=$("$python" -c 'import hashlib, os, sys
digest = hashlib.sha256(open("requirements.lock", "rb").read())
for made_of in (os.getcwd(), sys.executable, "%d.%d" % sys.version_info[:2]):
    digest.update(b"\0" + os.fsencode(made_of))
print(digest.hexdigest()[:12])')
venv=$link-$hash

# One set-up at a time. This shell holds the lock to its end, and what it has started to theirs: if
# it is killed, an installation that goes on is not disturbed. The command flock is not everywhere.
exec 9>"$link-lock"
"$python" -c 'import fcntl, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback after Ctrl-C
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("setup: waiting for another one in this folder", flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)'
# The other one may have made all of it.
if [ "$(readlink "$link")" = "$(basename "$venv")" ] &&
    [ "$venv/.done" -nt requirements.lock ] && [ "$venv/.done" -nt pyproject.toml ]; then
    exit 0
fi

install_with_uv() {
    # Without its bytecode the first import of TensorFlow takes three times as long.
    VIRTUAL_ENV=$venv "$1" pip install --quiet --compile-bytecode --require-hashes \
        -r requirements.lock
}

if [ ! -e "$venv/.whole" ]; then
    echo "setup: $venv with $("$python" --version), packages of requirements.lock"
    if [ -e "$link" ]; then
        echo "setup: if you had added packages, such as for a GPU, JAX or Ray, add them again"
    fi
    rm -rf "$venv"
    if uv=$(command -v uv); then
        "$uv" venv --quiet --python "$python" "$venv"
        install_with_uv "$uv"
    else
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "setup: $python has no venv module; install it, for example 'apt-get install python3-venv'" >&2
            exit 1
        fi
        "$python" -m venv "$venv"
        # uv installs the rest in a third of pip's time. Warnings about pip's configuration, which
        # -qq leaves out, are not about this project.
        sed -n '/^uv==/,/[^\\]$/p' requirements.lock >"$venv/uv.lock"
        "$venv/bin/python" -m pip install -qq --require-hashes -r "$venv/uv.lock"
        install_with_uv "$venv/bin/uv" || {
            echo "setup: uv failed; trying pip, whose configuration may know other registries"
            "$venv/bin/python" -m pip install -qq --require-hashes -r requirements.lock
        }
    fi
    touch "$venv/.whole"
fi
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation --editable .

before=$(basename "$(readlink "$link" || true)")
# A directory of that name is an environment of an earlier version of this script.
if [ -d "$link" ] && [ ! -L "$link" ]; then
    before=$(basename "$link")-000000000000
    mv "$link" "$(dirname "$link")/$before"
fi
ln -sfn "$(basename "$venv")" "$link"
pwd -P >"$venv/.done"
# The environment before this one stays until the next one, since a search may still run in it.
if [ "$before" = "$(basename "$venv")" ]; then
    exit 0
fi
for old in "$link"-????????????; do
    case $(basename "$old") in
        "$(basename "$venv")" | "$before") ;;
        *-*[!0-9a-f]*) ;; # not of this script
        *) rm -rf "$old" ;;
    esac
done
