//! Messages taken apart by the grammars that they are to follow, written from the specifications and not from the
//! code that makes them.

use std::collections::BTreeMap;

/// A message taken apart.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) priority: u8,
    pub(super) header: Vec<String>,
    pub(super) data: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) text: String,
    pub(super) has_byte_order_mark: bool,
}

/// Takes a message apart; panics where the grammar is broken.
pub(super) fn parse(message: &[u8]) -> Parsed {
    let message = std::str::from_utf8(message).unwrap();
    let (priority, rest) = message.strip_prefix('<').unwrap().split_once('>').unwrap();
    let rest = rest.strip_prefix("1 ").unwrap();
    let mut fields = rest.splitn(6, ' ');
    let limits = [32, 255, 48, 128, 32];
    let header: Vec<String> = fields.by_ref().take(5).map(str::to_owned).collect();
    for (field, limit) in header.iter().zip(limits) {
        assert!((1..=limit).contains(&field.len()), "{field:?}");
        assert!(
            field.bytes().all(|byte| byte.is_ascii_graphic()),
            "{field:?}"
        );
    }
    let mut rest = fields.next().unwrap().chars().peekable();
    let mut data = BTreeMap::new();
    while rest.next_if_eq(&'[').is_some() {
        let name: String = std::iter::from_fn(|| rest.next_if(|c| !" ]".contains(*c))).collect();
        let mut parameters = BTreeMap::new();
        while rest.next_if_eq(&' ').is_some() {
            let key: String = std::iter::from_fn(|| rest.next_if(|c| *c != '=')).collect();
            assert!(
                key.len() <= 32 && key.bytes().all(|b| b.is_ascii_alphanumeric()),
                "{key:?}"
            );
            assert_eq!((rest.next(), rest.next()), (Some('='), Some('"')));
            let mut value = String::new();
            loop {
                match rest.next().unwrap() {
                    '"' => break,
                    '\\' => value.push(rest.next().unwrap()),
                    c => {
                        assert_ne!(c, ']', "not escaped in {value:?}");
                        value.push(c);
                    }
                }
            }
            assert_eq!(parameters.insert(key, value), None);
        }
        assert_eq!(rest.next(), Some(']'));
        assert_eq!(data.insert(name, parameters), None);
    }
    assert_eq!(rest.next(), Some(' '));
    let has_byte_order_mark = rest.next_if_eq(&'\u{feff}').is_some();
    Parsed {
        priority: priority.parse().unwrap(),
        header,
        data,
        text: rest.collect(),
        has_byte_order_mark,
    }
}

/// A CEF line taken apart by its rules: seven fields divided by `|`, then `key=value` divided by spaces, where
/// `\` escapes.
pub(super) fn parse_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut header = vec![String::new()];
    let mut chars = line.chars();
    while header.len() < 8 {
        match chars.next().unwrap() {
            '|' => header.push(String::new()),
            '\\' => header.last_mut().unwrap().push(chars.next().unwrap()),
            c => header.last_mut().unwrap().push(c),
        }
    }
    header.pop();
    // A key is the word before an equals sign that is not escaped.
    let mut tokens: Vec<(char, bool)> = Vec::new();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => tokens.push(match chars.next().unwrap() {
                'n' => ('\n', true),
                'r' => ('\r', true),
                escaped => (escaped, true),
            }),
            (c, false) => tokens.push((c, false)),
        }
    }
    let equals: Vec<usize> = (0..tokens.len())
        .filter(|&i| tokens[i] == ('=', false))
        .collect();
    let key_start = |equal: usize| {
        tokens[..equal]
            .iter()
            .rposition(|&t| t == (' ', false))
            .map_or(0, |i| i + 1)
    };
    let text =
        |range: std::ops::Range<usize>| tokens[range].iter().map(|&(c, _)| c).collect::<String>();
    let mut values = BTreeMap::new();
    for (n, &equal) in equals.iter().enumerate() {
        let end = equals
            .get(n + 1)
            .map_or(tokens.len(), |&next| key_start(next) - 1);
        assert_eq!(
            values.insert(text(key_start(equal)..equal), text(equal + 1..end)),
            None
        );
    }
    (header, values)
}
