use serde_json::{Value, json};

use super::*;
use crate::Stream;
use crate::peer::{Peer, Reply, Request};

fn document(number: u64) -> Document {
    Document {
        event_id: format!("f-{number}"),
        body: json!({"event": {"id": format!("f-{number}")}}).to_string(),
        stream: Stream::Detection,
    }
}

fn documents(count: u64) -> Vec<Document> {
    (1..=count).map(document).collect()
}

fn peer(answer: impl FnMut(&Request, usize) -> u16 + Send + 'static) -> Peer {
    let mut answer = answer;
    Peer::start(move |request, number| (answer(request, number), "", String::new()))
}

fn config(peer: &Peer) -> WebhookConfig {
    WebhookConfig {
        url: format!("{}/hooks/beacons", peer.url()),
        timeout_s: 5,
        ..WebhookConfig::default()
    }
}

fn webhook(config: &WebhookConfig) -> Webhook {
    config.validate("destinations.hook").unwrap();
    Webhook::new(config).unwrap()
}

#[tokio::test]
async fn a_document_is_posted_as_it_is_with_headers_from_secrets() {
    let peer = peer(|_, _| 204);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("authorization");
    std::fs::write(&secret, "Bearer t0ken").unwrap();
    let headers = BTreeMap::from([("Authorization".to_owned(), SecretSource::File(secret))]);
    let mut hook = webhook(&WebhookConfig {
        headers,
        ..config(&peer)
    });
    let outcomes = hook.deliver(&documents(2)).await.unwrap();
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::Delivered]);
    let requests = peer.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].head.starts_with("POST /hooks/beacons "));
    assert_eq!(requests[0].text(), document(1).body);
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].header("authorization"), Some("Bearer t0ken"));
    assert_eq!(requests[1].header("webhook-id"), Some("f-2"));
    assert!(!format!("{hook:?}").contains("t0ken"));
}

#[tokio::test]
async fn a_batch_is_an_array_whose_id_is_the_same_again() {
    let peer = peer(|_, _| 200);
    let mut hook = webhook(&WebhookConfig {
        batch: true,
        ..config(&peer)
    });
    for _ in 0..2 {
        assert_eq!(hook.deliver(&documents(3)).await.unwrap().len(), 3);
    }
    let requests = peer.requests();
    let body: Value = serde_json::from_str(&requests[0].text()).unwrap();
    assert_eq!(body[2]["event"]["id"], "f-3");
    let id = requests[0].header("webhook-id").unwrap();
    assert!(id.starts_with("batch-"));
    assert_eq!(requests[1].header("webhook-id"), Some(id));
}

#[tokio::test]
async fn each_status_means_what_the_table_says() {
    for (status, expected) in [
        (200, "delivered"),
        (204, "delivered"),
        (302, "retry"),
        (400, "refused"),
        (401, "retry"),
        (404, "retry"),
        (408, "retry"),
        (410, "refused"),
        (422, "refused"),
        (425, "retry"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
        (0, "retry"),
    ] {
        let peer = peer(move |_, _| status);
        let outcomes = webhook(&config(&peer))
            .deliver(&documents(1))
            .await
            .unwrap();
        let found = match outcomes[0] {
            Outcome::Delivered => "delivered",
            Outcome::Refused { .. } => "refused",
            Outcome::Retry { .. } => "retry",
            _ => "another",
        };
        assert_eq!(found, expected, "status {status}");
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_once_and_its_time_is_handed_on() {
    let peer = Peer::start(|_, number| -> Reply {
        match number {
            0 => (200, "", String::new()),
            _ => (429, "retry-after: 17\r\n", "slowly".to_owned()),
        }
    });
    let outcomes = webhook(&config(&peer))
        .deliver(&documents(5))
        .await
        .unwrap();
    assert_eq!(outcomes[0], Outcome::Delivered);
    for outcome in &outcomes[1..] {
        let retry_after = Some(Duration::from_secs(17));
        assert!(
            matches!(outcome, Outcome::Retry { retry_after: found, reason } if *found == retry_after && reason.contains("slowly"))
        );
    }
    assert_eq!(peer.requests().len(), 2);
}

#[tokio::test]
async fn one_document_that_never_works_keeps_no_other_from_being_sent() {
    let peer = peer(|request, _| match request.header("webhook-id") {
        Some("f-2") => 500,
        Some("f-3") => 422,
        _ => 200,
    });
    let outcomes = webhook(&config(&peer))
        .deliver(&documents(4))
        .await
        .unwrap();
    assert_eq!(outcomes[0], Outcome::Delivered);
    assert!(matches!(outcomes[1], Outcome::Retry { .. }));
    assert!(matches!(outcomes[2], Outcome::Refused { .. }));
    assert_eq!(outcomes[3], Outcome::Delivered);
}

#[tokio::test]
async fn a_redirect_to_the_metadata_address_is_not_followed() {
    let peer = Peer::start(|_, _| {
        let location = "location: http://169.254.169.254/latest/meta-data/\r\n";
        (307, location, String::new())
    });
    let outcomes = webhook(&config(&peer))
        .deliver(&documents(1))
        .await
        .unwrap();
    assert!(
        matches!(&outcomes[0], Outcome::Retry { reason, .. } if reason.contains("redirects are not followed"))
    );
    assert_eq!(peer.requests().len(), 1);
}

#[test]
fn addresses_that_nothing_may_be_sent_to_are_refused_however_they_are_written() {
    for url in [
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://0xa9fea9fe/",
        "http://2852039166/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0:80/",
        "http://[fe80::1]/",
    ] {
        let config = WebhookConfig {
            url: url.to_owned(),
            allow_private: true,
            ..WebhookConfig::default()
        };
        let error = config.validate("destinations.hook").unwrap_err();
        assert_eq!(error.field(), "destinations.hook.url", "{url}");
        assert!(Webhook::new(&config).is_err(), "{url}");
    }
    let named = WebhookConfig {
        url: "http://169.254.169.254/".to_owned(),
        allow_networks: vec!["169.254.169.254/32".parse().unwrap()],
        ..WebhookConfig::default()
    };
    assert!(named.validate("destinations.hook").is_ok());
}

#[tokio::test]
async fn localhost_is_consent_and_another_name_for_this_machine_is_none() {
    let peer = peer(|_, _| 200);
    let by_name = |name: &str, allow_private| WebhookConfig {
        url: format!("http://{name}:{}/", peer.address.port()),
        allow_private,
        timeout_s: 5,
        ..WebhookConfig::default()
    };
    let mut local = webhook(&by_name("localhost", false));
    assert_eq!(
        local.deliver(&documents(1)).await.unwrap(),
        [Outcome::Delivered]
    );
    // Every system resolves its own name; where it does not, there is nothing to be refused.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim();
    let resolved = tokio::net::lookup_host((name, 0)).await;
    let private =
        |address: std::net::SocketAddr| Guard::default().check(address.ip(), false).is_err();
    if resolved.is_ok_and(|mut all| all.all(private)) {
        let outcomes = webhook(&by_name(name, false))
            .deliver(&documents(1))
            .await
            .unwrap();
        assert!(
            matches!(&outcomes[0], Outcome::Retry { reason, .. } if reason.contains("allow_private")),
            "{outcomes:?}"
        );
    }
}

#[tokio::test]
async fn two_secrets_make_two_signatures_of_id_time_and_body() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, Mac};
    let peer = peer(|_, _| 200);
    let folder = tempfile::tempdir().unwrap();
    let keys = [[1_u8; 24], [2; 24]];
    let secrets: Vec<SecretSource> = keys
        .iter()
        .enumerate()
        .map(|(index, key)| {
            let path = folder.path().join(index.to_string());
            std::fs::write(&path, format!("whsec_{}", STANDARD.encode(key))).unwrap();
            SecretSource::File(path)
        })
        .collect();
    let mut hook = webhook(&WebhookConfig {
        secrets,
        ..config(&peer)
    });
    hook.deliver(&documents(1)).await.unwrap();
    let request = &peer.requests()[0];
    let time = request.header("webhook-timestamp").unwrap();
    let signatures: Vec<_> = request
        .header("webhook-signature")
        .unwrap()
        .split(' ')
        .collect();
    assert_eq!(signatures.len(), 2);
    for (key, signature) in keys.iter().zip(signatures) {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(format!("f-1.{time}.{}", request.text()).as_bytes());
        let signature = signature.strip_prefix("v1,").unwrap();
        mac.verify_slice(&STANDARD.decode(signature).unwrap())
            .unwrap();
    }
}

#[test]
fn addresses_in_disguise_and_names_of_metadata_services_are_refused_when_the_configuration_is_read()
{
    for url in [
        "http://169.254.169.254/latest",
        "http://2852039166/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://168.63.129.16/",
    ] {
        let config = WebhookConfig {
            url: url.to_owned(),
            allow_private: true,
            ..WebhookConfig::default()
        };
        let error = config.validate("hook").unwrap_err().to_string();
        assert!(error.contains("hook.url"), "{url}: {error}");
        assert!(Webhook::new(&config).is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_template_of_the_program_is_sent_with_its_secret_and_shown_without() {
    let peer = peer(|_, _| 202);
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
    let variable = TemplateVariable::Secret(SecretSource::File(key));
    let mut hook = webhook(&WebhookConfig {
        template: Some(BuiltInTemplate::Pagerduty),
        variables: BTreeMap::from([("routing_key".to_owned(), variable)]),
        ..config(&peer)
    });
    let finding = crate::sample_document(crate::SampleDocument::Finding);
    let outcomes = hook.deliver(std::slice::from_ref(&finding)).await.unwrap();
    assert_eq!(outcomes, [Outcome::Delivered]);
    let sent = peer.requests()[0].text();
    assert!(sent.contains("0123456789abcdef"));
    assert!(
        !hook
            .rendered(&[finding])
            .unwrap()
            .contains("0123456789abcdef")
    );
    assert!(!format!("{hook:?}").contains("0123456789abcdef"));
}

#[tokio::test]
async fn opsgenie_gets_a_closed_finding_at_its_own_address() {
    let peer = peer(|_, _| 202);
    let mut hook = webhook(&WebhookConfig {
        template: Some(BuiltInTemplate::Opsgenie),
        ..config(&peer)
    });
    let documents = [
        crate::sample_document(crate::SampleDocument::Finding),
        crate::sample_document(crate::SampleDocument::Closed),
    ];
    hook.deliver(&documents).await.unwrap();
    let requests = peer.requests();
    assert!(requests[0].head.starts_with("POST /hooks/beacons "));
    let close = "POST /hooks/beacons/9f1c2a7be03d4f55a1b2c3d4e5f60718/close?identifierType=alias ";
    assert!(requests[1].head.starts_with(close), "{}", requests[1].head);
}
