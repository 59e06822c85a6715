//! Nothing: this package is its tests, which are those of the main one; see Cargo.toml.
