//! The sections of a diagnosis.

use serde::Serialize;

/// The grade of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    Ok,
    /// Information for the operator; no action is needed.
    Warning,
    /// The operator must act.
    Trouble,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SectionLine {
    pub grade: Grade,
    #[serde(rename = "what")]
    pub text: String,
    /// The remedy for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The results about one part of the installation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Section {
    pub name: String,
    pub lines: Vec<SectionLine>,
}

impl Section {
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            lines: Vec::new(),
        }
    }

    /// The grade of the worst line.
    #[must_use]
    pub fn worst(&self) -> Grade {
        let grades = self.lines.iter().map(|line| line.grade);
        grades.max().unwrap_or(Grade::Ok)
    }

    pub fn ok(&mut self, text: impl Into<String>) {
        self.add(Grade::Ok, text.into(), None);
    }

    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(Grade::Warning, text.into(), None);
    }

    pub fn trouble(&mut self, text: impl Into<String>, remedy: impl Into<String>) {
        self.add(Grade::Trouble, text.into(), Some(remedy.into()));
    }

    fn add(&mut self, grade: Grade, text: String, remedy: Option<String>) {
        self.lines.push(SectionLine {
            grade,
            text,
            remedy,
        });
    }
}

/// Sorts the sections by their worst line. The sort is stable.
pub fn put_trouble_first(sections: &mut [Section]) {
    sections.sort_by_key(|section| std::cmp::Reverse(section.worst()));
}

/// All remedies, in the order of the sections.
#[must_use]
pub fn remedies(sections: &[Section]) -> Vec<String> {
    let mut remedies = Vec::new();
    for section in sections {
        for line in &section.lines {
            if line.grade == Grade::Trouble {
                let remedy = line.remedy.as_ref().unwrap_or(&line.text);
                remedies.push(format!("{}: {remedy}", section.name));
            }
        }
    }
    remedies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trouble_has_a_remedy() {
        let mut section = Section::new("clock");
        section.ok("a");
        section.warn("b");
        assert!(remedies(&[section.clone()]).is_empty());
        section.trouble("c", "repair c");
        assert_eq!(remedies(&[section]), ["clock: repair c"]);
    }

    #[test]
    fn sections_with_trouble_come_first_and_equal_ones_stay_in_order() {
        let mut sections = ["a", "b", "c", "d"].map(Section::new);
        sections[1].warn("b");
        sections[2].ok("c");
        sections[3].trouble("d", "repair d");
        put_trouble_first(&mut sections);
        let names: Vec<&str> = sections
            .iter()
            .map(|section| section.name.as_str())
            .collect();
        assert_eq!(names, ["d", "b", "a", "c"]);
    }
}
