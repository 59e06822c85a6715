//! Nothing: this package is its tests, which `run.sh` takes out of tokio's package.
