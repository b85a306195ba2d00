//! Values as Python writes them: `json.dumps(ensure_ascii=False)` for `tojson`, `str()` and `repr()`
//! for what a template prints. Model templates were written against Python's Jinja2, and a prompt
//! that differs by one space is another prompt.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use std::fmt::Write;

/// Containers inside containers, at most; deeper ones are an error of the render.
const DEPTH_MAX: usize = 128;

pub struct JsonStyle {
    pub indent: Option<usize>,
    pub item_separator: Option<String>,
    pub key_separator: Option<String>,
    pub sort_keys: bool,
    pub ensure_ascii: bool,
}

fn too_deep() -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("value nested over {DEPTH_MAX} deep"))
}

pub fn dumps(value: &Value, style: &JsonStyle) -> Result<String, Error> {
    let mut out = String::new();
    json(&mut out, value, style, 0)?;
    Ok(out)
}

fn json(out: &mut String, value: &Value, style: &JsonStyle, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => quote_json(out, value.as_str().unwrap_or_default(), style.ensure_ascii),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            container(out, '[', ']', items.len(), style, depth, |out, i| {
                json(out, &items[i], style, depth + 1)
            })?;
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort_keys {
                keys.sort();
            }
            let colon = style.key_separator.as_deref().unwrap_or(": ");
            container(out, '{', '}', keys.len(), style, depth, |out, i| {
                match keys[i].as_str() {
                    Some(key) => quote_json(out, key, style.ensure_ascii),
                    None => quote_json(out, &scalar(&keys[i]), style.ensure_ascii),
                }
                out.push_str(colon);
                json(out, &value.get_item(&keys[i])?, style, depth + 1)
            })?;
        }
        kind => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("a value of type {kind} is not JSON serializable"),
            ));
        }
    }
    Ok(())
}

fn container(
    out: &mut String,
    open: char,
    close: char,
    count: usize,
    style: &JsonStyle,
    depth: usize,
    mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let default = if style.indent.is_some() { "," } else { ", " };
    let comma = style.item_separator.as_deref().unwrap_or(default);
    let newline = |out: &mut String, level: usize| {
        if let Some(width) = style.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * level));
        }
    };
    out.push(open);
    for i in 0..count {
        if i > 0 {
            out.push_str(comma);
        }
        newline(out, depth + 1);
        item(out, i)?;
    }
    if count > 0 {
        newline(out, depth);
    }
    out.push(close);
    Ok(())
}

fn quote_json(out: &mut String, text: &str, ensure_ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (ensure_ascii && c as u32 > 0x7e) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number as Python's `repr` writes it: shortest digits, exponent outside 1e-4 … 1e16.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(f) = f64::try_from(value.clone()) else {
        return value.to_string();
    };
    if f.is_nan() {
        return "NaN".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let scientific = format!("{f:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) || f == 0.0 {
        return format!("{f:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn scalar(value: &Value) -> String {
    match value.kind() {
        ValueKind::None => "None".into(),
        ValueKind::Bool => (if value.is_true() { "True" } else { "False" }).into(),
        ValueKind::Number => number(value),
        _ => value.to_string(),
    }
}

/// What `{{ value }}` prints in Python.
pub fn print(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map => {
            let mut out = String::new();
            repr(&mut out, value, 0)?;
            Ok(out)
        }
        _ => Ok(scalar(value)),
    }
}

fn repr(out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    match value.kind() {
        ValueKind::String => quote_python(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq => {
            let tuple = value.is_tuple();
            out.push(if tuple { '(' } else { '[' });
            for (i, item) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(out, &item, depth + 1)?;
            }
            out.push_str(match (tuple, value.len()) {
                (true, Some(1)) => ",)",
                (true, _) => ")",
                (false, _) => "]",
            });
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(out, &key, depth + 1)?;
                out.push_str(": ");
                repr(out, &value.get_item(&key)?, depth + 1)?;
            }
            out.push('}');
        }
        _ => out.push_str(&scalar(value)),
    }
    Ok(())
}

fn quote_python(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_json(text: &str) -> Value {
        let v: serde_json::Value = serde_json::from_str(text).unwrap();
        Value::from(minijinja::value::Serde(&v))
    }

    const PLAIN: JsonStyle = JsonStyle {
        indent: None,
        item_separator: None,
        key_separator: None,
        sort_keys: false,
        ensure_ascii: false,
    };

    #[test]
    fn json_is_spaced_like_pythons() {
        let v = from_json(r#"{"b":1,"a":[1.5,true,null,"<é\n\u0001"],"e":{},"f":[]}"#);
        assert_eq!(
            dumps(&v, &PLAIN).unwrap(),
            "{\"b\": 1, \"a\": [1.5, true, null, \"<é\\n\\u0001\"], \"e\": {}, \"f\": []}"
        );
        let indented = JsonStyle { indent: Some(2), ..PLAIN };
        assert_eq!(dumps(&from_json(r#"{"a":[1]}"#), &indented).unwrap(), "{\n  \"a\": [\n    1\n  ]\n}");
    }

    #[test]
    fn numbers_are_pythons() {
        let number_of = |f: f64| number(&Value::from(f));
        assert_eq!(number_of(1.0), "1.0");
        assert_eq!(number_of(0.0001), "0.0001");
        assert_eq!(number_of(0.00001), "1e-05");
        assert_eq!(number_of(1e15), "1000000000000000.0");
        assert_eq!(number_of(1e16), "1e+16");
        assert_eq!(number_of(-0.0), "-0.0");
    }

    #[test]
    fn printing_is_pythons() {
        let v = from_json(r#"{"a":["x",null,true,"it's"]}"#);
        assert_eq!(print(&v).unwrap(), "{'a': ['x', None, True, \"it's\"]}");
        assert_eq!(print(&Value::from(true)).unwrap(), "True");
        assert_eq!(print(&Value::from(())).unwrap(), "None");
    }

    #[test]
    fn depth_is_bounded_on_both_sides() {
        let nested = |n: usize| (0..n).fold(Value::from(1), |v, _| Value::from(vec![v]));
        assert!(dumps(&nested(DEPTH_MAX), &PLAIN).is_ok());
        assert!(dumps(&nested(DEPTH_MAX + 1), &PLAIN).is_err());
        assert!(print(&nested(DEPTH_MAX)).is_ok());
        assert!(print(&nested(DEPTH_MAX + 1)).is_err());
    }
}
