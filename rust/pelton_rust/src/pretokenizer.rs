//! Cutting text into words before byte-pair encoding, as the model's own tokenizer does it.
//!
//! The published patterns need one look-ahead, `\s+(?!\S)`: a run of white space leaves its last
//! character to the word that follows. Everything else is regular, so the patterns run on a
//! linear-time automaton (no backtracking on what a client sends) and the look-ahead is done here:
//! a stage's `tail` alternative is `\s+`, and a match of it that stands before another character
//! gives its last character back when it has more than one.
//!
//! Sources: the `pre_tokenizer` section of each family's published tokenizer.json.

use crate::Failure;
use regex_automata::{Anchored, Input, PatternID, meta::Regex};

/// One pass over the text. Matches become words of their own; what lies between them stays too.
struct Stage {
    regex: Regex,
    /// Index of the `\s+` alternative that gives back its last character.
    tail: Option<PatternID>,
    /// Every character is matched, so each search may be anchored where the last one ended.
    covers: bool,
}

pub struct Pretokenizer {
    stages: Vec<Stage>,
}

const GPT2: &[&str] =
    &["'s|'t|'re|'ve|'m|'ll|'d", r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", r"\s+"];
const LLAMA3: &[&str] = &[
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r"[^\r\n\p{L}\p{N}]?\p{L}+",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+",
];
const QWEN2: &[&str] = &[
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r"[^\r\n\p{L}\p{N}]?\p{L}+",
    r"\p{N}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+",
];
const TEKKEN: &[&str] = &[
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"\p{N}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+",
];
const GPT4O: &[&str] = &[
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+",
];
const FALCON_PUNCTUATION: &[&str] = &[r"[\p{P}\$\+<=>\^~\|`]+"];
const DIGIT: &[&str] = &[r"\p{N}"];
const DIGITS: &[&str] = &[r"\p{N}+"];
const DIGIT_TRIPLES: &[&str] = &["[0-9][0-9][0-9]"];
const DEEPSEEK_LETTERS: &[&str] = &[r"\s?\p{L}+"];
const DEEPSEEK_PUNCTUATION: &[&str] = &[r"\s?\p{P}+"];
const NEWLINE: &[&str] = &[r"[\r\n]"];
const CJK: &[&str] = &["[一-龥ࠀ-一가-퟿]+"];
const TRAILING_SPACE: &[&str] = &[r"\s+$"];
const DEEPSEEK3_CJK: &[&str] = &["[一-龥぀-ゟ゠-ヿ]+"];
const DEEPSEEK3: &[&str] = &[
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
    r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
    r" ?[\p{P}\p{S}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+",
];
const BLOOM: &[&str] = &[r" ?[^(\s|.,!?…。，、।۔،)]+"];

/// (names in tokenizer.ggml.pre, stages, whole words of the vocabulary skip the merges)
type Family = (&'static [&'static str], &'static [&'static [&'static str]], bool);
const FAMILIES: &[Family] = &[
    (&["gpt-2", "gpt2", "phi-2", "olmo", "mpt", "jais", "roberta-bpe", "jina-en", "jina-es",
       "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code", "gigachat",
       "granite-docling", "trillion", "modern-bert", "exaone4", "a.x-4.0", "mellum"],
     &[GPT2], false),
    (&["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
     &[DIGIT, GPT2], false),
    (&["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "smaug-bpe", "dbrx"],
     &[LLAMA3], true),
    (&["glm4", "chatglm-bpe", "lfm2"], &[LLAMA3], false),
    (&["qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"], &[QWEN2], false),
    (&["tekken"], &[TEKKEN], true),
    (&["gpt-4o", "llama4"], &[GPT4O], false),
    (&["default"], &[FALCON_PUNCTUATION, GPT2, DIGITS, DIGIT_TRIPLES], false),
    (&["falcon"], &[FALCON_PUNCTUATION, GPT2, DIGIT_TRIPLES], false),
    (&["deepseek-llm"],
     &[NEWLINE, DEEPSEEK_LETTERS, DEEPSEEK_PUNCTUATION, TRAILING_SPACE, CJK, DIGITS], false),
    (&["deepseek-coder"],
     &[NEWLINE, DEEPSEEK_LETTERS, DEEPSEEK_PUNCTUATION, CJK, DIGIT], false),
    (&["deepseek-v3", "hunyuan-dense"], &[&[r"\p{N}{1,3}"], DEEPSEEK3_CJK, DEEPSEEK3], false),
    (&["bloom", "poro-chat", "gpt3-finnish"], &[BLOOM], false),
    (&["viking"], &[BLOOM, DIGIT], false),
];

impl Pretokenizer {
    /// The pre-tokenizer of that name, and whether whole words skip the merges.
    pub fn new(name: &str) -> Result<(Self, bool), Failure> {
        let Some((_, stages, whole_words)) = FAMILIES.iter().find(|f| f.0.contains(&name)) else {
            let known: Vec<&str> = FAMILIES.iter().flat_map(|f| f.0.iter().copied()).collect();
            return Err(Failure::invalid(format!(
                "tokenizer.ggml.pre: \"{}\" is not a known pre-tokenizer (known: {})",
                name.escape_debug(),
                known.join(", ")
            )));
        };
        let stages = stages.iter().map(|patterns| Stage::new(patterns)).collect::<Result<_, _>>()?;
        Ok((Pretokenizer { stages }, *whole_words))
    }

    /// Calls `word` for each word of `text`, in order; together they are the text.
    pub fn split<E>(
        &self,
        text: &str,
        word: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        Self::run(&self.stages, text, word)
    }

    fn run<E>(
        stages: &[Stage],
        text: &str,
        word: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some((first, rest)) = stages.split_first() else {
            return word(text);
        };
        let mut at = 0;
        while at < text.len() {
            let Some((start, end)) = first.next(text, at) else {
                return Self::run(rest, &text[at..], word);
            };
            if start > at {
                Self::run(rest, &text[at..start], word)?;
            }
            Self::run(rest, &text[start..end], word)?;
            at = end;
        }
        Ok(())
    }
}

impl Stage {
    fn new(patterns: &[&str]) -> Result<Self, Failure> {
        let regex = Regex::new_many(patterns)
            .map_err(|e| Failure::internal(format!("pre-tokenizer pattern: {e}")))?;
        let last = patterns.len() - 1;
        let covers = last > 0 && patterns[last] == r"\s+";
        // DeepSeek's third stage has the tail but leaves digits and marks to the gaps.
        let anchored = covers && !patterns.iter().any(|p| p.contains(r"\p{S}"));
        let tail = if covers { Some(PatternID::must(last)) } else { None };
        Ok(Stage { regex, tail, covers: anchored })
    }

    /// The next match at or after `at`: never empty, inside `text`.
    fn next(&self, text: &str, at: usize) -> Option<(usize, usize)> {
        let input = Input::new(text)
            .range(at..)
            .anchored(if self.covers { Anchored::Yes } else { Anchored::No });
        let found = self.regex.search(&input)?;
        let (start, mut end) = (found.start(), found.end());
        if Some(found.pattern()) == self.tail && end < text.len() {
            let last = text[start..end].chars().next_back().map_or(0, char::len_utf8);
            if end - last > start {
                end -= last;
            }
        }
        if end > start { Some((start, end)) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pre: &str, text: &str) -> Vec<String> {
        let (p, _) = Pretokenizer::new(pre).ok().expect("known");
        let mut out = Vec::new();
        p.split::<()>(text, &mut |w| {
            out.push(w.to_string());
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn white_space_leaves_its_last_character_to_the_next_word() {
        assert_eq!(words("gpt-2", "a   b"), ["a", "  ", " b"]);
        assert_eq!(words("gpt-2", "a   "), ["a", "   "]);
        assert_eq!(words("gpt-2", "a \n"), ["a", " \n"]);
        assert_eq!(words("gpt-2", "a\nb"), ["a", "\n", "b"]);
        assert_eq!(words("llama3", "a  \n\n  b"), ["a", "  \n\n", " ", " b"]);
        assert_eq!(words("llama3", "I'LL 12345"), ["I", "'LL", " ", "123", "45"]);
    }

    #[test]
    fn stages_run_inside_one_another() {
        assert_eq!(words("smollm", "x 12 y"), ["x", " ", "1", "2", " y"]);
        assert_eq!(words("qwen2", "x 12"), ["x", " ", "1", "2"]);
    }

    #[test]
    fn every_family_gives_the_text_back() {
        let text = "Hi  there, I'm 12345!\r\n\t  日本語テキスト e\u{301}\u{301} <|x|>  \u{1F600}\u{200D}\u{1F600} \u{0} end ";
        for family in FAMILIES {
            for name in family.0 {
                assert_eq!(words(name, text).concat(), text, "{name}");
                assert!(words(name, text).iter().all(|w| !w.is_empty()), "{name}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let e = Pretokenizer::new("gpt-9").err().expect("unknown");
        assert!(e.text.contains("\"gpt-9\"") && e.text.contains("llama-bpe"), "{}", e.text);
    }
}
