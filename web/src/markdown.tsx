// Markdown of a model as elements: no markup of the text's own ever becomes one, images are never
// fetched, and a link leads to http, https or mailto only.
import type { ComponentChildren, VNode } from "preact";
import { CodeBlock } from "./code_block";

const NESTED_MAX = 8; // quotes in lists in quotes; deeper is shown as text

const INLINE =
  /(`+)([\s\S]*?[^`])\1(?!`)|!?\[([^\]]*)\]\(\s*<?([^\s)>]+)>?(?:\s+"[^"]*")?\s*\)|\*\*(?=\S)([\s\S]*?\S)\*\*|__(?=\S)([\s\S]*?\S)__(?!\w)|~~(?=\S)([\s\S]*?\S)~~|\*(?=[^\s*])([\s\S]*?[^\s*])\*(?!\*)|(?<!\w)_(?=[^\s_])([^_]*?[^\s_])_(?!\w)|(https?:\/\/[^\s<>"')\]]+[^\s<>"')\].,;:!?])|\\([\\`*_{}[\]()#+\-.!~|>])/g;

export function safeLink(target: string): string | undefined {
  try {
    const url = new URL(target);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : undefined;
  } catch {
    return undefined; // relative ones too: they would lead into this server
  }
}

function link(target: string, label: ComponentChildren): ComponentChildren {
  const href = safeLink(target);
  if (href === undefined) return label;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {label}
    </a>
  );
}

export function inline(text: string, depth = 0): ComponentChildren[] {
  if (depth > NESTED_MAX) return [text];
  const out: ComponentChildren[] = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > at) out.push(text.slice(at, match.index));
    at = match.index + match[0].length;
    const [, , code, label, target, strong, strong2, gone, soft, soft2, bare, escaped] = match;
    const inner = (part: string) => inline(part, depth + 1);
    if (code !== undefined) out.push(<code>{code.replace(/^ (.*) $/s, "$1")}</code>);
    else if (target !== undefined) out.push(link(target, label ? inner(label) : target));
    else if ((strong ?? strong2) !== undefined) out.push(<strong>{inner((strong ?? strong2)!)}</strong>);
    else if (gone !== undefined) out.push(<s>{inner(gone)}</s>);
    else if ((soft ?? soft2) !== undefined) out.push(<em>{inner((soft ?? soft2)!)}</em>);
    else if (bare !== undefined) out.push(link(bare, bare));
    else if (escaped !== undefined) out.push(escaped);
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const TABLE_RULE = /^ *\|?( *:?-+:? *\|)+( *:?-+:? *)?$/;

class Lines {
  at = 0;
  constructor(readonly all: string[]) {}
  get now(): string | undefined {
    return this.all[this.at];
  }
  get next(): string | undefined {
    return this.all[this.at + 1];
  }
}

function fence(lines: Lines, opening: RegExpMatchArray): VNode {
  const mark = opening[1]!;
  const code: string[] = [];
  for (lines.at++; lines.now !== undefined; lines.at++) {
    const end = lines.now.trim();
    if (end.startsWith(mark) && end === mark[0]!.repeat(end.length)) {
      lines.at++;
      break;
    }
    code.push(lines.now);
  }
  return <CodeBlock code={code.join("\n")} language={opening[2] ?? ""} />;
}

function list(lines: Lines, first: RegExpMatchArray, depth: number): VNode {
  const ordered = /\d/.test(first[2]!);
  const indent = first[1]!.length;
  const items: string[][] = [];
  for (; lines.now !== undefined; lines.at++) {
    const item = lines.now.match(ITEM);
    if (item && item[1]!.length <= indent + 1 && item[1]!.length >= indent - 1) {
      if (/\d/.test(item[2]!) !== ordered) break;
      items.push([item[3]!]);
    } else if (lines.now.trim() === "") {
      const after = lines.next;
      if (after === undefined || !(after.match(ITEM) || /^ {2,}\S/.test(after))) break;
      items.at(-1)!.push("");
    } else if (item || /^ {2,}/.test(lines.now)) {
      items.at(-1)!.push(lines.now.slice(Math.min(indent + (ordered ? 3 : 2), lines.now.search(/\S/))));
    } else if (HEADING.test(lines.now) || FENCE.test(lines.now) || QUOTE.test(lines.now)) {
      break;
    } else {
      items.at(-1)!.push(lines.now);
    }
  }
  const rows = items.map((item) => <li>{blocks(item, depth + 1, true)}</li>);
  if (!ordered) return <ul>{rows}</ul>;
  return <ol start={Number.parseInt(first[2]!, 10)}>{rows}</ol>;
}

const cells = (line: string) =>
  line
    .trim()
    .replace(/^\||\|$/g, "")
    .split(/(?<!\\)\|/)
    .map((cell) => inline(cell.trim().replaceAll("\\|", "|")));

function table(lines: Lines): VNode {
  const head = cells(lines.now!);
  const rows: ComponentChildren[][][] = [];
  for (lines.at += 2; lines.now?.includes("|"); lines.at++) rows.push(cells(lines.now));
  return (
    <div class="table" role="group" aria-label="Table" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {head.map((cell) => (
              <th scope="col">{cell}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr>
              {row.map((cell) => (
                <td>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function quote(lines: Lines, depth: number): VNode {
  const inner: string[] = [];
  for (; lines.now !== undefined && lines.now.trim() !== ""; lines.at++) {
    inner.push(lines.now.match(QUOTE)?.[1] ?? lines.now);
  }
  return <blockquote>{blocks(inner, depth + 1)}</blockquote>;
}

const begins = (line: string) =>
  [FENCE, HEADING, RULE, QUOTE].some((form) => form.test(line)) || ITEM.test(line);

function paragraph(lines: Lines, tight: boolean): ComponentChildren {
  const text: string[] = [];
  do {
    text.push(lines.now!);
    lines.at++;
  } while (lines.now !== undefined && lines.now.trim() !== "" && !begins(lines.now));
  const parts = text.flatMap((line, i) => [...(i > 0 && text[i - 1]!.endsWith("  ") ? [<br />] : i > 0 ? ["\n"] : []), ...inline(line.trimEnd())]);
  return tight ? parts : <p>{parts}</p>;
}

function blocks(all: string[], depth = 0, tight = false): ComponentChildren[] {
  if (depth > NESTED_MAX) return [all.join("\n")];
  const lines = new Lines(all);
  const loose = !tight || all.some((line) => line === "");
  const out: ComponentChildren[] = [];
  while (lines.now !== undefined) {
    const line = lines.now;
    let match: RegExpMatchArray | null;
    if (line.trim() === "") {
      lines.at++;
    } else if ((match = line.match(FENCE))) {
      out.push(fence(lines, match));
    } else if ((match = line.match(HEADING))) {
      // The page has its own h1; an answer's begin below it.
      const Tag = `h${Math.min(6, match[1]!.length + 2)}` as "h3";
      out.push(<Tag>{inline(match[2]!)}</Tag>);
      lines.at++;
    } else if (RULE.test(line)) {
      out.push(<hr />);
      lines.at++;
    } else if (QUOTE.test(line)) {
      out.push(quote(lines, depth));
    } else if ((match = line.match(ITEM))) {
      out.push(list(lines, match, depth));
    } else if (line.includes("|") && lines.next !== undefined && TABLE_RULE.test(lines.next)) {
      out.push(table(lines));
    } else {
      out.push(paragraph(lines, !loose));
    }
  }
  return out;
}

export function Markdown({ text }: { text: string }) {
  return <div class="markdown">{blocks(text.split(/\r?\n/))}</div>;
}
