#!/bin/sh
# PyYAML 6.0.4 refuses a `?` inside a plain text in `{ }`, which is valid YAML 1.1 and 1.2.
#
# `{ when: order.?note }` is a map with one text. PyYAML ends the text before the `?` and then finds no `,`. In block style it reads
# the same text. ruamel.yaml 0.19.1 (a descendant of PyYAML), yaml 2.9.1 and js-yaml 5.5.0 read both.
#
# Seen: see the end. So an expression with `.?` is best written in block style or in quotes: every tool then reads the document alike.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyyaml==6.0.4 ruamel.yaml==0.19.1
npm init -y > npm.log
npm install --silent --no-fund --no-audit --save-exact yaml@2.9.1 js-yaml@5.5.0 >> npm.log
printf '{ when: order.?note }\n' > flow.yaml
printf 'when: order.?note\n' > block.yaml
cat > run.py <<'END'
import json, yaml
from ruamel.yaml import YAML

readers = (("pyyaml", yaml.safe_load), ("ruamel.yaml", lambda text: dict(YAML(typ="safe", pure=True).load(text))))
for style in ("flow", "block"):
    for name, read in readers:
        try:
            seen = json.dumps(read(open(style + ".yaml").read()), separators=(",", ":"))
        except yaml.YAMLError as error:
            seen = f"refused, {error.problem}"
        print(f"{style}: {name}: {seen}")
END
cat > run.mjs <<'END'
import { readFileSync } from 'node:fs';
import * as jsYaml from 'js-yaml';
import YAML from 'yaml';

for (const style of ['flow', 'block'])
  for (const [name, read] of [['yaml', YAML.parse], ['js-yaml', (text) => jsYaml.load(text)]])
    console.log(`${style}: ${name}: ${JSON.stringify(read(readFileSync(style + '.yaml', 'utf8')))}`);
END
venv/bin/python run.py > seen
node run.mjs >> seen
cat seen
diff - seen <<'END'
flow: pyyaml: refused, expected ',' or '}', but got '?'
flow: ruamel.yaml: {"when":"order.?note"}
block: pyyaml: {"when":"order.?note"}
block: ruamel.yaml: {"when":"order.?note"}
flow: yaml: {"when":"order.?note"}
flow: js-yaml: {"when":"order.?note"}
block: yaml: {"when":"order.?note"}
block: js-yaml: {"when":"order.?note"}
END
