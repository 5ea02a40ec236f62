#!/bin/sh
# Make the virtual environment $1 from requirements.lock with the newest Python that fits.
set -eu
venv=$1

python=
for candidate in python3.13 python3.12 python3.11 python3 python; do
    # A name on the PATH may be a stub that only says where to find the real one, so it is run.
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
    then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "setup: no Python 3.11, 3.12 or 3.13 on the PATH; install one, for example" >&2
    echo "       'apt-get install python3 python3-venv' or 'brew install python@3.13'" >&2
    exit 1
fi

echo "setup: $venv with $("$python" --version), packages of requirements.lock"
if command -v uv >/dev/null 2>&1; then
    # Without its bytecode the first import of TensorFlow takes three times as long.
    uv venv --quiet --clear --python "$("$python" -c 'import sys; print(sys.executable)')" "$venv"
    VIRTUAL_ENV=$venv uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
    VIRTUAL_ENV=$venv uv pip install --quiet --no-deps --no-build-isolation --editable .
else
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "setup: $python has no venv module; install it, for example 'apt-get install python3-venv'" >&2
        exit 1
    fi
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --require-hashes -r requirements.lock
    "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
fi
