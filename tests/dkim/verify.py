"""Verifies every DKIM signature of every *.eml in a folder with dkimpy, without a network.

usage: verify.py FOLDER   (FOLDER/keys.json maps names to TXT records)
prints one JSON object a line: {"file": ..., "results": [true, ...]}
"""
import json
import os
import sys

import dkim


def main(folder):
    with open(os.path.join(folder, "keys.json"), encoding="utf-8") as file:
        keys = json.load(file)

    def txt(name, timeout=5):
        record = keys.get(name.decode().rstrip(".") if isinstance(name, bytes) else name.rstrip("."))
        return record.encode() if record else None

    for name in sorted(os.listdir(folder)):
        if not name.endswith(".eml"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            message = file.read()
        results = []
        count = sum(1 for field, _ in dkim.rfc822_parse(message)[0]
                    if field.lower() == b"dkim-signature")
        for index in range(count):
            try:
                results.append(bool(dkim.DKIM(message, minkey=1024).verify(index, dnsfunc=txt)))
            except dkim.DKIMException as error:
                print(name, error, file=sys.stderr)
                results.append(False)
        print(json.dumps({"file": name, "results": results}))


main(sys.argv[1])
