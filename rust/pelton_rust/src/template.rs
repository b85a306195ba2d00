//! Chat templates on `minijinja`, as Hugging Face's Jinja2 environment sets them up.
//!
//! A template comes from a model file and is not trusted: it sees only its variables (no loader, no
//! attribute of the host), runs a bounded number of steps and writes a bounded output. It runs on a
//! thread of its own whose stack is large enough for any value that the step limit allows to nest.

use crate::guarding::{Guard, Marks};
use crate::{Failure, Str, pyjson};
use minijinja::value::{Kwargs, Serde, Value, ValueKind, from_args};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, syntax::SyntaxConfig};
use serde_json::{Map, Value as Json, json};
use std::cell::Cell;
use std::io;

/// Macros and blocks inside one another, at most.
const CALL_DEPTH_MAX: usize = 64;
/// Virtual memory; only what is touched becomes real.
const STACK_BYTES: usize = 512 << 20;

#[repr(C)]
pub struct Message {
    role: Str,
    content: Str,
    name: Str,
    tool_call_id: Str,
    tool_calls_json: Str,
}

#[repr(C)]
pub struct Request {
    messages: *const Message,
    message_count: usize,
    tools_json: Str,
    kwargs_json: Str,
    bos: Str,
    eos: Str,
    add_generation_prompt: bool,
    continue_final_message: bool,
    steps_max: u64,
    output_bytes_max: usize,
    now_seconds: i64,
}

pub struct Template {
    env: Environment<'static>,
    guard: Guard,
}

thread_local! {
    /// What strftime_now shows during the render on this thread, Unix seconds.
    static NOW_SECONDS: Cell<i64> = const { Cell::new(0) };
}

/// The rendered text and the noncharacter that splits control-token text of users inside it.
pub struct Rendered {
    pub text: String,
    pub marker: char,
}

impl Template {
    /// Compiled on a large stack as well: a chain of a hundred thousand operators is a tree as deep.
    pub fn new(source: &str, secrets: &[&str]) -> Result<Self, Failure> {
        let guard = Guard::new(secrets)?;
        let env = on_large_stack(|| Self::compiled(source))?;
        Ok(Template { env, guard })
    }

    fn compiled(source: &str) -> Result<Environment<'static>, Failure> {
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|e| Failure::internal(e.to_string()))?;
        env.set_syntax(syntax);
        env.set_recursion_limit(CALL_DEPTH_MAX);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_unknown_method_callback(method);
        env.set_formatter(print);
        env.add_filter("tojson", tojson);
        env.add_filter("escape", escape);
        env.add_filter("e", escape);
        env.add_function("raise_exception", raise_exception);
        env.add_function("strftime_now", strftime_now);
        env.add_template_owned("chat_template", without_generation_tags(source))
            .map_err(|e| failure_of(&e, "tokenizer.chat_template"))?;
        Ok(env)
    }

    /// # Safety
    /// Every string and array of `request` is readable during the call.
    pub unsafe fn render(&self, request: &Request) -> Result<Rendered, Failure> {
        // SAFETY: promised by the caller.
        let mut theirs = unsafe { user_variables(request) }?;
        // SAFETY: promised by the caller.
        let (bos, eos) = unsafe { (request.bos.text("bos")?, request.eos.text("eos")?) };
        let marks = self.guard.apply(&mut theirs)?;
        if request.continue_final_message {
            mark_end_of_final_message(&mut theirs, &marks);
        }
        theirs.insert("bos_token".into(), bos.into());
        theirs.insert("eos_token".into(), eos.into());
        theirs.insert("add_generation_prompt".into(), request.add_generation_prompt.into());
        let (steps, bytes, now) =
            (request.steps_max, request.output_bytes_max, request.now_seconds);
        let mut text = self.run(&theirs, steps, bytes, now)?;
        if request.continue_final_message {
            let Some(end) = text.rfind(marks.end) else {
                return Err(Failure::invalid(
                    "the model's chat template does not show the final message, so it cannot be continued",
                ));
            };
            text.truncate(end);
        }
        Ok(Rendered { text, marker: marks.inside })
    }

    fn run(&self, variables: &Map<String, Json>, steps: u64, bytes: usize, now: i64)
    -> Result<String, Failure> {
        on_large_stack(|| {
            NOW_SECONDS.set(now);
            let mut env = self.env.clone();
            env.set_fuel(Some(steps));
            let mut out = Bounded { bytes: Vec::new(), bytes_max: bytes, full: false };
            let done = env
                .get_template("chat_template")
                .and_then(|t| t.render_captured_to(Value::from(Serde(variables)), &mut out))
                .map(drop);
            if out.full {
                return Err(Failure::limit(format!(
                    "the chat template wrote more than {bytes} bytes"
                )));
            }
            done.map_err(|e| failure_of(&e, "chat template"))?;
            String::from_utf8(out.bytes).map_err(|e| Failure::internal(e.to_string()))
        })
    }
}

fn on_large_stack<T: Send>(
    body: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("template".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, body)
            .map_err(|e| Failure::limit(format!("no thread for the chat template: {e}")))?
            .join()
            .unwrap_or_else(|panic| Err(Failure::internal(crate::panic_text(panic))))
    })
}

/// The template's own words when it raised, else minijinja's, on one line.
fn failure_of(e: &Error, what: &str) -> Failure {
    if e.kind() == ErrorKind::OutOfFuel {
        return Failure::limit("the chat template ran past its step limit");
    }
    let line = e.line().map(|l| format!(" (line {l})")).unwrap_or_default();
    let kind = e.kind();
    let said = match e.detail() {
        Some(detail) if detail.starts_with(RAISED) => detail[RAISED.len()..].to_string(),
        Some(detail) => format!("{kind}: {detail}{line}"),
        None => format!("{kind}{line}"),
    };
    Failure::invalid(format!("{what}: {}", said.replace(['\n', '\r'], " ")))
}

/// Set before what a template says through raise_exception.
const RAISED: &str = "\u{1}raised\u{1}";

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}

fn strftime_now(format: String) -> Result<String, Error> {
    let bad = |why: &str| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {why}"));
    let format = std::ffi::CString::new(format).map_err(|_| bad("NUL in the format"))?;
    if format.as_bytes().len() > 256 {
        return Err(bad("format over 256 bytes"));
    }
    let now: libc::time_t = NOW_SECONDS.get();
    let mut buffer = [0u8; 4096];
    // SAFETY: plain libc calls on locals; `tm` is filled before use and strftime is told the size.
    let size = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&now, &mut tm).is_null() {
            return Err(bad("time out of range"));
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &tm)
    };
    Ok(String::from_utf8_lossy(&buffer[..size]).into_owned())
}

fn tojson(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    let (item_separator, key_separator) = match separators.as_deref() {
        None => (None, None),
        Some([item, key]) => (Some(item.clone()), Some(key.clone())),
        Some(_) => {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators is a pair"));
        }
    };
    let indent: Option<usize> = kwargs.get("indent")?;
    let style = pyjson::JsonStyle {
        indent: indent.map(|n| n.min(16)),
        item_separator,
        key_separator,
        sort_keys: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ensure_ascii: kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
    };
    kwargs.assert_all_used()?;
    pyjson::dumps(value, &style).map(Value::from)
}

/// As Python's MarkupSafe writes it.
fn escape(text: String) -> Value {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Value::from_safe_string(out)
}

/// Python's methods: those of `minijinja-contrib`, and the string methods that it lacks.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        match name {
            "index" => {
                let (part,): (&str,) = from_args(args)?;
                let at = text.find(part).ok_or_else(|| {
                    Error::new(ErrorKind::InvalidOperation, "substring not found")
                })?;
                return Ok(Value::from(text[..at].chars().count()));
            }
            "removeprefix" => {
                let (part,): (&str,) = from_args(args)?;
                return Ok(Value::from(text.strip_prefix(part).unwrap_or(text)));
            }
            "removesuffix" => {
                let (part,): (&str,) = from_args(args)?;
                return Ok(Value::from(text.strip_suffix(part).unwrap_or(text)));
            }
            "rsplit" => {
                let (part, most): (&str, Option<usize>) = from_args(args)?;
                if part.is_empty() {
                    return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
                }
                let most = most.map_or(usize::MAX, |n| n.saturating_add(1));
                let mut parts: Vec<&str> = text.rsplitn(most, part).collect();
                parts.reverse();
                return Ok(Value::from_iter(parts));
            }
            _ => {}
        }
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Seq | ValueKind::Map => {
            Ok(out.write_str(&pyjson::print(value)?)?)
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// Collects output up to a limit; the render stops at the first byte past it.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.bytes_max - self.bytes.len() {
            self.full = true;
            return Err(io::Error::other("output limit"));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hugging Face's `{% generation %}` only marks text for training; here it is `{% if true %}`.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let Some(close) = rest[open..].find("%}").map(|n| open + n) else { break };
        let (left, inner) = trimmed_mark(&rest[open + 2..close]);
        let (right, name) = match inner.strip_suffix(['-', '+']) {
            Some(name) => (&inner[name.len()..], name.trim()),
            None => ("", inner.trim()),
        };
        let becomes = match name {
            "generation" => "if true",
            "endgeneration" => "endif",
            _ => "",
        };
        out.push_str(&rest[..open]);
        if becomes.is_empty() {
            out.push_str(&rest[open..close + 2]);
        } else {
            out.push_str(&format!("{{%{left} {becomes} {right}%}}"));
        }
        rest = &rest[close + 2..];
    }
    out.push_str(rest);
    out
}

/// A tag's white-space mark (`-`, `+` or nothing) and the rest.
fn trimmed_mark(tag: &str) -> (&str, &str) {
    match tag.strip_prefix(['-', '+']) {
        Some(rest) => (&tag[..1], rest),
        None => ("", tag),
    }
}

/// Names that a request's own variables may not take.
const RESERVED: &[&str] = &[
    "messages", "tools", "documents", "bos_token", "eos_token", "unk_token", "pad_token",
    "add_generation_prompt", "continue_final_message", "chat_template", "tokenize", "conversation",
    "raise_exception", "strftime_now", "range", "dict", "namespace", "debug", "loop", "self",
];

/// # Safety
/// As for `Template::render`.
unsafe fn user_variables(request: &Request) -> Result<Map<String, Json>, Failure> {
    // SAFETY: promised by the caller, here and below.
    let kwargs = unsafe { request.kwargs_json.text("chat_template_kwargs") }?;
    let mut variables = match parsed(kwargs, "chat_template_kwargs")? {
        Json::Null => Map::new(),
        Json::Object(map) => map,
        _ => return Err(Failure::invalid("chat_template_kwargs: not a JSON object")),
    };
    if let Some(name) = variables.keys().find(|k| RESERVED.contains(&k.as_str())) {
        return Err(Failure::invalid(format!("chat_template_kwargs: \"{name}\" is reserved")));
    }
    // SAFETY: as above.
    let tools = parsed(unsafe { request.tools_json.text("tools") }?, "tools")?;
    if !matches!(&tools, Json::Null | Json::Array(_)) {
        return Err(Failure::invalid("tools: not a JSON array"));
    }
    let no_tools = tools.as_array().is_none_or(|a| a.is_empty());
    variables.insert("tools".into(), if no_tools { Json::Null } else { tools });
    variables.insert("documents".into(), Json::Null);
    // SAFETY: as above.
    let messages = unsafe { crate::slice(request.messages, request.message_count) };
    let messages = messages
        .iter()
        // SAFETY: as above.
        .map(|m| unsafe { message_variables(m) })
        .collect::<Result<Vec<Json>, Failure>>()?;
    variables.insert("messages".into(), Json::Array(messages));
    Ok(variables)
}

/// # Safety
/// As for `Template::render`.
unsafe fn message_variables(message: &Message) -> Result<Json, Failure> {
    // SAFETY: promised by the caller.
    let (role, content, name, call_id, calls) = unsafe {
        (
            message.role.text("role")?,
            message.content.text("content")?,
            message.name.text("name")?,
            message.tool_call_id.text("tool_call_id")?,
            message.tool_calls_json.text("tool_calls")?,
        )
    };
    let mut out = json!({"role": role, "content": content});
    if !name.is_empty() {
        out["name"] = name.into();
    }
    if !call_id.is_empty() {
        out["tool_call_id"] = call_id.into();
    }
    match parsed(calls, "tool_calls")? {
        Json::Null => {}
        Json::Array(mut calls) => {
            calls.iter_mut().for_each(open_arguments);
            if !calls.is_empty() {
                out["tool_calls"] = Json::Array(calls);
            }
        }
        _ => return Err(Failure::invalid("tool_calls: not a JSON array")),
    }
    Ok(out)
}

/// OpenAI sends a call's arguments as a string of JSON; templates expect the object.
fn open_arguments(call: &mut Json) {
    if let Some(arguments) = call.get_mut("function").and_then(|f| f.get_mut("arguments"))
        && let Some(object) = arguments.as_str().and_then(|s| serde_json::from_str(s).ok())
        && matches!(&object, Json::Object(_))
    {
        *arguments = object;
    }
}

/// JSON of a client: at most 128 deep (serde_json's own limit); empty text is null.
fn parsed(text: &str, what: &str) -> Result<Json, Failure> {
    if text.is_empty() {
        return Ok(Json::Null);
    }
    serde_json::from_str(text).map_err(|e| Failure::invalid(format!("{what}: {e}")))
}

fn mark_end_of_final_message(variables: &mut Map<String, Json>, marks: &Marks) {
    if let Some(Json::Array(messages)) = variables.get_mut("messages")
        && let Some(Json::String(content)) = messages.last_mut().map(|m| &mut m["content"])
    {
        content.push(marks.end);
    }
}

#[cfg(test)]
#[path = "template_test.rs"]
mod tests;
