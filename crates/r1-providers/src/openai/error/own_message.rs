//! An error's own message, wherever it stands.

use serde_json::{Map, Value};

use super::words::{DEPTH, plain};

/// Where it stands within an error, the likeliest place first.
const MESSAGES: [&str; 10] =
    ["message", "msg", "errormessage", "errormsg", "errmsg", "statusmsg", "detail", "description", "error", "title"];
/// What an error stands in.
const ERRORS: [&str; 9] =
    ["error", "errors", "baseresp", "detail", "details", "message", "response", "exception", "choices"];

/// The message of the outermost error that has one.
pub(super) fn of(value: &Value, depth: usize) -> Option<&str> {
    let inner = |value| if depth < DEPTH { of(value, depth + 1) } else { None };
    match value {
        Value::String(message) => Some(message.as_str()).filter(|message| !message.trim().is_empty()),
        Value::Array(list) => list.iter().find_map(inner),
        Value::Object(object) => {
            let errors = values(object, &ERRORS).filter(|value| !value.is_string()).find_map(inner);
            errors.or_else(|| values(object, &MESSAGES).filter(|value| value.is_string()).find_map(inner))
        }
        _ => None,
    }
}

/// What stands under these names, in their order.
fn values<'a>(object: &'a Map<String, Value>, names: &'static [&str]) -> impl Iterator<Item = &'a Value> {
    let under = move |name: &&'static str| {
        let name = *name;
        object.iter().filter(move |(key, _)| plain(key) == name)
    };
    names.iter().flat_map(under).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_outermost_errors_message_alone() {
        for (body, expected) in [
            (r#"{"error":{"message":"No such model","type":"t","param":"model","code":"c"}}"#, Some("No such model")),
            (r#"[{"error":{"code":400,"message":"Bad"}}]"#, Some("Bad")),
            (r#"{"error":"model 'x' not found"}"#, Some("model 'x' not found")),
            (r#"{"object":"error","message":"too long","code":400}"#, Some("too long")),
            (r#"{"detail":"Not Found"}"#, Some("Not Found")),
            (r#"{"detail":[{"loc":["body","n"],"msg":"Input should be 1","type":"x"}]}"#, Some("Input should be 1")),
            (r#"{"statusCode":400,"error":"Bad Request","message":"n is wrong"}"#, Some("n is wrong")),
            (r#"{"base_resp":{"status_code":1008,"status_msg":"no balance"}}"#, Some("no balance")),
            (
                r#"{"error":{"message":"Provider returned error","metadata":{"raw":"inner"}}}"#,
                Some("Provider returned error"),
            ),
            (r#"{"choices":[{"error":{"message":"gone"},"delta":{"content":"x"}}]}"#, Some("gone")),
            (r#"{"choices":[{"message":{"role":"assistant","content":"secret"}}],"error":{"code":5}}"#, None),
            (r#"{"error":{"message":" ","code":"x"}}"#, None),
            (r#"{"code":"x","request":{"key":"sk-1"}}"#, None),
            ("17", None),
        ] {
            let value = serde_json::from_str(body).unwrap();
            assert_eq!(of(&value, 0), expected, "{body}");
        }
        let deep = format!("{}\"x\"{}", r#"{"error":"#.repeat(100), "}".repeat(100));
        assert_eq!(of(&serde_json::from_str(&deep).unwrap(), 0), None);
    }
}
