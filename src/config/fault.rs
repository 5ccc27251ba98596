//! What is wrong with an environment, one line per variable. Never holds the value of a secret.

use std::collections::BTreeSet;
use std::fmt;

/// One variable and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable (or, for a file that cannot be read, the option that named it).
    pub name: String,
    /// The rule in one sentence: what was found, what was expected.
    pub rule: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.rule)
    }
}

/// Everything that is wrong, in the order it was found; at least one when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The faults.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, name: impl Into<String>, rule: impl Into<String>) {
        self.0.push(Fault { name: name.into(), rule: rule.into() });
    }

    /// Adds a fault of the first of `names` when `broken`, unless one of them is at fault
    /// already: a rule between two values says nothing while one of them is unreadable.
    pub(super) fn cross(&mut self, names: &[&str], broken: bool, rule: impl FnOnce() -> String) {
        let known: BTreeSet<&str> = self.0.iter().map(|fault| fault.name.as_str()).collect();
        if broken && !names.iter().any(|name| known.contains(name)) {
            self.add(names.first().copied().unwrap_or_default(), rule());
        }
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    /// One line each, without a line end behind the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_one_line_that_starts_with_its_variable() {
        let mut faults = Faults::default();
        faults.add("LENSLET_A", "is wrong");
        faults.add("LENSLET_B", "is wrong too");
        assert_eq!(faults.to_string(), "LENSLET_A: is wrong\nLENSLET_B: is wrong too");
    }

    #[test]
    fn a_rule_between_two_variables_is_silent_while_one_is_unreadable() {
        let mut faults = Faults::default();
        faults.add("LENSLET_B", "is wrong");
        faults.cross(&["LENSLET_A", "LENSLET_B"], true, || "A is above B".to_owned());
        assert_eq!(faults.iter().count(), 1);
        faults.cross(&["LENSLET_A", "LENSLET_C"], true, || "A is above C".to_owned());
        assert_eq!(faults.iter().count(), 2);
    }
}
