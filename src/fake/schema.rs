//! Values that follow a JSON schema, for the arguments of tool calls and for structured answers.

use serde_json::{Map, Value};

/// Tools of a request that are looked at.
pub(super) const MOST_TOOLS: usize = 128;

/// How deep a schema is followed.
const MOST_DEPTH: u32 = 8;

/// A value that follows the schema where it is a simple one. `text` is what strings hold.
pub(super) fn sample(schema: &Value, text: &str) -> Value {
    sample_at(schema, schema, text, 0)
}

fn sample_at(schema: &Value, root: &Value, text: &str, depth: u32) -> Value {
    if depth >= MOST_DEPTH {
        return Value::Null;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let found = reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        return found.map_or(Value::Null, |found| sample_at(found, root, text, depth + 1));
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[key].get(0) {
            return sample_at(first, root, text, depth + 1);
        }
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"][0].as_str());
    match kind.map(str::to_ascii_lowercase).as_deref() {
        Some("string") => Value::from(text),
        Some("integer" | "number") => schema
            .get("minimum")
            .cloned()
            .unwrap_or_else(|| Value::from(1)),
        Some("boolean") => Value::Bool(true),
        Some("null") => Value::Null,
        Some("array") => {
            let count = schema["minItems"].as_u64().unwrap_or(1).min(8);
            let item = || sample_at(&schema["items"], root, text, depth + 1);
            (0..count).map(|_| item()).collect()
        }
        _ => {
            let properties = schema["properties"].as_object();
            let sampled = properties
                .into_iter()
                .flatten()
                .map(|(name, schema)| (name.clone(), sample_at(schema, root, text, depth + 1)));
            let mut sample = Map::new();
            sample.extend(sampled);
            Value::Object(sample)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sample_follows_its_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 3},
                "unit": {"enum": ["c", "f"]},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
                "note": {"type": ["string", "null"]},
                "sure": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            },
            "$defs": {"tag": {"const": "t"}},
        });
        let want = json!({
            "city": "x", "days": 3, "unit": "c", "tags": ["t"], "note": "x", "sure": true,
        });
        assert_eq!(sample(&schema, "x"), want);
        assert_eq!(sample(&Value::Null, "x"), json!({}));
        let endless = json!({"$ref": "#"});
        assert_eq!(sample(&endless, "x"), Value::Null);
    }
}
