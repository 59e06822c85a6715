//! The pages in `docs`, and README: what is shown there can be copied as it is.

#![cfg(not(loom))]

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

/// A doctest hides lines that begin with `#`, and puts statements into a function. In the page in the
/// repository the lines are there, and the function is not.
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
