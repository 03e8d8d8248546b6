//! Filters that templates have beside those of Jinja: they turn a value into text that a product shows as it is.
//!
//! | filter | makes |
//! |---|---|
//! | `slack(n)` | text without Slack's markup (`&lt;!channel&gt;`) |
//! | `markdown(n)` | text without Markdown's and HTML's markup |
//! | `limit(n)` | text as it is |
//! | `line(n)` | text on one line |
//! | `word(n)` | text without white space |
//! | `severity` | `low`, `medium`, `high` or `critical` of `event.severity` |
//! | `unix_ms` | milliseconds since 1970 of an instant; nothing where there is none |
//! | `json_text` | a value as JSON in a string |
//!
//! Each of the first five makes at most `n` characters, escapes counted, and drops control characters and those that
//! change the direction of text. What is missing is empty text.

use minijinja::{Environment, Error, ErrorKind, Value};

use crate::fields::Level;

/// What ends text that was cut.
const CUT: char = '…';

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("slack", |value: &Value, most: Option<usize>| {
        escaped(value, most, slack)
    });
    environment.add_filter("markdown", |value: &Value, most: Option<usize>| {
        escaped(value, most, markdown)
    });
    environment.add_filter("limit", |value: &Value, most: Option<usize>| {
        escaped(value, most, |c, out| out.push(c))
    });
    environment.add_filter("line", |value: &Value, most: Option<usize>| {
        escaped(value, most, |c, out| {
            out.push(if c.is_whitespace() { ' ' } else { c });
        })
    });
    environment.add_filter("word", |value: &Value, most: Option<usize>| {
        escaped(value, most, |c, out| {
            out.push(if c.is_whitespace() { '_' } else { c });
        })
    });
    environment.add_filter("severity", severity);
    environment.add_filter("unix_ms", unix_ms);
    environment.add_filter("json_text", json_text);
}

/// The text of a value, each character written by `escape`, cut between characters.
fn escaped(value: &Value, most: Option<usize>, escape: impl Fn(char, &mut String)) -> String {
    let mut out = String::new();
    if value.is_undefined() || value.is_none() {
        return out;
    }
    let text = value.to_string();
    let most = most.unwrap_or(usize::MAX);
    let (mut length, mut piece) = (0, String::new());
    // Where the last piece begins that leaves room for the mark of a cut.
    let mut cut_at = 0;
    for c in text.chars().filter(|c| !is_control(*c)) {
        piece.clear();
        escape(c, &mut piece);
        length += piece.chars().count();
        if length > most {
            out.truncate(cut_at);
            out.push(CUT);
            return out;
        }
        out.push_str(&piece);
        if length < most {
            cut_at = out.len();
        }
    }
    out
}

/// Characters that a reader does not see and that change what he sees.
const fn is_control(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Slack's three control characters as its entities: no mention, no link and no date can begin.
fn slack(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        _ => out.push(c),
    }
}

/// Everything that may mean something in `CommonMark`, its table and strike-through extensions, or HTML.
fn markdown(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '|'
        | '~' | '=' => {
            out.push('\\');
            out.push(c);
        }
        // A new line could begin a list, a quotation or a heading under a line.
        '\n' | '\r' => out.push(' '),
        _ => out.push(c),
    }
}

/// Name of a severity by the number of `event.severity`; low when there is none.
fn severity(value: &Value) -> &'static str {
    let number = i64::try_from(value.clone()).ok();
    Level::of(number.and_then(|number| u64::try_from(number).ok())).name()
}

/// An instant as milliseconds since 1970.
fn unix_ms(value: &Value) -> Value {
    let instant = value
        .as_str()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    instant.map_or_else(|| Value::from(()), |it| Value::from(it.as_millisecond()))
}

fn json_text(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::BadSerialization, "the value cannot be JSON").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(expression: &str, text: &str) -> String {
        let mut environment = Environment::new();
        add(&mut environment);
        let expression = environment.compile_expression(expression).unwrap();
        let value = expression.eval(minijinja::context! { text }).unwrap();
        value.to_string()
    }

    #[test]
    fn text_is_cut_between_escapes_and_never_longer_than_said() {
        assert_eq!(apply("text | slack(9)", "a<b"), "a&lt;b");
        assert_eq!(apply("text | slack(6)", "a<b"), "a&lt;b");
        assert_eq!(apply("text | slack(5)", "a<b"), "a…");
        assert_eq!(apply("text | slack(1)", "<<"), "…");
        assert_eq!(apply("text | limit(3)", "äöüß"), "äö…");
        assert_eq!(apply("text | limit(4)", "äöüß"), "äöüß");
        assert_eq!(apply("missing | limit(4)", ""), "");
    }

    #[test]
    fn no_markup_of_a_document_is_left() {
        assert_eq!(
            apply("text | slack", "<!channel> & <https://evil.example|click>"),
            "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;"
        );
        assert_eq!(
            apply("text | markdown", "![x](http://e.example/a_b)\n# <b>"),
            "\\!\\[x\\]\\(http://e.example/a\\_b\\) \\# &lt;b&gt;"
        );
        assert_eq!(apply("text | line", "a\nb\u{202e}c\0"), "a bc");
    }

    #[test]
    fn severities_and_instants_are_read_or_have_their_default() {
        assert_eq!(apply("47 | severity", ""), "medium");
        assert_eq!(apply("99 | severity", ""), "critical");
        assert_eq!(apply("missing | severity", ""), "low");
        assert_eq!(apply("text | unix_ms", "1970-01-01T00:00:01.5Z"), "1500");
        assert_eq!(apply("(text | unix_ms) is none", "yesterday"), "True");
        assert_eq!(apply("{'a': text} | json_text", "\""), r#"{"a":"\""}"#);
    }
}
