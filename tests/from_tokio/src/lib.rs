//! This package has no code of its own: its tests are those of tokio, which `run.sh` copies here.
