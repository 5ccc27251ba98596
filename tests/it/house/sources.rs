//! Reads the sources for the rules of the house: files, their modules, the names a line uses.
//! Judges nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path from the top of the project, with `/`, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// The module of `src` it belongs to; `main` and `lib` for the two files at its top.
    pub(crate) fn module(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        Some(below.split_once('/').map_or_else(|| below.trim_end_matches(".rs"), |(dir, _)| dir))
    }

    /// Whether it is compiled for tests only: its parent says so where it names it.
    pub(crate) fn is_test(&self, all: &[Self]) -> bool {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or_default();
        let name = name.trim_end_matches(".rs");
        let (parents, name) = match name {
            // A folder's own file is named by the folder above.
            "mod" => {
                let (above, own) = folder.rsplit_once('/').unwrap_or_default();
                ([format!("{above}/mod.rs"), format!("{above}.rs")], own)
            }
            _ => ([format!("{folder}/mod.rs"), format!("{folder}.rs")], name),
        };
        let by_name = format!("mod {name};");
        let by_path = format!("#[path = \"{name}.rs\"]");
        let beside = |file: &&Self| file.path.rsplit_once('/').is_some_and(|(at, _)| at == folder);
        let declares = |file: &Self, how: &str| {
            let lines: Vec<&str> = file.text.lines().collect();
            // The attribute, then the module, perhaps with its path between them.
            let mut tests = (0..lines.len()).filter(|at| lines[*at] == "#[cfg(test)]");
            tests.any(|at| {
                let more = lines.get(at + 1).is_some_and(|line| line.starts_with("#["));
                let named = lines.iter().skip(at + 1).take(1 + usize::from(more));
                named.into_iter().any(|line| line.ends_with(how))
            })
        };
        let mut parents = all.iter().filter(|file| parents.contains(&file.path));
        parents.any(|file| declares(file, &by_name) || file.is_test(all))
            || all.iter().filter(beside).any(|file| declares(file, &by_path))
    }

    /// Numbered lines without their comments.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| {
            let comment = if line.trim_start().starts_with("//") {
                Some(0)
            } else {
                line.find(" //").filter(|_| !line.contains("://"))
            };
            (index + 1, comment.map_or(line, |at| line.get(..at).unwrap_or_default()))
        })
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below the given folders whose name ends in one of `endings`.
pub(crate) fn files(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let relative = path.strip_prefix(root()).expect("below the root").to_string_lossy();
            let relative = relative.replace('\\', "/");
            if path.is_dir() {
                if !relative.ends_with("__pycache__") {
                    waiting.push(path);
                }
            } else if endings.iter().any(|ending| relative.ends_with(ending)) {
                let text = fs::read_to_string(&path).expect("source files are UTF-8");
                found.push(Source { path: relative, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no {endings:?} below {folders:?}: this test reads the wrong place");
    found
}

pub(crate) fn rust_files() -> Vec<Source> {
    files(&["src", "tests", "benches"], &[".rs"])
}

/// The code of a file with every `use crate::{…}` that spans lines joined to its first.
pub(crate) fn joined_uses(file: &Source) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in file.code() {
        match joined.last_mut() {
            Some((_, last)) if open => last.push_str(line.trim()),
            _ => joined.push((number, line.to_owned())),
        }
        open = joined.last().is_some_and(|(_, last)| {
            last.trim_start().trim_start_matches("pub ").starts_with("use crate::{")
                && !last.contains(';')
        });
    }
    joined
}

/// The modules a line of code names as `crate::module`, also inside `use crate::{a::b, c}`.
pub(crate) fn modules_named(line: &str) -> Vec<&str> {
    let mut named = Vec::new();
    for (at, start) in line.match_indices("crate::") {
        let rest = line.get(at + start.len()..).unwrap_or_default();
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_usize;
            let mut item = 0;
            for (index, letter) in group.char_indices().chain([(group.len(), ',')]) {
                match letter {
                    '{' => depth += 1,
                    '}' if depth > 0 => depth -= 1,
                    ',' | '}' if depth == 0 => {
                        named.push(first_name(group.get(item..index).unwrap_or_default()));
                        item = index + 1;
                    }
                    _ => {}
                }
            }
        } else {
            named.push(first_name(rest));
        }
    }
    named.retain(|name| !name.is_empty());
    named
}

fn first_name(path: &str) -> &str {
    let path = path.trim_start();
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    path.get(..end).unwrap_or_default()
}

/// Whether `word` stands in `line` with no letter, digit or underscore against it.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        let open_start = !word.starts_with(part_of_name) || !before.is_some_and(part_of_name);
        let open_end = !word.ends_with(part_of_name) || !after.is_some_and(part_of_name);
        open_start && open_end
    })
}
