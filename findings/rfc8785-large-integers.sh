#!/bin/sh
# RFC 8785 (canonical JSON) in three libraries: jcs 0.2.1 and rfc8785 0.1.4 for Python, canonicalize 3.0.0 for JavaScript.
#
# The RFC writes numbers as ECMAScript does. So 7 and 7.0 have one canonical form, as have 0.0 and -0.0, and integers above 2^53
# become the nearest double: two different documents can have the same hash. What the libraries do with such an integer differs: one
# refuses it, the others round it and say nothing.
#
# Seen: see the end. So the canonical form alone is no identity for a program that tells integers and doubles apart.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check jcs==0.2.1 rfc8785==0.1.4
npm init -y > npm.log
npm install --silent --no-fund --no-audit --save-exact canonicalize@3.0.0 >> npm.log
cat > run.py <<'END'
import json, jcs, rfc8785

for text in ("7", "7.0", "-0.0", "9007199254740992", "9007199254740993"):
    for name, canonical in (("jcs", jcs.canonicalize), ("rfc8785", rfc8785.dumps)):
        try:
            seen = canonical(json.loads(text)).decode()
        except rfc8785.IntegerDomainError:
            seen = "refused"
        print(f"{name}: {text} -> {seen}")
END
cat > run.mjs <<'END'
import canonicalize from 'canonicalize';

for (const text of ['7', '7.0', '-0.0', '9007199254740992', '9007199254740993'])
  console.log(`canonicalize: ${text} -> ${canonicalize(JSON.parse(text))}`);
END
venv/bin/python run.py > seen
node run.mjs >> seen
cat seen
diff - seen <<'END'
jcs: 7 -> 7
rfc8785: 7 -> 7
jcs: 7.0 -> 7
rfc8785: 7.0 -> 7
jcs: -0.0 -> 0
rfc8785: -0.0 -> 0
jcs: 9007199254740992 -> 9007199254740992
rfc8785: 9007199254740992 -> refused
jcs: 9007199254740993 -> 9007199254740992
rfc8785: 9007199254740993 -> refused
canonicalize: 7 -> 7
canonicalize: 7.0 -> 7
canonicalize: -0.0 -> 0
canonicalize: 9007199254740992 -> 9007199254740992
canonicalize: 9007199254740993 -> 9007199254740992
END
