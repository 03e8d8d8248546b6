//! What a dashboard shows, whatever product draws it.
//!
//! A [`Dashboard`] is a page of [`Panel`]s over a [`DataSet`]. Fields are constants of the field model, so a panel cannot
//! name one that no document has. Kibana ([`crate::kibana`]), OpenSearch Dashboards ([`crate::opensearch`]) and Splunk
//! make their own files of the same panels.

use beaconwatch_schema::{Field, detection, flow_document, rule_match, sensor, template};

/// Columns of a dashboard's grid; Kibana's and OpenSearch Dashboards' own.
pub const GRID_COLUMNS: u32 = 48;

/// Kind of documents that a panel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSet {
    /// Revisions of findings.
    Detection,
    /// Events of flows.
    Flow,
    /// Revisions of findings about sensors.
    Sensor,
    /// Matches of Sigma rules.
    Rule,
}

impl DataSet {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Detection, Self::Flow, Self::Sensor, Self::Rule];

    /// Value of `data_stream.dataset`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detection => detection::DATASET,
            Self::Flow => flow_document::DATASET,
            Self::Sensor => sensor::DATASET,
            Self::Rule => rule_match::DATASET,
        }
    }

    /// Last part of [`DataSet::name`].
    #[must_use]
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Flow => "flow",
            Self::Sensor => "sensor",
            Self::Rule => "rule",
        }
    }

    /// Name of its index template; its data streams begin with it.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Detection => template::NAME,
            Self::Flow => template::FLOW_NAME,
            Self::Sensor => template::SENSOR_NAME,
            Self::Rule => template::RULE_NAME,
        }
    }

    /// Fields of a stored document.
    #[must_use]
    pub fn fields(self) -> Vec<Field> {
        match self {
            Self::Detection => template::stored(detection::FIELDS),
            Self::Flow => template::stored(&flow_document::fields()),
            Self::Sensor => template::stored(sensor::FIELDS),
            Self::Rule => template::stored(rule_match::FIELDS),
        }
    }
}

/// What a document must have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// A field has the value.
    Is(&'static str, &'static str),
    /// A field has a value.
    Exists(&'static str),
    /// A number is at least this.
    AtLeast(&'static str, f64),
    /// A field has not the value, or none.
    IsNot(&'static str, &'static str),
}

impl Condition {
    /// The field that it is about.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Is(field, _)
            | Self::Exists(field)
            | Self::AtLeast(field, _)
            | Self::IsNot(field, _) => field,
        }
    }
}

/// A number over documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// How many documents.
    Count,
    /// How many different values, about.
    Unique(&'static str),
    /// Largest value.
    Maximum(&'static str),
    /// Smallest value.
    Minimum(&'static str),
    /// Mean value.
    Average(&'static str),
    /// Sum of the values.
    Sum(&'static str),
    /// Value of the newest document.
    Last(&'static str),
    /// 95th percentile.
    Percentile95(&'static str),
}

impl Measure {
    /// The field, unless documents are counted.
    #[must_use]
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::Count => None,
            Self::Unique(field)
            | Self::Maximum(field)
            | Self::Minimum(field)
            | Self::Average(field)
            | Self::Sum(field)
            | Self::Last(field)
            | Self::Percentile95(field) => Some(field),
        }
    }
}

/// A number with its heading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// The number.
    pub measure: Measure,
}

/// Values of a field, each a group of documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Heading.
    pub title: &'static str,
    /// Field.
    pub field: &'static str,
    /// Most values: those with the largest first measure of the panel.
    pub size: u32,
}

/// How a series over time is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Bars on top of each other.
    StackedBars,
    /// Lines.
    Lines,
}

/// What a panel draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drawing {
    /// One number.
    Number(Column),
    /// Measures over time, for each group where one is given.
    OverTime {
        /// Bars or lines.
        mark: Mark,
        /// The measures; one, where there is a group.
        columns: &'static [Column],
        /// What splits the measure.
        group: Option<Group>,
    },
    /// How a number is distributed.
    Histogram {
        /// Heading.
        title: &'static str,
        /// Numeric field.
        field: &'static str,
        /// Width of a bar.
        interval: u32,
        /// Height of the bars.
        column: Column,
    },
    /// Shares of groups.
    Shares {
        /// The groups.
        group: Group,
        /// The measure.
        column: Column,
    },
    /// A row for each combination of the groups' values.
    Table {
        /// The groups.
        groups: &'static [Group],
        /// The measures; rows are in order of the first.
        columns: &'static [Column],
    },
    /// The newest documents.
    Documents {
        /// Fields that are shown.
        fields: &'static [&'static str],
    },
}

/// Place on the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Left edge, 0..[`GRID_COLUMNS`].
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// A shorthand for [`Place`].
#[must_use]
pub(crate) const fn at(x: u32, y: u32, width: u32, height: u32) -> Place {
    Place {
        x,
        y,
        width,
        height,
    }
}

/// One panel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Panel {
    /// Name within the dashboard: lower-case letters and hyphens.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Where it stands.
    pub place: Place,
    /// Whose documents.
    pub data: DataSet,
    /// Which of them.
    pub filter: &'static [Condition],
    /// How they are drawn.
    pub drawing: Drawing,
}

/// A field that readers choose values of, for the whole dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Heading.
    pub title: &'static str,
    /// Field.
    pub field: &'static str,
}

/// A page of panels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dashboard {
    /// Name: lower-case letters.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Choices above the panels.
    pub controls: &'static [Control],
    /// The panels.
    pub panels: &'static [Panel],
}
