//! Rendering: Python's ways, the limits, and that no user text becomes a control token.

use super::*;

const SECRETS: &[&str] = &["<|im_start|>", "<|im_end|>", "</s>"];
const STEPS: u64 = 2_000_000;

fn s(text: &str) -> Str {
    Str { data: text.as_ptr(), size: text.len() }
}

struct Ask<'a> {
    messages: &'a [(&'a str, &'a str)],
    tools: &'a str,
    kwargs: &'a str,
    continue_final: bool,
    bytes_max: usize,
}

fn ask<'a>(messages: &'a [(&'a str, &'a str)]) -> Ask<'a> {
    Ask { messages, tools: "", kwargs: "", continue_final: false, bytes_max: 1 << 22 }
}

fn render_full(source: &str, ask: &Ask) -> Result<Rendered, Failure> {
    let messages: Vec<Message> = ask
        .messages
        .iter()
        .map(|(role, content)| Message {
            role: s(role),
            content: s(content),
            name: s(""),
            tool_call_id: s(""),
            tool_calls_json: s(""),
        })
        .collect();
    let request = Request {
        messages: messages.as_ptr(),
        message_count: messages.len(),
        tools_json: s(ask.tools),
        kwargs_json: s(ask.kwargs),
        bos: s("<s>"),
        eos: s("</s>"),
        add_generation_prompt: true,
        continue_final_message: ask.continue_final,
        steps_max: STEPS,
        output_bytes_max: ask.bytes_max,
        now_seconds: 1_700_000_000,
    };
    // SAFETY: everything lives until the end of this function.
    unsafe { Template::new(source, SECRETS)?.render(&request) }
}

fn render(source: &str, ask: &Ask) -> String {
    render_full(source, ask).map_or_else(|e| format!("{}: {}", e.code, e.text), |r| r.text)
}

fn one(source: &str) -> String {
    render(source, &ask(&[("user", "hi")]))
}

#[test]
fn chatml_renders() {
    let source = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + \
                  message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
                  {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    assert_eq!(
        one(source),
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn blocks_are_trimmed_and_generation_tags_are_plain() {
    assert_eq!(one("  {% if true %}\nx\n  {% endif %}\ny"), "x\ny");
    assert_eq!(one("{%- generation -%} a {%- endgeneration %}"), "a");
    assert_eq!(one("{% generation %}\na{% endgeneration %}"), "a");
}

#[test]
fn pythons_methods_and_globals() {
    assert_eq!(one("{{ '  a b '.strip().split(' ')|length }}"), "2");
    assert_eq!(one("{{ messages[0].content.startswith('h') }}"), "True");
    assert_eq!(one("{{ tools is none }}{{ {'a': [1, 'x']} | tojson }}"), "True{\"a\": [1, \"x\"]}");
    assert_eq!(one("{% set ns = namespace(n=1) %}{% set ns.n = 2 %}{{ ns.n }}"), "2");
    assert_eq!(one("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"), "01");
    assert_eq!(one("{{ bos_token }}{{ messages[0]['nothing'] }}{{ missing }}"), "<s>");
    assert_eq!(one("{{ strftime_now('%Y') }}"), "2023");
    assert_eq!(one("{{ 'a b c'.rsplit(' ', 1) }}{{ 'abc'.index('c') }}"), "['a b', 'c']2");
    assert_eq!(one("{{ 'abc'.removeprefix('a').removesuffix('c') }}{{ (1, 'x') }}"), "b(1, 'x')");
    assert_eq!(one("{{ '<a>' | e }}"), "&lt;a&gt;");
}

#[test]
fn what_a_template_raises_is_said_in_its_own_words() {
    assert_eq!(one("{{ raise_exception('Roles must alternate') }}"), "1: chat template: Roles must alternate");
    assert!(one("{{ messages.nothing.more }}").starts_with("1: chat template: undefined value"));
    assert!(one("{% if %}").starts_with("1: tokenizer.chat_template: syntax error"));
}

#[test]
fn tools_arguments_and_variables() {
    let mut a = ask(&[("user", "x")]);
    a.tools = r#"[{"type":"function","function":{"name":"f","parameters":{"b":1,"a":2}}}]"#;
    a.kwargs = r#"{"enable_thinking":false}"#;
    assert_eq!(
        render("{{ tools[0] | tojson }}{{ enable_thinking }}", &a),
        "{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"b\": 1, \"a\": 2}}}False"
    );
    for name in ["messages", "tokenize", "chat_template", "bos_token"] {
        let kwargs = format!("{{\"{name}\": true}}");
        let own = Ask { kwargs: &kwargs, ..ask(&[]) };
        assert!(render("x", &own).contains("is reserved"), "{name}");
    }
    let mut call = json!({"function": {"arguments": "{\"a\": 1}"}});
    open_arguments(&mut call);
    assert_eq!(call["function"]["arguments"]["a"], 1);
    let mut call = json!({"function": {"arguments": "not json"}});
    open_arguments(&mut call);
    assert_eq!(call["function"]["arguments"], "not json");
}

#[test]
fn the_final_message_is_continued_where_it_ends() {
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}<|im_end|>{% endfor %}";
    let mut a = ask(&[("user", "q"), ("assistant", "half an ")]);
    a.continue_final = true;
    assert_eq!(render(source, &a), "[user]q<|im_end|>[assistant]half an ");
    assert!(render("nothing", &a).contains("cannot be continued"));
}

#[test]
fn steps_are_bounded() {
    let bomb = "{% for a in range(25000) %}{% for b in range(25000) %}{% endfor %}{% endfor %}";
    assert!(one(bomb).starts_with("2: the chat template ran past its step limit"));
    assert_eq!(one("{% for a in range(1000) %}{% endfor %}ok"), "ok");
}

#[test]
fn recursion_is_bounded() {
    let calls = "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}";
    assert!(one(calls).starts_with("1: "), "{}", one(calls));
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(one(&parens).contains("recursion"), "{}", one(&parens));
    let nested = "{% set ns = namespace(x=[]) %}{% for a in range(99) %}{% for i in range(4000) %}\
                  {% set ns.x = [ns.x] %}{% endfor %}{% endfor %}";
    assert!(one(nested).starts_with("2: "), "{}", one(nested));
    let printed = "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}\
                   {% endfor %}{{ ns.x }}";
    assert!(one(printed).contains("nested over"), "{}", one(printed));
    let joined = "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}\
                  {% endfor %}{{ (ns.x ~ 'a') | length }}";
    assert_eq!(one(joined), "180003");
}

#[test]
fn long_chains_are_deep_trees_and_do_not_end_the_process() {
    let n = 120_000;
    let nested = |open: &str, close: &str| open.repeat(n / 8) + &close.repeat(n / 8);
    for source in [
        format!("{{{{ {}1 }}}}", "1+".repeat(n)),
        format!("{{{{ 'a'{} }}}}", "~'a'".repeat(n / 2)),
        format!("{{{{ 'a'{} }}}}", "|trim".repeat(n / 3)),
        format!("{{{{ x{} }}}}", ".a".repeat(n)),
        format!("{{{{ {}1 }}}}", "not ".repeat(n / 2)),
        format!("{{{{ {}1 }}}}", "-".repeat(n)),
        format!("{{{{ {}1{} }}}}", "[".repeat(n), "]".repeat(n)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(n / 8)),
        nested("{% if 1 %}", "{% endif %}"),
        nested("{% for a in [1] %}", "{% endfor %}"),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(n / 8)),
    ] {
        let text = one(&source);
        assert!(!text.starts_with("3:"), "{text}");
    }
}

#[test]
fn output_is_bounded_on_both_sides() {
    let mut a = ask(&[("user", "hi")]);
    a.bytes_max = 10;
    assert_eq!(render("{{ 'x' * 10 }}", &a), "xxxxxxxxxx");
    assert!(render("{{ 'x' * 11 }}", &a).starts_with("2: the chat template wrote more than 10"));
}

#[test]
fn control_text_of_users_carries_a_marker() {
    let mut a = ask(&[("user", "a <|im_end|> b <|im_")]);
    a.tools = r#"[{"<|im_start|>":["</s>"]}]"#;
    let source = "{{ messages[0].content }}end|>{{ tools | tojson }}</s>";
    let rendered = render_full(source, &a).ok().expect("renders");
    let m = rendered.marker;
    assert_eq!(
        rendered.text,
        format!("a <{m}|im_end|> b <|im_{m}end|>[{{\"<{m}|im_start|>\": [\"<{m}/s>\"]}}]</s>")
    );
}

#[test]
fn deep_json_of_clients_is_an_error() {
    let mut a = ask(&[("user", "hi")]);
    let deep = "[".repeat(10_000);
    a.tools = &deep;
    assert!(render("x", &a).starts_with("1: tools: recursion limit"), "{}", render("x", &a));
}
