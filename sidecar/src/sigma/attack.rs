//! Sigma's tags of MITRE ATT&CK as fields.

/// Tactics by their name in tags: identity and name.
const TACTICS: [(&str, &str, &str); 14] = [
    ("reconnaissance", "TA0043", "Reconnaissance"),
    ("resource-development", "TA0042", "Resource Development"),
    ("initial-access", "TA0001", "Initial Access"),
    ("execution", "TA0002", "Execution"),
    ("persistence", "TA0003", "Persistence"),
    ("privilege-escalation", "TA0004", "Privilege Escalation"),
    ("defense-evasion", "TA0005", "Defense Evasion"),
    ("credential-access", "TA0006", "Credential Access"),
    ("discovery", "TA0007", "Discovery"),
    ("lateral-movement", "TA0008", "Lateral Movement"),
    ("collection", "TA0009", "Collection"),
    ("exfiltration", "TA0010", "Exfiltration"),
    ("command-and-control", "TA0011", "Command and Control"),
    ("impact", "TA0040", "Impact"),
];

/// What the tags of a rule name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attack {
    /// Identity and name.
    pub(super) tactics: Vec<(&'static str, &'static str)>,
    /// Identities; that of a sub-technique's technique is among them.
    pub(super) techniques: Vec<String>,
    pub(super) sub_techniques: Vec<String>,
}

impl Attack {
    pub(super) fn of(tags: &[String]) -> Self {
        let mut attack = Self::default();
        for tag in tags {
            let Some(name) = tag.strip_prefix("attack.") else {
                continue;
            };
            let name = name.replace('_', "-");
            if let Some(tactic) = TACTICS.iter().find(|it| it.0 == name) {
                add(&mut attack.tactics, (tactic.1, tactic.2));
            } else if is_technique(&name) {
                let id = name.to_ascii_uppercase();
                if let Some((technique, _)) = id.split_once('.') {
                    add(&mut attack.techniques, technique.to_owned());
                    add(&mut attack.sub_techniques, id);
                } else {
                    add(&mut attack.techniques, id);
                }
            }
        }
        attack
    }
}

/// Where a tactic or technique is described.
pub(super) fn page(kind: &str, id: &str) -> String {
    let place = id.replace('.', "/");
    format!("https://attack.mitre.org/{kind}/{place}/")
}

fn add<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if !all.contains(&one) {
        all.push(one);
    }
}

/// `t1071` or `t1071.001`.
fn is_technique(name: &str) -> bool {
    let Some(number) = name.strip_prefix('t') else {
        return false;
    };
    let (technique, sub) = number.split_once('.').unwrap_or((number, "000"));
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|it| it.is_ascii_digit());
    digits(technique, 4) && digits(sub, 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_tactics_techniques_and_sub_techniques_and_others_are_none_of_them() {
        let tags = [
            "attack.command-and-control",
            "attack.command_and_control",
            "attack.t1071.001",
            "attack.t1571",
            "attack.g0016",
            "attack.t10",
            "cve.2025-1",
        ];
        let attack = Attack::of(&tags.map(str::to_owned));
        assert_eq!(attack.tactics, [("TA0011", "Command and Control")]);
        assert_eq!(attack.techniques, ["T1071", "T1571"]);
        assert_eq!(attack.sub_techniques, ["T1071.001"]);
        assert_eq!(
            page("techniques", "T1071.001"),
            "https://attack.mitre.org/techniques/T1071/001/"
        );
    }
}
