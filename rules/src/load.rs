//! Rule files to rules.
//!
//! Contract: what is wrong with a rule is said with file, line and field, and costs that rule alone; a correlation whose rules
//! are not there is as broken as one that cannot be read. Rules of other log sources are skipped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use beaconwatch_schema::sigma;
use rsigma_eval::correlation::compile_correlation;
use rsigma_eval::{Pipeline, RuleFieldSet, apply_pipelines, compile_rule, parse_pipeline};
use rsigma_parser::{
    CorrelationRule, FilterRule, Level, LogSource, SigmaCollection, SigmaRule, WindowMode,
    parse_sigma_yaml,
};

use crate::correlation::Correlation;
use crate::fields::KnownFields;
use crate::set::Parts;
use crate::{DocumentKind, Limits, RuleInfo, RuleLevel};

/// Reports of broken rules that are kept.
const MAX_REPORTS: usize = 1000;

/// A rule that does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct BrokenRule {
    /// The file.
    pub file: String,
    /// Line in it: that of the fault where it is known, else the first one of the rule.
    pub line: usize,
    /// What is wrong, and what was expected.
    pub problem: String,
}

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Rules in force.
    pub rules: usize,
    /// Correlations in force.
    pub correlations: usize,
    /// Filters in force.
    pub filters: usize,
    /// Rules for other log sources than those of Beaconwatch.
    pub skipped: usize,
    /// Rules that do not count, the first thousand of them.
    pub broken: Vec<BrokenRule>,
    /// How many do not count.
    pub broken_count: usize,
}

/// Where a rule stands.
#[derive(Clone)]
struct Place {
    file: Arc<str>,
    /// First line of the rule.
    line: usize,
    text: Arc<str>,
}

impl Place {
    /// The line that begins with a name, else the one that has it as a value or a modifier, else the first one.
    fn line_of(&self, name: &str) -> usize {
        let begins = |line: &str| {
            let line = line.trim_start_matches([' ', '-', '\'', '"']);
            line.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with([':', '|', '\'', '"', ']', ','])
            })
        };
        let mut lines = self.text.lines();
        let found = lines.position(begins).or_else(|| {
            let mut lines = self.text.lines();
            lines.position(|line| {
                [": ", "|"]
                    .iter()
                    .any(|it| line.contains(&format!("{it}{name}")))
            })
        });
        found.map_or(self.line, |index| index + 1)
    }
}

/// Reads rules.
pub(crate) struct Loader<'a> {
    limits: &'a Limits,
    known: KnownFields,
    pipelines: Vec<Pipeline>,
    parts: Parts,
    /// Identities by what rules are called in correlations: id, name or title.
    names: HashMap<String, Arc<str>>,
    places: BTreeMap<Arc<str>, Place>,
    correlations: Vec<(Place, CorrelationRule)>,
    filters: Vec<(Place, FilterRule)>,
    report: LoadReport,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        let pipeline = parse_pipeline(&sigma::rsigma_pipeline());
        let mut loader = Self {
            limits,
            known: KnownFields::new(),
            pipelines: Vec::new(),
            parts: Parts::default(),
            names: HashMap::new(),
            places: BTreeMap::new(),
            correlations: Vec::new(),
            filters: Vec::new(),
            report: LoadReport::default(),
        };
        match pipeline {
            Ok(pipeline) => loader.pipelines.push(pipeline),
            // The pipeline is generated and tested; an error is said rather than hidden.
            Err(error) => loader.break_at("the built-in pipeline", 1, error.to_string()),
        }
        loader
    }

    fn break_at(&mut self, file: &str, line: usize, problem: String) {
        self.report.broken_count += 1;
        if self.report.broken.len() < MAX_REPORTS {
            self.report.broken.push(BrokenRule {
                file: file.to_owned(),
                line,
                problem,
            });
        }
    }

    fn break_rule(&mut self, place: &Place, line: usize, problem: impl Into<String>) {
        self.break_at(&place.file, line, problem.into());
    }

    /// Reads one file.
    pub(crate) fn add_file(&mut self, file: &str, text: &str) {
        let file: Arc<str> = Arc::from(file);
        for (line, text) in documents(text) {
            let place = Place {
                file: Arc::clone(&file),
                line,
                text: Arc::from(text),
            };
            match parse_sigma_yaml(&place.text) {
                Ok(parsed) => self.add(&place, parsed),
                Err(error) => self.break_rule(&place, line, error.to_string()),
            }
        }
    }

    fn add(&mut self, place: &Place, parsed: SigmaCollection) {
        let mut sources = parsed.rules.iter().map(|rule| &rule.logsource);
        if !parsed.rules.is_empty() && sources.all(|source| kind_of(source).is_none()) {
            // What is wrong with it is nobody's business here.
            self.report.skipped += parsed.rules.len();
            return;
        }
        // A value that cannot be, such as a level, is an error, and not read as if it were not there.
        let is_one = parsed.rules.len() + parsed.correlations.len() + parsed.filters.len() == 1;
        let is_broken = is_one && !parsed.errors.is_empty();
        for error in parsed.errors {
            let line = line_in(&error).or_else(|| named(&error).map(|name| place.line_of(name)));
            self.break_rule(place, line.unwrap_or(place.line), error);
        }
        if is_broken {
            return;
        }
        for rule in parsed.rules {
            self.add_rule(place, rule);
        }
        for correlation in parsed.correlations {
            self.correlations.push((place.clone(), correlation));
        }
        for filter in parsed.filters {
            self.filters.push((place.clone(), filter));
        }
    }

    fn add_rule(&mut self, place: &Place, mut rule: SigmaRule) {
        let Some(kind) = kind_of(&rule.logsource) else {
            self.report.skipped += 1;
            return;
        };
        let every_record = rule.logsource.product.as_deref() == Some(sigma::PRODUCT);
        let info = RuleInfo {
            id: identity(rule.id.as_ref(), rule.name.as_ref(), &rule.title),
            title: rule.title.clone(),
            description: rule.description.clone(),
            level: level(rule.level),
            tags: rule.tags.clone(),
        };
        rule.id = Some(info.id.to_string());
        // Sigma's conventions leave the product out where any fits.
        rule.logsource
            .product
            .get_or_insert_with(|| sigma::PRODUCT_CONNECTION.to_owned());
        if let Err(error) = apply_pipelines(&self.pipelines, &mut rule) {
            return self.break_rule(place, place.line, error.to_string());
        }
        if let Some(field) = unknown_field(&self.known, kind, &rule) {
            let documents = match kind {
                DocumentKind::Detection => "detection",
                DocumentKind::Flow => "flow",
            };
            let problem = format!("no {documents} document has a field {field} (docs/fields.md)");
            return self.break_rule(place, place.line_of(&field), problem);
        }
        match compile_rule(&rule) {
            Ok(compiled) => {
                let names = [rule.name.clone(), Some(rule.title.clone())];
                if !self.name(place, &info.id, names) {
                    return;
                }
                self.report.rules += 1;
                self.parts.add_rule(kind, every_record, info, compiled);
            }
            Err(error) => self.break_rule(place, place.line, error.to_string()),
        }
    }

    /// Makes a rule known; whether that was possible.
    fn name(&mut self, place: &Place, id: &Arc<str>, names: [Option<String>; 2]) -> bool {
        if let Some(other) = self.places.get(id) {
            let problem = format!("id {id} is that of a rule in {}:{}", other.file, other.line);
            self.break_rule(place, place.line_of("id"), problem);
            return false;
        }
        if self.places.len() >= self.limits.max_rules {
            let problem = format!("more than {} rules", self.limits.max_rules);
            self.break_rule(place, place.line, problem);
            return false;
        }
        self.places.insert(Arc::clone(id), place.clone());
        self.names.insert(id.to_string(), Arc::clone(id));
        for name in names.into_iter().flatten() {
            self.names.entry(name).or_insert_with(|| Arc::clone(id));
        }
        true
    }

    /// What was read, correlations and filters put to their rules.
    pub(crate) fn end(mut self) -> (Parts, LoadReport) {
        for (place, filter) in std::mem::take(&mut self.filters) {
            self.add_filter(&place, filter);
        }
        let mut waiting = std::mem::take(&mut self.correlations);
        // A correlation of correlations comes after those.
        loop {
            let before = waiting.len();
            let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, it)| {
                let mut rules = it.rules.iter();
                rules.all(|rule| self.names.contains_key(rule))
            });
            for (place, correlation) in ready {
                self.add_correlation(&place, correlation);
            }
            waiting = rest;
            if waiting.len() == before || waiting.is_empty() {
                break;
            }
        }
        for (place, correlation) in waiting {
            let mut rules = correlation.rules.iter();
            let missing = rules.find(|rule| !self.names.contains_key(*rule));
            let missing = missing.cloned().unwrap_or_default();
            let problem = format!(
                "rule {missing} is not there, is broken, or waits for this correlation itself"
            );
            self.break_rule(&place, place.line_of(&missing), problem);
        }
        (self.parts, self.report)
    }

    fn add_correlation(&mut self, place: &Place, mut rule: CorrelationRule) {
        let info = RuleInfo {
            id: identity(rule.id.as_ref(), rule.name.as_ref(), &rule.title),
            title: rule.title.clone(),
            description: rule.description.clone(),
            level: level(rule.level),
            tags: rule.tags.clone(),
        };
        let fingerprint = format!("{rule:?}");
        if let Err((field, problem)) = self.check_correlation(&mut rule) {
            return self.break_rule(place, place.line_of(&field), problem);
        }
        let compiled = match compile_correlation(&rule) {
            Ok(compiled) => compiled,
            Err(error) => return self.break_rule(place, place.line, error.to_string()),
        };
        let names = [rule.name.clone(), Some(rule.title.clone())];
        if !self.name(place, &info.id, names) {
            return;
        }
        let rules = rule.rules.iter();
        let rules = rules
            .filter_map(|name| self.names.get(name).cloned())
            .collect();
        self.report.correlations += 1;
        self.parts.add_correlation(Correlation {
            info: Arc::new(info),
            compiled,
            rules,
            fingerprint,
        });
    }

    /// Renames the fields of a correlation; the field and the problem when something cannot be.
    fn check_correlation(&self, rule: &mut CorrelationRule) -> Result<(), (String, String)> {
        if rule.window != WindowMode::Sliding {
            let problem = format!("window is {:?}, expected sliding", rule.window);
            return Err(("window".to_owned(), problem));
        }
        let (span, most) = (rule.timespan.seconds, self.limits.max_timespan_s);
        if !(1..=most).contains(&span) {
            let problem = format!("timespan is {span} s, expected 1 s to {most} s");
            return Err(("timespan".to_owned(), problem));
        }
        let aliases: Vec<String> = rule.aliases.iter().map(|it| it.alias.clone()).collect();
        let rename = |field: &mut String| {
            if aliases.contains(field) {
                return Ok(());
            }
            let name = self.known.of_document(field).to_owned();
            if !self.known.has_any(&name) {
                let problem = format!("no document has a field {field} (docs/fields.md)");
                return Err((field.clone(), problem));
            }
            *field = name;
            Ok(())
        };
        rule.group_by.iter_mut().try_for_each(rename)?;
        rule.aliases
            .iter_mut()
            .flat_map(|alias| alias.mapping.values_mut())
            .try_for_each(rename)?;
        if let rsigma_parser::CorrelationCondition::Threshold {
            field: Some(fields),
            ..
        } = &mut rule.condition
        {
            fields.iter_mut().try_for_each(rename)?;
        }
        Ok(())
    }

    /// A filter's fields are renamed as those of a rule are.
    fn add_filter(&mut self, place: &Place, mut filter: FilterRule) {
        let source = filter.logsource.clone().unwrap_or_default();
        let Some(kind) = kind_of(&source) else {
            self.report.skipped += 1;
            return;
        };
        let rename = |field: &mut Option<String>| {
            if let Some(name) = field {
                *name = self.known.of_document(name).to_owned();
            }
        };
        let mut unknown = None;
        for detection in filter.detection.named.values_mut() {
            for_each_field(detection, &mut |field| {
                rename(field);
                let name = field.as_deref();
                if let Some(name) = name.filter(|it| !self.known.has(kind, it)) {
                    unknown = Some(name.to_owned());
                }
            });
        }
        if let Some(field) = unknown {
            let problem = format!("no document of this log source has a field {field}");
            return self.break_rule(place, place.line_of(&field), problem);
        }
        match self.parts.apply_filter(kind, &filter) {
            Ok(()) => self.report.filters += 1,
            Err(error) => self.break_rule(place, place.line, error.to_string()),
        }
    }
}

fn for_each_field(
    detection: &mut rsigma_parser::Detection,
    visit: &mut impl FnMut(&mut Option<String>),
) {
    use rsigma_parser::Detection;
    match detection {
        Detection::AllOf(items) => items
            .iter_mut()
            .for_each(|item| visit(&mut item.field.name)),
        Detection::AnyOf(all) => {
            for inner in all {
                for_each_field(inner, visit);
            }
        }
        _ => {}
    }
}

/// The YAML documents of a file, each with its first line, and in it as many empty lines before it as
/// there are in the file, so that lines in errors are those of the file. A file with collection actions is one.
fn documents(text: &str) -> Vec<(usize, String)> {
    let has_actions = text.lines().any(|line| line.starts_with("action:"));
    if has_actions {
        return vec![(1, text.to_owned())];
    }
    let (mut all, mut current, mut first) = (Vec::new(), String::new(), 1);
    for (index, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            all.push((first, std::mem::take(&mut current)));
            first = index + 2;
            current = "\n".repeat(index + 1);
        } else {
            current.push_str(line);
            current.push('\n');
        }
    }
    all.push((first, current));
    let is_empty = |text: &str| {
        let mut lines = text.lines();
        lines.all(|line| line.trim().is_empty() || line.starts_with('#'))
    };
    all.retain(|(_, text)| !is_empty(text));
    all
}

/// The line that an error of the YAML parser names.
fn line_in(error: &str) -> Option<usize> {
    let (_, rest) = error.split_once("at line ")?;
    let digits = rest.split(|it: char| !it.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The name that an error has in quotes. What is missing stands in no line.
fn named(error: &str) -> Option<&str> {
    let name = error.split('\'').nth(1);
    name.filter(|_| !error.starts_with("Missing"))
}

/// For which documents a log source is; `None` when for none of ours.
fn kind_of(source: &LogSource) -> Option<DocumentKind> {
    let [product, service, category] = [&source.product, &source.service, &source.category]
        .map(|it| it.as_deref().unwrap_or_default());
    match (product, service, category) {
        (sigma::PRODUCT, sigma::SERVICE_DETECTION, "") => Some(DocumentKind::Detection),
        (sigma::PRODUCT, sigma::SERVICE_FLOW, "")
        | (sigma::PRODUCT_CONNECTION | "", "", sigma::CATEGORY_CONNECTION) => {
            Some(DocumentKind::Flow)
        }
        _ => None,
    }
}

fn identity(id: Option<&String>, name: Option<&String>, title: &str) -> Arc<str> {
    Arc::from(id.or(name).map_or(title, String::as_str))
}

const fn level(level: Option<Level>) -> RuleLevel {
    match level {
        Some(Level::Informational) => RuleLevel::Informational,
        Some(Level::Low) => RuleLevel::Low,
        Some(Level::Medium) | None => RuleLevel::Medium,
        Some(Level::High) => RuleLevel::High,
        Some(Level::Critical) => RuleLevel::Critical,
    }
}

/// A field that the rule's conditions name and no document of its kind has.
fn unknown_field(known: &KnownFields, kind: DocumentKind, rule: &SigmaRule) -> Option<String> {
    let mut collection = SigmaCollection::new();
    collection.rules.push(SigmaRule {
        fields: Vec::new(),
        ..rule.clone()
    });
    let fields = RuleFieldSet::collect(&collection, &[], false);
    let mut names = fields.names();
    names.find(|name| !known.has(kind, name)).map(str::to_owned)
}
