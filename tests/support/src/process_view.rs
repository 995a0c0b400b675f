//! What a [`ProcessGateway`] shows: its lists, its admin API, its metrics and its log.

use serde_json::Value;

use crate::eventually;
use crate::process::ProcessGateway;

impl ProcessGateway {
    /// Runs a command that must succeed, and parses its JSON output.
    pub fn cli_json(&self, arguments: &[&str]) -> Value {
        let output = self.cli(&[arguments, &["--json"]].concat());
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("the command should print JSON")
    }

    /// The ids of the deliveries in a state, as `deliveries list` shows them.
    pub fn deliveries_in(&self, state: &str) -> Vec<String> {
        let listed = self.cli_json(&["deliveries", "list", "--state", state, "--limit", "100000"]);
        let deliveries = listed["deliveries"]
            .as_array()
            .expect("the output should contain a list");
        deliveries
            .iter()
            .map(|delivery| {
                delivery["id"]
                    .as_str()
                    .expect("the id should be valid")
                    .to_owned()
            })
            .collect()
    }

    /// All events of the log, oldest first, as `events export` prints them.
    pub fn exported_events(&self) -> Vec<Value> {
        let output = self.cli(&["events", "export"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).expect("the text should be UTF-8");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("each line should be an event"))
            .collect()
    }

    /// All events of the log, oldest first, as the admin API gives them page by page.
    pub async fn events_by_api(&self) -> Vec<Value> {
        let (mut events, mut after) = (Vec::new(), "0".to_owned());
        loop {
            let url = self.admin(&format!("/api/events?after={after}&limit=200"));
            let answer = self
                .client
                .get(url)
                .send()
                .await
                .expect("the gateway should respond");
            let mut page = answer.json_text().await;
            let Some(page_events) = page["events"]
                .as_array_mut()
                .filter(|events| !events.is_empty())
            else {
                return events;
            };
            events.append(page_events);
            after = page["next"]
                .as_str()
                .expect("the page should have a cursor")
                .to_owned();
        }
    }

    /// `true` if the gateway is ready.
    pub async fn is_ready(&self) -> bool {
        self.client
            .get(self.admin("/readyz"))
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
    }

    /// The response of the admin API to a GET.
    pub async fn admin_json(&self, path: &str) -> Value {
        self.client
            .get(self.admin(path))
            .send()
            .await
            .expect("the gateway should respond")
            .json_text()
            .await
    }

    /// The response of the admin API to a POST.
    pub async fn admin_post(&self, path: &str) -> Value {
        self.client
            .post(self.admin(path))
            .send()
            .await
            .expect("the gateway should respond")
            .json_text()
            .await
    }

    /// The first delivery that is still pending, if any.
    async fn pending(&self) -> Option<Value> {
        let page = self
            .admin_json("/api/deliveries?state=pending&limit=1")
            .await;
        page["deliveries"].get(0).cloned()
    }

    /// Waits until no delivery is pending.
    pub async fn settled(&self) {
        eventually("everything is settled", || async {
            self.pending().await.is_none().then_some(())
        })
        .await;
    }

    /// A counter or gauge, summed over all series with the given `labels`.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        let answer = self
            .client
            .get(self.admin("/metrics"))
            .send()
            .await
            .expect("the gateway should respond");
        let text = answer.text().await.expect("the text should be UTF-8");
        let lines = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(labels));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// The log so far.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }
}

/// Replaces reqwest's `json` feature.
trait JsonText {
    async fn json_text(self) -> Value;
}

impl JsonText for reqwest::Response {
    async fn json_text(self) -> Value {
        let bytes = self.bytes().await.expect("the response should have a body");
        serde_json::from_slice(&bytes).expect("the body should be JSON")
    }
}
