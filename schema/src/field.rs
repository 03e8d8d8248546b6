//! What is known of one field.

/// Type of a field's value, in the terms of Elasticsearch and OpenSearch mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Exact string.
    Keyword,
    /// Exact string that is the same in every document of an index.
    ConstantKeyword,
    /// String searched by words.
    MatchOnlyText,
    /// Signed 64-bit integer.
    Long,
    /// IEEE 754 single.
    Float,
    /// IEEE 754 double.
    Double,
    /// True or false.
    Boolean,
    /// Instant.
    Date,
    /// IPv4 or IPv6 address.
    Ip,
    /// Object that is searched as one whole; its own fields follow in the table, and each of them has one
    /// value in each object.
    Nested,
}

impl FieldType {
    /// Name of the type in mappings of Elasticsearch.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::ConstantKeyword => "constant_keyword",
            Self::MatchOnlyText => "match_only_text",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Ip => "ip",
            Self::Nested => "nested",
        }
    }
}

/// How necessary a field is in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Always there.
    Required,
    /// There when it is known, or when the object that it is part of is there.
    Optional,
}

/// Where a field's name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Elastic Common Schema.
    Ecs,
    /// OpenTelemetry semantic conventions.
    OpenTelemetry,
    /// This project: `beaconwatch.*`.
    Beaconwatch,
}

/// A vocabulary that may have a name of its own for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// Elastic Common Schema: names of fields.
    Ecs,
    /// Splunk Common Information Model: names of fields.
    Cim,
    /// Open Cybersecurity Schema Framework, class Detection Finding (2004): path of an attribute; `[]` marks an
    /// array, of which the field describes the first element.
    Ocsf,
    /// OpenTelemetry: names of attributes.
    OpenTelemetry,
    /// Sigma: names of the log source category `network_connection`.
    Sigma,
}

/// A field's name in another vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mapping {
    /// The vocabulary.
    pub vocabulary: Vocabulary,
    /// The name in it.
    pub name: &'static str,
    /// Type there, when it is another one.
    pub field_type: Option<FieldType>,
}

/// One field: its name and everything that other vocabularies need of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Dotted name.
    pub name: &'static str,
    /// Type of one value.
    pub field_type: FieldType,
    /// Whether the value is an array.
    pub array: bool,
    /// Unit by its UCUM symbol; empty when there is none.
    pub unit: &'static str,
    /// Presence.
    pub level: Level,
    /// Vocabulary of the name.
    pub origin: Origin,
    /// What the value says, in one or two sentences.
    pub description: &'static str,
    /// A value as it is written in a document.
    pub example: &'static str,
    /// Names in other vocabularies, at most one in each.
    pub mappings: &'static [Mapping],
}

impl Field {
    /// The field's name in a vocabulary: its own, or the one that it is mapped to.
    #[must_use]
    pub fn name_in(&self, vocabulary: Vocabulary) -> Option<&'static str> {
        let own = match vocabulary {
            Vocabulary::Ecs => self.origin == Origin::Ecs,
            Vocabulary::OpenTelemetry => self.origin != Origin::Ecs,
            Vocabulary::Cim | Vocabulary::Ocsf | Vocabulary::Sigma => false,
        };
        self.mapping(vocabulary)
            .map(|mapping| mapping.name)
            .or(own.then_some(self.name))
    }

    /// How the field is mapped to a vocabulary that has another name for it.
    #[must_use]
    pub fn mapping(&self, vocabulary: Vocabulary) -> Option<&'static Mapping> {
        self.mappings
            .iter()
            .find(|mapping| mapping.vocabulary == vocabulary)
    }
}

/// Declares constants for the names and the table of one document.
macro_rules! fields {
    ($(
        $constant:ident = $name:literal,
        $type:ident $([$array:ident])?, $unit:literal, $level:ident, $origin:ident,
        $description:literal, $example:literal
        $(, $vocabulary:ident $mapped:literal $(as $mapped_type:ident)?)*;
    )*) => {
        $(
            #[doc = $description]
            #[allow(clippy::doc_markdown, reason = "the text is shown outside rustdoc too")]
            pub const $constant: &str = $name;
        )*

        /// Every field of this document, sorted as documentation shows them.
        pub const FIELDS: &[crate::Field] = &[
            $( crate::Field {
                name: $constant,
                field_type: crate::FieldType::$type,
                array: fields!(@array $($array)?),
                unit: $unit,
                level: crate::Level::$level,
                origin: crate::Origin::$origin,
                description: $description,
                example: $example,
                mappings: &[$( crate::Mapping {
                    vocabulary: crate::Vocabulary::$vocabulary,
                    name: $mapped,
                    field_type: fields!(@type $($mapped_type)?),
                }, )*],
            }, )*
        ];
    };
    (@array) => { false };
    (@array array) => { true };
    (@type) => { None };
    (@type $type:ident) => { Some(crate::FieldType::$type) };
}
pub(crate) use fields;
