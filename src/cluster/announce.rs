//! Kubernetes Events on a workload: what people see in `kubectl describe`.
//!
//! An Event's name is derived from what it says, so saying it twice after a crash leaves one.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;

use super::Announcement;
use crate::domain::id::Digest;
use crate::domain::spec::Kind;
use crate::domain::time::Timestamp;

/// The longest note the API server takes.
const NOTE_BYTES_MAX: usize = 1024;
/// Who says it.
const CONTROLLER: &str = "holdfast.dev/holdfast";

/// The Event that says it.
#[must_use]
pub fn event(announcement: &Announcement, instance: &str, now: Timestamp) -> Event {
    let Announcement {
        target,
        uid,
        reason,
        note,
        warning,
    } = announcement;
    let kind = match target.kind() {
        Kind::Deployment => "Deployment",
    };
    let name = Digest::of(&[uid.0.as_bytes(), reason.as_bytes(), note.as_bytes()]).short();
    let at = jiff::Timestamp::from_microsecond(now.as_micros()).unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            // A name is at most 253 bytes; a Deployment's name leaves room for the digest in practice, and
            // the digest alone names the Event where it does not.
            name: Some(if target.name().len() <= 240 {
                format!("{}.{name}", target.name())
            } else {
                name
            }),
            namespace: Some(target.namespace().to_owned()),
            ..ObjectMeta::default()
        },
        action: Some("Rollback".to_owned()),
        event_time: Some(MicroTime(at)),
        note: Some(shortened(note)),
        reason: Some((*reason).to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some(kind.to_owned()),
            name: Some(target.name().to_owned()),
            namespace: Some(target.namespace().to_owned()),
            uid: Some(uid.0.to_string()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(if *warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

fn shortened(note: &str) -> String {
    if note.len() <= NOTE_BYTES_MAX {
        return note.to_owned();
    }
    let mut end = NOTE_BYTES_MAX - '…'.len_utf8();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::Uid;
    use crate::domain::spec::WorkloadRef;

    fn said(note: &str) -> Event {
        let announcement = Announcement {
            target: WorkloadRef::deployment("shop", "api"),
            uid: Uid("u1".into()),
            reason: "RolledBack",
            note: note.to_owned(),
            warning: true,
        };
        event(&announcement, "one", Timestamp::from_secs(1_767_603_600))
    }

    #[test]
    fn the_same_thing_said_twice_has_one_name() {
        assert_eq!(said("a").metadata.name, said("a").metadata.name);
        assert_ne!(said("a").metadata.name, said("b").metadata.name);
    }

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        let note = said(&"ö".repeat(600)).note.unwrap();
        assert!(
            note.len() <= NOTE_BYTES_MAX && note.ends_with("ö…"),
            "{}",
            note.len()
        );
    }
}
