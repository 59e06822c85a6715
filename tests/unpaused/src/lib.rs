//! This package has no code of its own: its tests are those of the main package; see Cargo.toml.
