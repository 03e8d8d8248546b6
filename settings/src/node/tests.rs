use super::*;

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

#[test]
fn toml_and_yaml_give_the_same_values_and_their_lines() {
    let toml =
        from_toml("[a]\nb = 1\nc = [\n  'x',\n  'y',\n]\n[a.d]\ne = 1.5\nf = true\n").unwrap();
    let yaml =
        from_yaml("a:\n  b: 1\n  c:\n    - x\n    - y\n  d:\n    e: 1.5\n    f: true\n").unwrap();
    assert_eq!(toml.to_dict(), yaml.to_dict());
    for (tree, lines) in [(toml, [2, 5, 8, 9]), (yaml, [2, 5, 7, 8])] {
        let found = ["a.b", "a.c.1", "a.d.e", "a.d.f"].map(|it| tree.nearest(&path(it)).line);
        assert_eq!(found, lines);
    }
}

#[test]
fn a_broken_file_is_refused_with_its_line() {
    let error = from_toml("[a]\nb = 1\nb = 2\n").unwrap_err();
    assert_eq!(error.line, Some(3), "{error:?}");
    let error = from_yaml("a:\n  b: 1\n  b: 2\n").unwrap_err();
    assert_eq!(error.line, Some(3), "{error:?}");
    let error = from_yaml("a: [1\nb: 2\n").unwrap_err();
    assert!(error.line.is_some(), "{error:?}");
}

#[test]
fn a_few_lines_of_yaml_do_not_grow_into_gigabytes() {
    let level = |level: u32| {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("a{level}: &a{level} [{items}]\n")
    };
    let bottom = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let bomb: String = std::iter::once(bottom).chain((1..12).map(level)).collect();
    let error = from_yaml(&bomb).unwrap_err();
    assert!(!error.problem.is_empty());

    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(from_yaml(&deep).is_err());
    let wide = format!("a: [{}]", "1, ".repeat(300_000));
    assert!(from_yaml(&wide).is_err());
    assert!(from_yaml("a: 1\n---\nb: 2\n").is_err(), "one document");
}

#[test]
fn a_date_of_toml_is_text_as_in_yaml() {
    let toml = from_toml("a = 2026-01-31T12:00:00Z\n").unwrap();
    let yaml = from_yaml("a: 2026-01-31T12:00:00Z\n").unwrap();
    assert_eq!(toml.to_dict(), yaml.to_dict());
}

#[test]
fn a_key_without_a_value_says_nothing() {
    assert_eq!(from_yaml("a:\nb: ~\n").unwrap().to_dict(), Dict::new());
    assert!(from_yaml("").is_ok_and(|node| node.to_dict().is_empty()));
}
