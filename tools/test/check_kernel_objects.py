#!/usr/bin/env python3
"""Vector code may only run where its table was chosen.

Usage: check_kernel_objects.py NM OBJDUMP OBJECT...

Looks at every function of the given object files that contains VEX or EVEX instructions. It must
not be weak (the linker keeps one copy of a weak std:: or template function for the whole program,
perhaps this one), must not be start-up code, and must be in the namespace of a table under x86/ (or of
the loops of `roofline`, which are chosen in the same way). Registers of 512 bits and masks belong to
tables that have AVX-512, tiles and conversions to bf16 to "amx" alone. Tables built on others may use
their parts, never the other way round.
"""
import re
import subprocess
import sys

ALLOWED = re.compile(r"pelton::(kernels|roofline)::(avx2|avx512|vnni|amx)::")
STARTUP = re.compile(r"_GLOBAL__sub_I|__static_initialization|_init\b")
VECTOR = re.compile(r"^\s+[0-9a-f]+:\s+(?:\{\w+\}\s+)?v[a-z]\w+\s|%[yz]mm\d|%k[0-7]|%tmm\d|tilecfg|tilerel")
# What may only be in these namespaces, beside being vector code at all.
NARROWER = [
    ("AVX-512", re.compile(r"%zmm\d|%k[0-7]|%[xy]mm(?:1[6-9]|2\d|3[01])"), re.compile(r"::(avx512|vnni|amx)::")),
    ("VNNI", re.compile(r"\svpdp[bw]"), re.compile(r"::(vnni|amx)::|roofline::avx512::")),
    ("bf16", re.compile(r"\svcvtne2?ps2bf16|\svdpbf16ps"),
     re.compile(r"::amx::|roofline::avx512::")),
    ("tile", re.compile(r"%tmm\d|\s(?:ld|st)tilecfg|\stilerelease"), re.compile(r"::amx::")),
]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbol_kinds(nm, path):
    kinds = {}
    for line in run(nm, path).splitlines():
        parts = line.split()
        if len(parts) == 3:
            kinds[parts[2]] = parts[1]
    return kinds


def vector_functions(objdump, path):
    """Mangled names of functions with VEX or EVEX instructions → indices of NARROWER that occur."""
    found = {}
    name = None
    listing = run(objdump, "-d", "--no-show-raw-insn", path)
    for line in listing.splitlines():
        start = re.match(r"^[0-9a-f]+ <(.+)>:$", line)
        if start:
            name = start.group(1)
        elif name and VECTOR.search(line):
            kinds = found.setdefault(name, set())
            kinds.update(i for i, (_, code, _) in enumerate(NARROWER) if code.search(line))
    return found


def main():
    nm, objdump, *objects = sys.argv[1:]
    failures = []
    functions = 0
    seen = set()
    for path in objects:
        kinds = symbol_kinds(nm, path)
        found = vector_functions(objdump, path)
        names = sorted(found)
        functions += len(names)
        if not names:
            continue
        plain = [re.sub(r"\.(constprop|isra|part|cold|lto_priv).*$", "", n) for n in names]
        demangled = subprocess.run(["c++filt"], input="\n".join(plain), check=True,
                                   capture_output=True, text=True).stdout.splitlines()
        for name, readable in zip(names, demangled):
            kind = kinds.get(name, "?")
            if kind in "WVwvu":
                failures.append(f"{path}: weak symbol with vector code: {readable}")
            if STARTUP.search(readable):
                failures.append(f"{path}: start-up code with vector code: {readable}")
            if not ALLOWED.search(readable):
                failures.append(f"{path}: vector code outside the tables: {readable}")
            for i in sorted(found[name]):
                what, _, allowed = NARROWER[i]
                seen.add(what)
                if not allowed.search(readable):
                    failures.append(f"{path}: {what} code outside its tables: {readable}")
    print("\n".join(failures))
    print(f"{len(objects)} objects, {functions} functions with vector code, {len(failures)} wrong")
    if functions == 0:
        print("no vector code found at all: the check looks at the wrong files")
    unseen = sorted({what for what, _, _ in NARROWER} - seen)
    if unseen:
        print(f"no {', '.join(unseen)} code found: the check does not know it when it sees it")
    return 1 if failures or functions == 0 or unseen else 0


if __name__ == "__main__":
    sys.exit(main())
