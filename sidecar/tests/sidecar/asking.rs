//! A client of the API that may operate.

use std::path::Path;

use beaconwatch_sidecar::Sidecar;
use reqwest::Method;
use serde_json::Value;

use crate::running::json;

/// Asks one sidecar.
pub(crate) struct Asking {
    base: String,
    token: String,
}

impl Asking {
    /// With the token that the sidecar made in its folder.
    pub(crate) fn of(sidecar: &Sidecar, folder: &Path) -> Self {
        let token = std::fs::read_to_string(folder.join("api-token")).unwrap();
        Self {
            base: format!("http://{}", sidecar.addresses().api),
            token: token.trim().to_owned(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.base);
        reqwest::Client::new()
            .request(method, url)
            .bearer_auth(&self.token)
    }

    async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), json(answer).await)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        Self::answer(self.request(Method::GET, path)).await
    }

    /// The body of an answer that must be a success.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(Method::POST, path);
        let request = request.header("content-type", "application/json");
        Self::answer(request.body(body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        Self::answer(self.request(Method::DELETE, path)).await
    }
}
