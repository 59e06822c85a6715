//! The page of the guide names examples and tests: each of them is there. And the examples of all
//! pages run as tests.

#![cfg(not(loom))]

use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../docs/guide.md");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of all Rust files below a directory.
fn sources(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

/// The cells of the tables: what row, its examples, its tests.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        (
            cells[0].trim(),
            cells[cells.len() - 2],
            cells[cells.len() - 1],
        )
    })
}

/// What is between backticks.
fn quoted(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_page_has_all_rows_of_the_guide() {
    let numbers: Vec<u32> = rows().filter_map(|row| row.0.parse().ok()).collect();
    assert_eq!(numbers, (1..=26).collect::<Vec<_>>());
}

#[test]
fn each_example_that_the_page_names_is_there() {
    let mut found = 0;
    for name in rows().flat_map(|row| quoted(row.1)) {
        let examples = root().join("examples");
        let is_there = match name.strip_prefix("systems/") {
            // The published crate is without that package.
            Some(_) if !examples.join("systems").exists() => true,
            Some(name) => examples.join(format!("systems/src/bin/{name}.rs")).exists(),
            None if name.starts_with("cargo ") || name == "backon" => {
                continue;
            }
            None => {
                examples.join(format!("{name}.rs")).exists()
                    || examples.join(name).join("main.rs").exists()
            }
        };
        assert!(is_there, "there is no example {name}");
        found += 1;
    }
    assert!(found > 40, "{found}");
}

#[test]
fn each_test_that_the_page_names_is_there() {
    let mut tests = sources(&root().join("tests")) + &sources(&root().join("src/heap"));
    let systems = root().join("examples/systems/tests");
    let complete = systems.exists();
    if complete {
        tests += &sources(&systems);
    }
    let mut found = 0;
    for name in rows().flat_map(|row| quoted(row.2)) {
        let is_there = match name {
            _ if name.starts_with("cargo ") => continue,
            _ if name.contains('/') => !complete || root().join(name).exists(),
            _ if name.ends_with(".rs") => root().join("tests/loom").join(name).exists(),
            _ => !complete || tests.contains(&format!("fn {name}(")),
        };
        assert!(is_there, "there is no test {name}");
        found += 1;
    }
    assert!(found > 60, "{found}");
}

/// A page that is not included would not be tested, and neither would a block that says so.
#[test]
fn each_page_is_part_of_the_documentation_and_its_examples_are_tests() {
    let included = fs::read_to_string(root().join("src/docs.rs")).unwrap();
    let mut pages = vec![root().join("README.md")];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.file_name().unwrap().to_str().unwrap();
            let include = format!("#[doc = include_str!(\"../docs/{name}\")]\n");
            assert!(included.contains(&include), "{name} is not included");
            pages.push(path);
        }
    }
    assert!(pages.len() > 10, "{pages:?}");
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let fences = text.lines().filter_map(|line| line.strip_prefix("```"));
        for language in fences.step_by(2) {
            let known = ["rust", "sh", "text", "toml"].contains(&language);
            assert!(known, "{}: a block of {language:?}", page.display());
        }
    }
}
