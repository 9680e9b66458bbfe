//! What a story sees: decisions and rollbacks, the audit log, what people were told.

use serde_json::Value;

use super::{PATIENCE, Scene};
use crate::support::audit::Audit;
use crate::support::eventually::eventually;
use crate::support::kubectl::kubectl;
use crate::support::receiver::Post;

impl Scene {
    /// All decisions, newest first; each has `verdict` (`roll-back`, with `rollback`, or `hold`, with `hold`).
    pub async fn decisions(&self) -> Vec<Value> {
        self.items("/api/v1/decisions").await
    }

    /// All rollbacks, newest first; each has its `stage`.
    pub async fn rollbacks(&self) -> Vec<Value> {
        self.items("/api/v1/rollbacks").await
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        let answer = self.daemon.get_json(path).await;
        let answer = answer.unwrap_or_else(|reason| panic!("{reason}\n{}", self.daemon.log_end()));
        answer["items"].as_array().expect("a list").clone()
    }

    /// Waits for a decision to hold for this reason, and gives it.
    pub async fn held(&self, hold: &str) -> Value {
        let what = format!("held: {hold}");
        let path = "/api/v1/decisions";
        self.daemon
            .wait_for(&what, path, PATIENCE, |list| {
                let mut all = list["items"].as_array()?.iter();
                all.find(|decision| decision["hold"] == hold).cloned()
            })
            .await
    }

    /// Waits until there are so many rollbacks and the newest is at this stage, and gives it.
    pub async fn rollback(&self, count: usize, stage: &str) -> Value {
        let what = format!("rollback {count} is {stage}");
        let path = "/api/v1/rollbacks";
        self.daemon
            .wait_for(&what, path, PATIENCE, |list| {
                let all = list["items"].as_array()?;
                let newest = all.first()?;
                (all.len() == count && newest["stage"] == stage).then(|| newest.clone())
            })
            .await
    }

    /// Patches of Deployments of this story by Holdfast, refused ones too.
    pub fn patches(&self) -> Audit {
        self.plane
            .audit_of(&self.namespace)
            .patches_of("deployments")
            .by_field_manager("holdfast")
    }

    /// The patches that put a template back; a mark on an object alone is none.
    pub fn undos(&self) -> Audit {
        self.patches().filter(|entry| {
            let operations = entry.body.as_ref().and_then(Value::as_array);
            operations.is_some_and(|all| all.iter().any(|one| one["path"] == "/spec/template"))
        })
    }

    /// Waits until the audit log has an undo that was accepted.
    pub async fn undone(&self) {
        eventually("an undo is in the audit log", PATIENCE, || async {
            match self.undos().accepted().count() {
                0 => Err(self.daemon.log_end()),
                _ => Ok(()),
            }
        })
        .await;
    }

    /// Least privilege is enough: nothing that the daemon asked for was refused for want of a right.
    pub fn assert_nothing_forbidden(&self) {
        let audit = self.plane.audit_of(&self.namespace);
        let refused = audit.by_account(&self.namespace, &self.account).forbidden();
        assert_eq!(
            refused.count(),
            0,
            "the rights of k8s/ are too few:\n{refused}"
        );
    }

    /// The messages of one alertname, one for each idempotency key, in order of arrival.
    pub fn told(&self, alertname: &str) -> Vec<Post> {
        let mut told = self.ops.messages();
        told.retain(|post| post.json()["alerts"][0]["labels"]["alertname"] == alertname);
        told
    }

    /// The same as (status, summary), to compare at a glance.
    pub fn told_of(&self, alertname: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let told = self.told(alertname);
        let bodies = told.iter().map(Post::json);
        let pair = |body: Value| {
            let summary = &body["alerts"][0]["annotations"]["summary"];
            (text(&body["status"]), text(summary))
        };
        bodies.map(pair).collect()
    }

    /// How often people were told of a hold for this reason.
    pub fn told_of_hold(&self, hold: &str) -> usize {
        let told = self.told("rollback");
        let begins = |post: &&Post| {
            let body = post.json();
            body["status"] == "firing" && body["alerts"][0]["annotations"]["reason"] == hold
        };
        told.iter().filter(begins).count()
    }

    /// Waits until people were told of a hold for this reason, or of a rollback at this stage.
    pub async fn hears_of(&self, hold: &str) -> Post {
        let what = format!("{hold} is heard");
        self.ops
            .wait_for(&what, PATIENCE, |body| {
                body["alerts"][0]["annotations"]["reason"] == hold
            })
            .await
    }

    /// Waits for a message of this alertname and status.
    pub async fn hears(&self, alertname: &str, status: &str) -> Post {
        let what = format!("{alertname} {status} is heard");
        self.ops
            .wait_for(&what, PATIENCE, |body| {
                body["status"] == status && body["alerts"][0]["labels"]["alertname"] == alertname
            })
            .await
    }

    /// The Events that Holdfast wrote about the shop, as `kubectl get events` gives them.
    pub fn events(&self) -> Vec<Value> {
        let arguments = ["-n", &self.namespace, "get", "events", "-o", "json"];
        let listed = kubectl(self.plane, &arguments, None).expect("an administrator may look");
        let list: Value = serde_json::from_str(&listed).expect("kubectl was asked for JSON");
        let mut items = list["items"].as_array().expect("a list").clone();
        items.retain(|event| {
            let by = [&event["reportingComponent"], &event["source"]["component"]];
            by.iter()
                .any(|name| name.as_str().is_some_and(|it| it.contains("holdfast")))
        });
        items
    }
}
