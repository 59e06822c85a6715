//! The pages in `docs`, and README: what is shown there can be copied as it is.

#![cfg(not(loom))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const PAGES: [(&str, &str); 10] = [
    ("README.md", include_str!("../README.md")),
    ("adapters.md", include_str!("../docs/adapters.md")),
    ("context.md", include_str!("../docs/context.md")),
    ("durable.md", include_str!("../docs/durable.md")),
    ("executor.md", include_str!("../docs/executor.md")),
    ("from-tokio.md", include_str!("../docs/from-tokio.md")),
    ("guide.md", include_str!("../docs/guide.md")),
    ("limits.md", include_str!("../docs/limits.md")),
    ("testing.md", include_str!("../docs/testing.md")),
    (
        "troubleshooting.md",
        include_str!("../docs/troubleshooting.md"),
    ),
];

/// Which modules each module of the crate uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Adds what the files of a folder use, except tests. `module` is `None` in `src` itself.
fn read_uses(folder: &Path, module: Option<&str>, uses: &mut Uses) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let module = module.unwrap_or(name);
        if name == "tests" || module == "lib" {
            continue;
        }
        if path.is_dir() {
            read_uses(&path, Some(module), uses);
            continue;
        }
        let used = uses.entry(module.to_owned()).or_default();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let (before, rest) = line.split_once("use crate::").unwrap_or(("//", ""));
            if before.contains("//") {
                continue;
            }
            let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric());
            let name = &rest[..end.unwrap_or(rest.len())];
            assert!(!name.is_empty(), "one module a line: {line}");
            used.insert(name.to_owned());
        }
        used.remove(module);
    }
}

/// Returns the names in backticks.
fn names(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// Returns the text of each block of Rust in a page.
fn blocks(page: &'static str) -> impl Iterator<Item = &'static str> {
    let blocks = page.split("```rust").skip(1);
    blocks.filter_map(|rest| rest.split_once('\n')?.1.split("```").next())
}

/// Returns whether a line at the outermost level can stand outside of functions.
fn is_item(line: &str) -> bool {
    const BEGINNINGS: [&str; 18] = [
        "use ",
        "fn ",
        "async fn ",
        "const ",
        "static ",
        "struct ",
        "enum ",
        "trait ",
        "impl ",
        "impl<",
        "type ",
        "mod ",
        "pub ",
        "#[",
        "//",
        "}",
        ")",
        "where",
    ];
    line.is_empty() || line.starts_with(' ') || BEGINNINGS.iter().any(|it| line.starts_with(it))
}

/// A doctest hides lines that begin with `#`, and puts statements into a function. In the page in
/// the repository the lines are there, and the function is not.
#[test]
fn blocks_of_the_pages_are_programs_without_hidden_lines() {
    let mut programs = 0;
    for (name, page) in PAGES {
        for block in blocks(page) {
            for line in block.lines() {
                let hidden = line.trim_start();
                assert!(hidden != "#" && !hidden.starts_with("# "), "{name}: {line}");
                assert!(is_item(line), "{name}: not inside of a function: {line}");
            }
            let only_imports = block
                .lines()
                .all(|line| line.starts_with("use ") || line.starts_with("//"));
            let is_test = block.contains("#[test]") || block.contains("#[tokio::test");
            let is_program = block.contains("fn main()");
            assert!(
                only_imports || is_test || is_program,
                "{name}: no `main`: {block}"
            );
            programs += usize::from(is_program);
        }
    }
    assert!(programs >= 14, "{programs} programs found");
}

#[test]
fn the_table_of_modules_says_what_each_of_them_uses() {
    let page = include_str!("../docs/architecture.md");
    let table = page.split("| module | uses |\n|---|---|\n").nth(1).unwrap();
    let mut told = Uses::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').collect();
        names(cells[1]).for_each(|module| drop(told.insert(module, names(cells[2]).collect())));
    }
    let mut uses = Uses::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    read_uses(&src, None, &mut uses);
    uses.remove("docs");
    for (module, used) in &uses {
        assert_eq!(told.get(module), Some(used), "{module}");
    }
    assert_eq!(told.len(), uses.len());
}
