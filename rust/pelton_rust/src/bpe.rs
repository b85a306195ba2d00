//! Byte-level byte-pair encoding on `tokenizers`' BPE model.

use crate::{Failure, pretokenizer::Pretokenizer};
use ahash::AHashMap;
use std::borrow::Cow;
use tokenizers::{Model, models::bpe::BPE};
use unicode_normalization_alignments::UnicodeNormalization;

/// Words remembered a thread; an entry is a short word and its ids.
const CACHED_WORDS: usize = 10_000;

/// A longer word is cut here, which bounds the memory of merging (about 60 bytes a byte) and changes
/// nothing for text that anyone would write.
const WORD_BYTES_MAX: usize = 1 << 20;

pub struct Bpe {
    model: BPE,
    pretokenizer: Pretokenizer,
    /// GPT-2's letter for each byte.
    letters: [char; 256],
    /// Text becomes NFC first: Qwen's tokenizers do so, and nothing else in their files tells.
    nfc: bool,
}

/// The pre-tokenizers of tokenizers with an NFC normalizer.
const NFC: &[&str] = &["qwen2"];

/// GPT-2's printable spelling of bytes: printable Latin-1 stands for itself, the other bytes, in
/// order, for U+0100 upwards.
fn byte_letters() -> [char; 256] {
    let mut next = 0x100u32;
    std::array::from_fn(|b| {
        let own = matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if own { b as u32 } else { next };
        next += u32::from(!own);
        char::from_u32(code).expect("below the surrogates")
    })
}

impl Bpe {
    pub fn new(pieces: &[(&str, u32)], merges: &[&str], pre: &str) -> Result<Self, Failure> {
        let (pretokenizer, whole_words) = Pretokenizer::new(pre)?;
        let vocab: AHashMap<String, u32> =
            pieces.iter().map(|(text, id)| (text.to_string(), *id)).collect();
        let letters = byte_letters();
        // The library names a piece that is not in the vocabulary; what it does not check is that a
        // merge is no longer than the longest piece.
        let longest = pieces.iter().map(|(text, _)| text.len()).max().unwrap_or(0);
        let mut pairs = Vec::with_capacity(merges.len());
        for (i, merge) in merges.iter().enumerate() {
            let parts = merge.split_once(' ').filter(|(_, right)| !right.contains(' '));
            let Some((left, right)) = parts else {
                return Err(Failure::invalid(format!(
                    "tokenizer.ggml.merges[{i}]: not two pieces with one space between"
                )));
            };
            if left.len() + right.len() > longest {
                return Err(Failure::invalid(format!(
                    "tokenizer.ggml.merges[{i}]: makes a piece that is not in the vocabulary"
                )));
            }
            pairs.push((left.to_string(), right.to_string()));
        }
        let model = BPE::builder()
            .vocab_and_merges(vocab, pairs)
            .cache_capacity(CACHED_WORDS)
            .ignore_merges(whole_words)
            .build()
            .map_err(|e| Failure::invalid(format!("tokenizer.ggml.merges: {e}")))?;
        Ok(Bpe { model, pretokenizer, letters, nfc: NFC.contains(&pre) })
    }

    /// Appends the ids of `text`. A byte whose letter the vocabulary lacks gives no id, as in the
    /// published tokenizers (SmolLM2 lacks 0x04, for one).
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), Failure> {
        let text = if self.nfc && !text.is_ascii() {
            Cow::Owned(text.nfc().map(|(c, _)| c).collect::<String>())
        } else {
            Cow::Borrowed(text)
        };
        let mut spelled = String::new();
        self.pretokenizer.split(&text, &mut |word| {
            for part in word.as_bytes().chunks(WORD_BYTES_MAX) {
                spelled.clear();
                spelled.extend(part.iter().map(|b| self.letters[*b as usize]));
                let tokens = self
                    .model
                    .tokenize(&spelled)
                    .map_err(|e| Failure::internal(format!("byte-pair encoding: {e}")))?;
                ids.extend(tokens.iter().map(|t| t.id));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_gpt2s() {
        let l = byte_letters();
        assert_eq!((l[0], l[32], l[b'a' as usize], l[0x7f], l[0xad]), ('Ā', 'Ġ', 'a', 'ġ', 'Ń'));
    }

    fn bytes_and(extra: &[&str]) -> Vec<(String, u32)> {
        byte_letters()
            .iter()
            .map(|c| c.to_string())
            .chain(extra.iter().map(|s| s.to_string()))
            .zip(0..)
            .collect()
    }

    #[test]
    fn merges_in_order_of_rank() {
        let vocab = bytes_and(&["ab", "bc", "abc"]);
        let vocab: Vec<(&str, u32)> = vocab.iter().map(|(s, i)| (s.as_str(), *i)).collect();
        let bpe = Bpe::new(&vocab, &["b c", "a b", "a bc"], "gpt-2").ok().expect("valid");
        let mut ids = Vec::new();
        bpe.encode("abc", &mut ids).ok().expect("encodes");
        assert_eq!(ids, [258]);
    }

    #[test]
    fn qwens_text_is_composed_first() {
        let vocab = bytes_and(&["Ã©"]);
        let vocab: Vec<(&str, u32)> = vocab.iter().map(|(s, i)| (s.as_str(), *i)).collect();
        for (pre, one) in [("qwen2", true), ("deepseek-r1-qwen", false), ("gpt-2", false)] {
            let bpe = Bpe::new(&vocab, &["Ã ©"], pre).ok().expect("valid");
            let mut ids = Vec::new();
            bpe.encode("e\u{301}", &mut ids).ok().expect("encodes");
            assert_eq!(ids == [256], one, "{pre}: {ids:?}");
        }
    }

    #[test]
    fn merges_that_do_not_fit_are_named() {
        let vocab = bytes_and(&["ab"]);
        let vocab: Vec<(&str, u32)> = vocab.iter().map(|(s, i)| (s.as_str(), *i)).collect();
        for (merge, word) in [("a c", "`ac`"), ("a", "one space"), ("a b c", "one space"), ("ab a", "not in")] {
            let e = Bpe::new(&vocab, &[merge], "gpt-2").err().expect("refused");
            assert!(e.text.contains(word), "{}", e.text);
        }
    }
}
