//! THE option table: every parameter of the native dialect as data. The parser dispatches by it,
//! faults quote its ranges, suggestions search it, the reference in README is printed from it.
//! Nothing about a parameter is said anywhere else.

mod later;
mod table;

use super::foreign;
use super::query::Envelope;
use super::values::Given;
use crate::model::draft::{BadParam, Draft};
use crate::model::units::Decimal;
use std::fmt::Write as _;

/// One parameter.
#[derive(Debug)]
pub struct OptionSpec {
    /// Its name in URLs, case-sensitive.
    pub name: &'static str,
    /// Other names for exactly the same.
    pub aliases: &'static [&'static str],
    /// Which part of a request it belongs to.
    pub group: Group,
    /// The form of its value.
    pub kind: ValueKind,
    /// The unit of its value; empty where it has none.
    pub unit: &'static str,
    /// What holds where it is not given.
    pub default: &'static str,
    /// One line on what it does.
    pub doc: &'static str,
    /// `name=value`, valid as it stands.
    pub example: &'static str,
    /// What reading it fills, or that it is not built yet.
    pub reader: Reader,
}

/// The parts of a request, in the order they are documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// How large.
    Size,
    /// Which part matters.
    Position,
    /// What is cut away or added around.
    Cut,
    /// Turns and mirrors.
    Turn,
    /// Colour and sharpness.
    Look,
    /// What is laid over the picture.
    Mark,
    /// How the result is written and delivered.
    Output,
    /// Named sets of parameters.
    Preset,
    /// Who may ask, and which version.
    Access,
}

impl Group {
    /// All of them, in the order they are documented.
    pub const ALL: [Self; 9] = [
        Self::Size,
        Self::Position,
        Self::Cut,
        Self::Turn,
        Self::Look,
        Self::Mark,
        Self::Output,
        Self::Preset,
        Self::Access,
    ];

    /// The heading in the reference.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Size => "Size",
            Self::Position => "Position",
            Self::Cut => "Cut",
            Self::Turn => "Turn",
            Self::Look => "Look",
            Self::Mark => "Mark",
            Self::Output => "Output",
            Self::Preset => "Preset",
            Self::Access => "Access and versions",
        }
    }
}

/// The form of a value; the bounds here are the ones the reader obeys.
#[derive(Debug, Clone, Copy)]
pub enum ValueKind {
    /// On or off; the bare name is on.
    Flag,
    /// A whole number from 1, its upper bound set by the deployment's limits.
    Side,
    /// A decimal number, ends included.
    Number {
        /// Smallest.
        min: Decimal,
        /// Largest.
        max: Decimal,
    },
    /// One of these, letter case ignored.
    Word(&'static [&'static str]),
    /// A form of its own, in words.
    Form(&'static str),
}

impl ValueKind {
    /// The name of the type in the reference.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Side => "integer",
            Self::Number { .. } => "number",
            Self::Word(_) => "word",
            Self::Form(_) => "text",
        }
    }

    /// What is allowed, as it stands in faults and in the reference.
    #[must_use]
    pub fn range(self) -> String {
        match self {
            Self::Flag => "1 or 0, or the bare name for 1".to_owned(),
            Self::Side => "a whole number from 1 to the output limit".to_owned(),
            Self::Number { min, max } => format!("a number {min} to {max}"),
            Self::Word(words) => match words.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
                _ => words.concat(),
            },
            Self::Form(form) => form.to_owned(),
        }
    }
}

/// What a parameter fills.
#[derive(Debug, Clone, Copy)]
pub enum Reader {
    /// It changes bytes: a field of the draft.
    Wish(fn(&mut Draft, &Given<'_>) -> Result<(), BadParam>),
    /// It names a preset, which changes bytes.
    Preset,
    /// It speaks of the request, not of the picture.
    Envelope(fn(&mut Envelope, &Given<'_>) -> Result<(), BadParam>),
    /// Its name is reserved; refused in this version.
    Later,
}

impl OptionSpec {
    /// Whether this version obeys it.
    #[must_use]
    pub const fn is_built(&self) -> bool {
        !matches!(self.reader, Reader::Later)
    }
}

/// Every parameter, built ones first.
pub fn all() -> impl Iterator<Item = &'static OptionSpec> {
    table::BUILT.iter().chain(later::LATER)
}

/// By name or alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static OptionSpec> {
    all().find(|spec| spec.name == name || spec.aliases.contains(&name))
}

/// What a person who wrote an unknown name probably meant, as a clause.
#[must_use]
pub fn suggest(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("amp;") {
        let rest: String = rest.chars().take(32).collect();
        return format!("the link was HTML-escaped twice: write & for &amp;, then it is {rest:?}");
    }
    let folded = name.to_ascii_lowercase();
    if let Some(spec) = find(&folded) {
        return format!("names are case-sensitive: use {}=", spec.name);
    }
    if let Some(advice) = foreign::advice(&folded) {
        return advice;
    }
    if let Some(near) = nearest(&folded) {
        return match foreign::advice(near) {
            Some(advice) => advice,
            None => format!("did you mean {near}?"),
        };
    }
    let known: Vec<_> = table::BUILT.iter().map(|spec| spec.name).collect();
    format!("known are {}", known.join(", "))
}

/// The nearest built name, alias or name of another system, where one is near enough to be a
/// slip: one edit up to five letters, two beyond, and something left in common.
fn nearest(name: &str) -> Option<&'static str> {
    let letters = name.chars().count();
    // An edit distance takes time in the product of both lengths.
    if letters > 32 {
        return None;
    }
    let allowed = if letters <= 5 { 1 } else { 2 };
    let own = table::BUILT
        .iter()
        .flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied()));
    own.chain(foreign::names())
        .map(|known| (strsim::osa_distance(name, known), known))
        .filter(|(distance, known)| *distance <= allowed && *distance < letters.max(known.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The reference of what is built, as Markdown: one table for each group.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::with_capacity(4_096);
    for group in Group::ALL {
        let mut rows = table::BUILT.iter().filter(|spec| spec.group == group).peekable();
        if rows.peek().is_none() {
            continue;
        }
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "### {}\n", group.title());
        text.push_str("| parameter | type | value | default | meaning | example |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for spec in rows {
            let mut names = format!("`{}`", spec.name);
            for alias in spec.aliases {
                let _ = write!(names, ", `{alias}`");
            }
            let mut range = spec.kind.range();
            if !spec.unit.is_empty() {
                let _ = write!(range, " ({})", spec.unit);
            }
            let _ = writeln!(
                text,
                "| {names} | {} | {} | {} | {} | `{}` |",
                spec.kind.type_name(),
                range.replace('|', "\\|"),
                spec.default,
                spec.doc,
                spec.example,
            );
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_taken_twice_and_none_is_another_systems() {
        let mut names: Vec<_> = all()
            .flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied()))
            .collect();
        let count = names.len();
        for name in foreign::names() {
            assert!(!names.contains(&name), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_one() {
        for (name, wanted) in [
            ("width", "w"),
            ("Width", "w"),
            ("widht", "w"),
            ("hieght", "h"),
            ("quality", "q"),
            ("qualty", "q"),
            ("format", "f"),
            ("fm", "f"),
            ("grayscale", "gray"),
            ("rotate", "rot"),
            ("W", "w"),
            ("shapren", "sharpen"),
            ("enlarg", "enlarge"),
            ("fti", "fit"),
            ("amp;h", "\"h\""),
            ("signature", "s="),
            ("background-color", "bg"),
        ] {
            assert!(suggest(name).contains(wanted), "{name}: {}", suggest(name));
        }
        assert!(suggest("xyzzy_plugh").contains("w, h, dpr"), "{}", suggest("xyzzy_plugh"));
        assert!(suggest("brightness").contains("not supported in this version"));
        assert!(suggest(&"é".repeat(8_000)).contains("known are"));
    }

    #[test]
    fn the_reference_lists_what_is_built_and_nothing_else() {
        let text = markdown();
        for spec in all() {
            let row = format!("| `{}`", spec.name);
            assert_eq!(text.contains(&row), spec.is_built(), "{}", spec.name);
        }
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let columns = line.replace("\\|", "").matches('|').count();
            assert_eq!(columns, 7, "{line}");
        }
    }
}
