"""docs/reference/options.md is what the program prints of itself, on any machine."""
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "options.md"


def pelton(*words):
    env = {**os.environ, "HOME": "/nonexistent", "XDG_STATE_HOME": "", "XDG_CACHE_HOME": ""}
    return subprocess.run([os.environ["PELTON_BIN"], *words], capture_output=True, text=True,
                          check=True, env=env).stdout


def main():
    printed = pelton("reference")
    if "--write" in sys.argv:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(printed)
    if PAGE.read_text() != printed:
        sys.exit("docs/reference/options.md is out of date; this mends it:\n"
                 "  build/release/bin/pelton reference > docs/reference/options.md")
    schema = json.loads(pelton("reference", "schema"))
    assert schema["properties"]["port"]["maximum"] == 65535, schema["properties"]["port"]
    assert schema["additionalProperties"] is False
    for shell in ("bash", "zsh", "fish"):
        assert "max-running" in pelton("completion", shell), shell
    for shell in ("bash",):
        subprocess.run([shell, "-n"], input=pelton("completion", shell), text=True, check=True)
    print("options page, schema and completion agree with the program")


main()
