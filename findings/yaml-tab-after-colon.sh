#!/bin/sh
# A tab between `key:` and its value: YAML 1.2 allows it, and readers disagree.
#
# A tab may not indent, but it may separate (rule s-separate-in-line). yaml 2.9.1 and js-yaml 5.5.0 take it for a blank; PyYAML 6.0.4 and
# the pure reader of ruamel.yaml 0.19.1 refuse it, even before a comment. So the same document is valid for one half of an author's tools.
#
# Seen: see the end.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyyaml==6.0.4 ruamel.yaml==0.19.1
npm init -y > npm.log
npm install --silent --no-fund --no-audit --save-exact yaml@2.9.1 js-yaml@5.5.0 >> npm.log
cat > run.py <<'END'
import yaml
from ruamel.yaml import YAML

readers = (("pyyaml", yaml.safe_load), ("ruamel.yaml", lambda text: YAML(typ="safe", pure=True).load(text)))
for text in ("a:\tb", "a: \tb", "a: b\t# c"):
    for name, read in readers:
        try:
            seen = "reads " + read(text)["a"]
        except Exception as error:
            seen = "refused, " + error.problem
        print(f"{name}: {text!r}: {seen}")
END
cat > run.mjs <<'END'
import * as jsYaml from 'js-yaml';
import YAML from 'yaml';

for (const text of ['a:\tb', 'a: \tb', 'a: b\t# c'])
  for (const [name, read] of [['yaml', YAML.parse], ['js-yaml', (text) => jsYaml.load(text)]])
    console.log(`${name}: ${JSON.stringify(text)}: reads ${read(text).a}`);
END
venv/bin/python run.py > seen
node run.mjs >> seen
cat seen
diff - seen <<'END'
pyyaml: 'a:\tb': refused, found character '\t' that cannot start any token
ruamel.yaml: 'a:\tb': refused, found character '\t' that cannot start any token
pyyaml: 'a: \tb': refused, found character '\t' that cannot start any token
ruamel.yaml: 'a: \tb': refused, found character '\t' that cannot start any token
pyyaml: 'a: b\t# c': refused, found character '\t' that cannot start any token
ruamel.yaml: 'a: b\t# c': refused, found character '\t' that cannot start any token
yaml: "a:\tb": reads b
js-yaml: "a:\tb": reads b
yaml: "a: \tb": reads b
js-yaml: "a: \tb": reads b
yaml: "a: b\t# c": reads b
js-yaml: "a: b\t# c": reads b
END
