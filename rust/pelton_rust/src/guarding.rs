//! Keeping a user's words words.
//!
//! The rendered prompt is cut at the text of control tokens, so that text must come from the
//! template alone. A Unicode noncharacter that no user string contains (the marker) is put inside
//! every control token's text found in a user string, before a string that begins with the tail of
//! one and after a string that ends with the head of one: whatever the template sets beside the
//! string, no control token can be completed with it. Markers are taken out after the cut.

use crate::Failure;
use aho_corasick::AhoCorasick;
use serde_json::{Map, Value as Json};
use std::collections::HashSet;

pub struct Guard {
    matcher: AhoCorasick,
    /// Length in bytes of the first character of each secret.
    first_len: Vec<usize>,
    /// Proper prefixes and proper suffixes of the secrets.
    heads: HashSet<Box<str>>,
    tails: HashSet<Box<str>>,
    longest: usize,
}

/// Two noncharacters that occur in no user string of the request.
pub struct Marks {
    pub inside: char,
    pub end: char,
}

/// U+FDD0…U+FDEF and the last two code points of each plane.
fn noncharacters() -> impl Iterator<Item = char> {
    let block = 0xFDD0..=0xFDEFu32;
    let ends = (0..=16u32).flat_map(|plane| [plane << 16 | 0xFFFE, plane << 16 | 0xFFFF]);
    block.chain(ends).filter_map(char::from_u32)
}

fn is_noncharacter(c: char) -> bool {
    let code = c as u32;
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

impl Guard {
    /// `secrets`: texts of control tokens, each of at least two characters.
    pub fn new(secrets: &[&str]) -> Result<Self, Failure> {
        let matcher = AhoCorasick::new(secrets)
            .map_err(|e| Failure::invalid(format!("control tokens: {e}")))?;
        let mut guard = Guard {
            matcher,
            first_len: Vec::with_capacity(secrets.len()),
            heads: HashSet::new(),
            tails: HashSet::new(),
            longest: secrets.iter().map(|s| s.len()).max().unwrap_or(0),
        };
        for secret in secrets {
            guard.first_len.push(secret.chars().next().map_or(0, char::len_utf8));
            for (i, _) in secret.char_indices().skip(1) {
                guard.heads.insert(secret[..i].into());
                guard.tails.insert(secret[i..].into());
            }
        }
        Ok(guard)
    }

    /// Marks every string in `variables`, names of members included.
    pub fn apply(&self, variables: &mut Map<String, Json>) -> Result<Marks, Failure> {
        let mut used = HashSet::new();
        variables.values().for_each(|v| collect(v, &mut used));
        let mut free = noncharacters().filter(|c| !used.contains(c));
        let (Some(inside), Some(end)) = (free.next(), free.next()) else {
            return Err(Failure::invalid("the messages use up all Unicode noncharacters"));
        };
        let marks = Marks { inside, end };
        for value in variables.values_mut() {
            self.mark(value, inside);
        }
        Ok(marks)
    }

    fn mark(&self, value: &mut Json, marker: char) {
        match value {
            Json::String(s) => {
                if let Some(marked) = self.marked(s, marker) {
                    *s = marked;
                }
            }
            Json::Array(items) => items.iter_mut().for_each(|v| self.mark(v, marker)),
            Json::Object(map) => {
                let members = std::mem::take(map);
                for (key, mut member) in members {
                    self.mark(&mut member, marker);
                    map.insert(self.marked(&key, marker).unwrap_or(key), member);
                }
            }
            _ => {}
        }
    }

    /// `text` with its markers, or None when it needs none.
    fn marked(&self, text: &str, marker: char) -> Option<String> {
        let mut places: Vec<usize> = self
            .matcher
            .find_overlapping_iter(text)
            .map(|m| m.start() + self.first_len[m.pattern().as_usize()])
            .collect();
        let near = |i: &usize| *i < self.longest;
        let starts_with_tail =
            text.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(near)
                .any(|i| self.tails.contains(&text[..i]));
        let ends_with_head = text.char_indices().rev().map(|(i, _)| i)
            .take_while(|i| text.len() - i < self.longest)
            .any(|i| self.heads.contains(&text[i..]));
        if starts_with_tail {
            places.push(0);
        }
        if ends_with_head {
            places.push(text.len());
        }
        if places.is_empty() {
            return None;
        }
        places.sort_unstable();
        places.dedup();
        let mut out = String::with_capacity(text.len() + places.len() * marker.len_utf8());
        let mut from = 0;
        for place in places {
            out.push_str(&text[from..place]);
            out.push(marker);
            from = place;
        }
        out.push_str(&text[from..]);
        Some(out)
    }
}

fn collect(value: &Json, used: &mut HashSet<char>) {
    let note = |s: &str, used: &mut HashSet<char>| used.extend(s.chars().filter(|c| is_noncharacter(*c)));
    match value {
        Json::String(s) => note(s, used),
        Json::Array(items) => items.iter().for_each(|v| collect(v, used)),
        Json::Object(map) => map.iter().for_each(|(key, member)| {
            note(key, used);
            collect(member, used);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str) -> String {
        let guard = Guard::new(&["<|end|>", "[/I]", "|>|>"]).ok().expect("valid");
        guard.marked(text, '*').unwrap_or_else(|| text.to_string())
    }

    #[test]
    fn every_occurrence_and_both_ends() {
        assert_eq!(marked("plain"), "plain");
        assert_eq!(marked("a <|end|> b"), "a <*|end|> b");
        assert_eq!(marked("x<|end|>|>y"), "x<*|end|*>|>y");
        assert_eq!(marked("x <|en"), "x <|en*");
        assert_eq!(marked("end|> x"), "*end|> x");
        assert_eq!(marked("["), "[*");
        assert_eq!(marked("]"), "*]");
        assert_eq!(marked(""), "");
    }

    #[test]
    fn noncharacters_in_use_are_avoided_and_all_in_use_is_an_error() {
        let guard = Guard::new(&["<|end|>"]).ok().expect("valid");
        let mut v = Map::new();
        v.insert("a".into(), Json::String("\u{FDD0}<|end|>".into()));
        let marks = guard.apply(&mut v).ok().expect("free ones");
        assert_eq!(marks.inside, '\u{FDD1}');
        assert_eq!(v["a"], "\u{FDD0}<\u{FDD1}|end|>");
        let all: String = noncharacters().collect();
        assert_eq!(all.chars().count(), 66);
        v.insert("b".into(), Json::String(all));
        assert!(guard.apply(&mut v).is_err());
    }
}
