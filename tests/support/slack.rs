//! A stand-in for Slack's incoming webhooks, as strict as their documentation.
//!
//! There is no Slack to run locally, so what the documentation demands is checked here: a message has
//! text or blocks, blocks keep the limits of Block Kit
//! (<https://docs.slack.dev/reference/block-kit/blocks>), and the answers are the words that Slack uses
//! (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>).

use serde_json::Value;

use super::receiver::{Post, Receiver};

const BLOCKS_MAX: usize = 50;
const HEADER_CHARACTERS_MAX: usize = 150;
const SECTION_CHARACTERS_MAX: usize = 3000;
const FIELDS_MAX: usize = 10;
const FIELD_CHARACTERS_MAX: usize = 2000;
const CONTEXT_ELEMENTS_MAX: usize = 10;
const ACTION_ELEMENTS_MAX: usize = 25;
const BUTTON_CHARACTERS_MAX: usize = 75;
const BUTTON_URL_CHARACTERS_MAX: usize = 3000;
const BLOCK_ID_CHARACTERS_MAX: usize = 255;
const TEXT_CHARACTERS_MAX: usize = 40_000;

/// Starts one. Its misbehaviour is switched as that of any receiver; 429 comes with `Retry-After`.
pub async fn start_slack() -> Receiver {
    Receiver::start_checking(answer).await
}

/// Why a message was refused, as kept for the story: Slack itself says only `invalid_blocks`.
pub fn refusal(post: &Post) -> Option<String> {
    check(post)
        .err()
        .map(|(word, why)| format!("{word}: {why}"))
}

fn answer(post: &Post) -> (u16, String) {
    match check(post) {
        Ok(()) => (200, "ok".to_owned()),
        Err((word, why)) => {
            eprintln!("slack stand-in refuses with {word}: {why}");
            (400, word.to_owned())
        }
    }
}

type Refusal = (&'static str, String);

fn invalid(why: impl Into<String>) -> Refusal {
    ("invalid_blocks", why.into())
}

fn check(post: &Post) -> Result<(), Refusal> {
    let payload = |why: &str| ("invalid_payload", why.to_owned());
    if !post
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/json"))
    {
        return Err(payload("content-type is not application/json"));
    }
    let Ok(Value::Object(message)) = serde_json::from_slice::<Value>(&post.body) else {
        return Err(payload("the body is not a JSON object"));
    };
    let text = match message.get("text") {
        None => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err(payload("text is not a string")),
    };
    if text.chars().count() > TEXT_CHARACTERS_MAX {
        return Err((
            "msg_too_long",
            format!("more than {TEXT_CHARACTERS_MAX} characters"),
        ));
    }
    let blocks = match message.get("blocks") {
        None => &[],
        Some(Value::Array(blocks)) => blocks.as_slice(),
        Some(_) => return Err(invalid("blocks is not a list")),
    };
    let has_attachments = message
        .get("attachments")
        .is_some_and(|list| list.is_array());
    if text.is_empty() && blocks.is_empty() && !has_attachments {
        return Err(("no_text", "neither text nor blocks".to_owned()));
    }
    if blocks.len() > BLOCKS_MAX {
        return Err(invalid(format!("{} blocks", blocks.len())));
    }
    let mut ids = std::collections::BTreeSet::new();
    for (index, block) in blocks.iter().enumerate() {
        check_block(block).map_err(|why| invalid(format!("block {index}: {why}")))?;
        if let Some(id) = block.get("block_id").and_then(Value::as_str)
            && (id.chars().count() > BLOCK_ID_CHARACTERS_MAX || !ids.insert(id))
        {
            return Err(invalid(format!(
                "block {index}: block_id too long or not unique"
            )));
        }
    }
    Ok(())
}

fn check_block(block: &Value) -> Result<(), String> {
    match block.get("type").and_then(Value::as_str) {
        Some("divider") => Ok(()),
        Some("header") => check_text(block.get("text"), &["plain_text"], HEADER_CHARACTERS_MAX),
        Some("section") => check_section(block),
        Some("context") => {
            for element in list(block, "elements", CONTEXT_ELEMENTS_MAX)? {
                if element.get("type").and_then(Value::as_str) == Some("image") {
                    check_image(element)?;
                } else {
                    check_text(
                        Some(element),
                        &["plain_text", "mrkdwn"],
                        SECTION_CHARACTERS_MAX,
                    )?;
                }
            }
            Ok(())
        }
        Some("actions") => list(block, "elements", ACTION_ELEMENTS_MAX)?
            .iter()
            .try_for_each(check_button),
        Some("image") => check_image(block),
        other => Err(format!("this stand-in knows no block of type {other:?}")),
    }
}

fn check_section(block: &Value) -> Result<(), String> {
    let kinds = ["plain_text", "mrkdwn"];
    let has_fields = block.get("fields").is_some();
    if block.get("text").is_some() {
        check_text(block.get("text"), &kinds, SECTION_CHARACTERS_MAX)?;
    } else if !has_fields {
        return Err("a section has neither text nor fields".to_owned());
    }
    if has_fields {
        for field in list(block, "fields", FIELDS_MAX)? {
            check_text(Some(field), &kinds, FIELD_CHARACTERS_MAX)?;
        }
    }
    match block.get("accessory") {
        Some(accessory) if accessory.get("type").and_then(Value::as_str) == Some("image") => {
            check_image(accessory)
        }
        Some(accessory) => check_button(accessory),
        None => Ok(()),
    }
}

fn check_text(text: Option<&Value>, kinds: &[&str], characters_max: usize) -> Result<(), String> {
    let text = text.ok_or("text is missing")?;
    let kind = text
        .get("type")
        .and_then(Value::as_str)
        .ok_or("text has no type")?;
    if !kinds.contains(&kind) {
        return Err(format!("text of type {kind}, expected one of {kinds:?}"));
    }
    let words = text
        .get("text")
        .and_then(Value::as_str)
        .ok_or("text object without text")?;
    match words.chars().count() {
        0 => Err("empty text".to_owned()),
        count if count > characters_max => Err(format!("{count} characters of {characters_max}")),
        _ => Ok(()),
    }
}

fn check_button(element: &Value) -> Result<(), String> {
    if element.get("type").and_then(Value::as_str) != Some("button") {
        return Err("this stand-in knows no action but a button".to_owned());
    }
    check_text(element.get("text"), &["plain_text"], BUTTON_CHARACTERS_MAX)?;
    match element.get("url") {
        Some(Value::String(url)) if url.chars().count() <= BUTTON_URL_CHARACTERS_MAX => Ok(()),
        None => Ok(()),
        Some(_) => Err("a button's url is no string or too long".to_owned()),
    }
}

fn check_image(image: &Value) -> Result<(), String> {
    let named = |key: &str| {
        image
            .get(key)
            .and_then(Value::as_str)
            .is_some_and(|it| !it.is_empty())
    };
    if named("alt_text") && (named("image_url") || image.get("slack_file").is_some()) {
        Ok(())
    } else {
        Err("an image needs image_url and alt_text".to_owned())
    }
}

fn list<'a>(block: &'a Value, key: &str, count_max: usize) -> Result<&'a [Value], String> {
    let items = block
        .get(key)
        .and_then(Value::as_array)
        .ok_or(format!("{key} is no list"))?;
    match items.len() {
        0 => Err(format!("{key} is empty")),
        count if count > count_max => Err(format!("{count} {key} of {count_max}")),
        _ => Ok(items),
    }
}
