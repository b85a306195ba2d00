#!/usr/bin/env python3
"""Writes 10,000 strings and their token ids under the reference tokenizers.

Usage: make_tokens.py SMOLLM2.gguf GEMMA3.gguf OUT_FOLDER     (formats: tests/golden/README.md)
"""
import random
import struct
import sys
import unicodedata

import gguf

import tokenizers_ref

COUNT = 10_000
SEED = 20_240_607

WORDS = """the of and to in is that it was for on are with as his they at be this from have or by one
had not but what all were when we there can an your which their said if do will each about how up out
them then she many some so these would other into has more her two like him see time could no make
than first been its who now people my made over did down only way find use may water long little very
after words called just where most know Internationalisation antidisestablishmentarianism
O'Brien naïve café résumé coöperate don't I'm we'll they've HE'S you'd ISN'T it's James' rock'n'roll
GPU CPU HTTPServer snake_case camelCase kConstantName x86_64 utf-8 v1.2.3 e.g. i.e. U.S.A. No.""".split()
CODE = [
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\n}", "def f(x):\n    return x ** 2 + 1  # sq\n",
    "SELECT name, COUNT(*) FROM users WHERE age >= 21 GROUP BY name;", "let v: Vec<u8> = vec![0; 16];",
    "#include <vector>\nint main() { return 0; }\n", "<div class=\"a b\"><p>Hi &amp; bye</p></div>",
    "{\"key\": [1, 2.5, -3e10, null, true], \"s\": \"\\u00e9\\n\"}", "git commit -m 'fix: a bug' && git push",
    "if (a && !b || c) { x <<= 2; y >>= 1; z ^= ~w; }", "https://example.org/a/b?c=d&e=%20f#g",
    "console.log(`total: ${a + b}`);", "fn main() -> Result<(), Box<dyn Error>> {\n    Ok(())\n}",
    "| a | b |\n|---|---|\n| 1 | 2 |\n", "```python\nprint('hello')\n```\n", "\\frac{a}{b} \\sum_{i=0}^{n} x_i^2",
    "    if x:\n        if y:\n            pass\n", "a=1;b=2;c=a+b", "/* comment */ // another", "0xDEADBEEF 0b1010 1_000_000",
    "std::map<std::string, std::vector<int>> m;", "[link](http://a.b/c_(d)) **bold** _it_ ~~no~~",
]
EMOJI = ["😀", "😂", "❤️", "👍", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "🇯🇵", "🧑🏿‍🚀", "🤷‍♀️", "☃", "☃️", "✨", "🫠", "🪿", "1️⃣", "©", "™️",
         "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🎉", "🔥", "💩", "♻", "⚡", "🀄", "🃏"]
SCRIPTS = {
    "cjk": "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从學習漢字龍龜々〇",
    "kana": "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをんがぎぐげござじずぜぞぱぴぷぺぽっゃゅょアイウエオカキクケコサシスセソー、。「」・",
    "hangul": "안녕하세요한국어문장입니다오늘날씨가좋은데어디로갈까요가나다라마바사아자차카타파하ㄱㄴㅏㅑ",
    "arabic": "السلامعليكممرحبابالعالمكيفحالكاليومأإآؤئىةءًٌٍَُِّْ،؛؟ـ٠١٢٣٤٥٦٧٨٩",
    "hebrew": "שלוםעולםמהשלומךהיוםאבגדהוזחטיכלמנסעפצקרשתםןףץךְִֵֶַָ",
    "cyrillic": "приветмиркакделасегодняхорошаяпогодаАБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯїєґ",
    "greek": "αβγδεζηθικλμνξοπρστυφχψωΑΒΓΔΕΖΗΘάέήίόύώϊϋ",
    "devanagari": "नमस्तेदुनियाआपकैसेहैंआजमौसमअच्छाहै।०१२३४५६७८९ािीुूेैोौ्ं",
    "thai": "สวัสดีชาวโลกวันนี้อากาศดีมากไปไหนมา๐๑๒๓๔๕๖๗๘๙",
    "latin": "àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿœšžğışłąęćńśźżőűřěůđ",
    "math": "∀∃∈∉∑∏√∞∫≈≠≤≥±×÷→←↔⇒⇔∂∇αβ²³¹½¼¾⅓⁰ⁿ₀₁₂ℝℕℤ𝔸𝒳𝟘𝟙①②Ⅳⅻ㊀㋿",
    "punctuation": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…–—‘’“”«»¿¡·•§¶†‡°",
}
CONTROLS = [chr(c) for c in range(0x20)] + [chr(c) for c in range(0x7F, 0xA1)] + [
    "\u00ad", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2060",
    "\u2066", "\u2069", "\ufeff", "\ufffd", "\ufffe", "\uffff", "\U000e0001", "\U0010ffff", "\ue000"]
SPACES = [" ", " ", " ", " ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2003", "\u1680", "\u0085", "\v", "\f"]
MARKERS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<bos>", "<eos>", "<pad>", "<unk>", "<start_of_turn>",
           "<end_of_turn>", "<0x0A>", "<0xFF>", "<unused3>", "[INST]", "</s>", "<s>", "<table>", "</td>", "<h1>",
           "<start_of_image>", "[multimodal]", "<repo_name>", "▁", "▁▁", "Ġ", "ĊĊ", "##ing", "<mask>"]


def assigned(rng):
    while True:
        plane = rng.choice([0x800, 0x3000, 0x10000, 0x10000, 0x20000, 0x110000])
        c = chr(rng.randrange(plane))
        if unicodedata.category(c) not in ("Cs", "Cn"):
            return c


def words(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n))


def sentence(rng):
    s = words(rng, rng.randint(3, 14))
    return s[0].upper() + s[1:] + rng.choice([".", "!", "?", "...", ".\n", ";", ","])


def script(rng):
    name = rng.choice(sorted(SCRIPTS))
    letters = SCRIPTS[name]
    s = "".join(rng.choice(letters) for _ in range(rng.randint(1, 24)))
    if rng.random() < 0.4:
        at = rng.randrange(len(s) + 1)
        s = s[:at] + " " + s[at:]
    return unicodedata.normalize(rng.choice(["NFC", "NFD", "NFC"]), s)


def spaces(rng):
    out = []
    for _ in range(rng.randint(1, 4)):
        out.append(rng.choice(SPACES) * rng.choice([1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 40]))
        if rng.random() < 0.7:
            out.append(rng.choice(WORDS))
    return "".join(out)


def digits(rng):
    kind = rng.randrange(5)
    if kind == 0:
        return str(rng.randrange(10 ** rng.randint(1, 18)))
    if kind == 1:
        return f"{rng.uniform(-1e6, 1e6):,.{rng.randint(0, 6)}f}"
    if kind == 2:
        return f"{rng.randint(1, 12)}:{rng.randint(0, 59):02d} on {rng.randint(1, 31)}/{rng.randint(1, 12)}/{rng.randint(1900, 2100)}"
    if kind == 3:
        return "".join(rng.choice("٠١٢३४५０１２³²¹½⅓Ⅷ௧൧0123") for _ in range(rng.randint(1, 10)))
    return rng.choice(WORDS) + str(rng.randrange(1000)) + rng.choice(WORDS)


def one(rng):
    kind = rng.randrange(13)
    if kind == 0:
        return sentence(rng)
    if kind == 1:
        return "".join(rng.choice(EMOJI) + rng.choice(["", "", " "]) for _ in range(rng.randint(1, 8)))
    if kind in (2, 3):
        return script(rng)
    if kind == 4:
        s = rng.choice(CODE)
        a, b = sorted(rng.randrange(len(s) + 1) for _ in range(2))
        return s if rng.random() < 0.3 else s[a:b]
    if kind == 5:
        return "".join(rng.choice(CONTROLS) + rng.choice(["", "", "a", " "]) for _ in range(rng.randint(1, 12)))
    if kind == 6:
        return spaces(rng)
    if kind == 7:
        return digits(rng)
    if kind == 8:
        return "".join(assigned(rng) for _ in range(rng.randint(1, 12)))
    if kind == 9:
        return rng.choice(["", " ", words(rng, 1)]) + rng.choice(MARKERS) + rng.choice(["", " ", words(rng, 2)])
    if kind == 10:
        return rng.choice(WORDS + list("aeaé漢😀-=_ .\n")) * rng.randint(2, 40)
    return "".join(one(rng) for _ in range(rng.randint(2, 4)))


def strings():
    """The same list at every call: the test may regenerate it, or read the stored file."""
    rng = random.Random(SEED)
    out = ["", " ", "  ", "\n", "a", "Hello world", " Hello", "Hello ", "\u0000", "\ufeff"]
    seen = set(out)
    while len(out) < COUNT:
        s = one(rng)[:400]
        if s not in seen:
            seen.add(s)
            out.append(s)
    return out


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def main():
    smollm2, gemma3, folder = sys.argv[1:]
    texts = strings()
    with open(f"{folder}/tokens.strings.bin", "wb") as f:
        f.write(b"PLTNSTR1" + struct.pack("<I", len(texts)))
        for s in texts:
            b = s.encode()
            f.write(varint(len(b)) + b)
    for name, path in (("smollm2", smollm2), ("gemma3", gemma3)):
        meta = {k: v.contents() for k, v in gguf.GGUFReader(path).fields.items()}
        if meta["tokenizer.ggml.model"] == "gpt2":
            t = tokenizers_ref.byte_bpe(meta)
            ids = [t.encode(s).ids for s in texts]
            back = sum(t.decode(i, skip_special_tokens=False) == s for i, s in zip(ids, texts))
        else:
            t = tokenizers_ref.sentence_piece(meta)
            ids = [t.encode(s) for s in texts]
            back = sum(t.decode(i) == s for i, s in zip(ids, texts))
        with open(f"{folder}/tokens.{name}.bin", "wb") as f:
            f.write(b"PLTNTOK1" + struct.pack("<I", len(ids)))
            for row in ids:
                f.write(varint(len(row)) + b"".join(varint(i) for i in row))
        print(f"{name}: {len(ids)} strings, {sum(map(len, ids))} ids, {back} decode to themselves")


if __name__ == "__main__":
    main()
