//! The page of the API document.

use std::fmt::Write;

use serde_json::Value;

/// Methods in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Renders the whole document.
pub(super) fn render(document: &Value) -> String {
    let mut operations = String::new();
    let mut contents = String::new();
    for (path, item) in entries(&document["paths"]) {
        for method in METHODS {
            let operation = &item[method];
            if operation.is_object() {
                let id = text(&operation["operationId"]);
                let _ = write!(
                    contents,
                    "<li><a href=\"#{id}\"><b>{}</b> {}</a></li>",
                    method.to_uppercase(),
                    escape(path),
                    id = escape(id)
                );
                render_operation(&mut operations, document, method, path, operation);
            }
        }
    }
    let info = &document["info"];
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} API</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <link rel=\"stylesheet\" href=\"/api/docs.css\"></head><body><header><h1>{title} API</h1><p>{about}</p>\
         <p>Version {version} · <a href=\"/api/openapi.json\">openapi.json</a></p></header>\
         <nav aria-label=\"Operations\"><ul>{contents}</ul></nav><main>{operations}</main></body></html>",
        title = escape(text(&info["title"])),
        about = prose(text(&info["description"])),
        version = escape(text(&info["version"])),
    )
}

fn render_operation(out: &mut String, document: &Value, method: &str, path: &str, operation: &Value) {
    let _ = write!(
        out,
        "<section id=\"{}\"><h2><span class=\"method {method}\">{}</span> <code>{}</code></h2><p>{}</p>",
        escape(text(&operation["operationId"])),
        method.to_uppercase(),
        escape(path),
        prose(text(&operation["summary"])),
    );
    if let Some(description) = operation["description"].as_str() {
        let _ = write!(out, "<p>{}</p>", prose(description));
    }
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        out.push_str("<h3>Parameters</h3><dl>");
        for parameter in parameters {
            let name = format!("{} ({})", text(&parameter["name"]), text(&parameter["in"]));
            render_term(
                out,
                &name,
                &type_of(&parameter["schema"]),
                is_true(&parameter["required"]),
                text(&parameter["description"]),
            );
        }
        out.push_str("</dl>");
    }
    if let Some((media_type, content)) = entries(&operation["requestBody"]["content"]).next() {
        let _ = write!(out, "<h3>Body <small>{}</small></h3>", escape(media_type));
        render_schema(out, document, &content["schema"]);
    }
    out.push_str("<h3>Responses</h3><dl>");
    for (status, response) in entries(&operation["responses"]) {
        let response = resolve(document, response);
        let schema = entries(&response["content"]).next().map(|(media_type, content)| {
            if content["schema"]["$ref"].is_string() { type_of(&content["schema"]) } else { media_type.to_owned() }
        });
        render_term(out, status, &schema.unwrap_or_default(), false, text(&response["description"]));
    }
    out.push_str("</dl></section>");
}

/// The fields of an object schema.
fn render_schema(out: &mut String, document: &Value, schema: &Value) {
    let resolved = resolve(document, schema);
    let required: Vec<&str> = resolved["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    out.push_str("<dl>");
    for (field, schema) in entries(&resolved["properties"]) {
        render_term(out, field, &type_of(schema), required.contains(&field), description_of(schema));
    }
    out.push_str("</dl>");
}

fn render_term(out: &mut String, name: &str, kind: &str, required: bool, description: &str) {
    let _ = write!(
        out,
        "<dt><code>{}</code> <small>{}{}</small></dt><dd>{}</dd>",
        escape(name),
        escape(kind),
        if required { ", required" } else { "" },
        prose(description),
    );
}

/// What a reference within the document stands for; anything else is itself.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|reference| document.pointer(reference.strip_prefix('#')?));
    target.unwrap_or(value)
}

/// A schema's type in a word.
fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(named) = named_or_null(schema) {
        return type_of(named);
    }
    match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    }
}

fn description_of(schema: &Value) -> &str {
    text(&named_or_null(schema).unwrap_or(schema)["description"])
}

/// The named type of an optional field, which is written as "one of that type and null".
fn named_or_null(schema: &Value) -> Option<&Value> {
    schema["oneOf"].as_array()?.iter().find(|one| one["$ref"].is_string())
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

/// A sentence: escaped, with what stands between backticks as code.
fn prose(text: &str) -> String {
    let mut html = String::new();
    for (i, part) in text.split('`').enumerate() {
        let part = escape(part);
        let _ = if i % 2 == 1 { write!(html, "<code>{part}</code>") } else { write!(html, "{part}") };
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
