"""Drives wstest against 127.0.0.1:PORT and judges its reports. Python 2.7, like the suite itself.

Usage: suite.py WORK PORT [CASE ...]; WORK/site holds the installed suite.
"""

from __future__ import print_function

import json
import os
import shutil
import site
import sys

FAMILIES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
# How many cases these families have: fewer would mean that some did not run.
CASES = 301
GOOD = ("OK", "INFORMATIONAL")


def drive(work, port, cases):
    """Runs the cases and gives their reports by case."""
    reports = os.path.join(work, "reports")
    shutil.rmtree(reports, ignore_errors=True)
    spec = os.path.join(work, "fuzzingclient.json")
    with open(spec, "w") as out:
        json.dump({
            "outdir": reports,
            "servers": [{"agent": "ws_echo", "url": "ws://127.0.0.1:%s" % port}],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }, out)
    # Namespace packages need the site's .pth files.
    site.addsitedir(os.path.join(work, "site"))
    from autobahntestsuite import wstest
    sys.argv = ["wstest", "--mode", "fuzzingclient", "--spec", spec]
    log, stdout = open(os.path.join(work, "wstest.log"), "w"), sys.stdout
    sys.stdout = log
    try:
        wstest.run()
    finally:
        sys.stdout = stdout
        log.close()
    with open(os.path.join(reports, "index.json")) as index:
        return json.load(index)["ws_echo"]


def main():
    work, port, cases = sys.argv[1], sys.argv[2], sys.argv[3:]
    results = drive(work, port, cases or FAMILIES)
    bad = 0
    counts = {}
    for case in sorted(results, key=lambda case: [int(part) for part in case.split(".")]):
        result = results[case]
        verdict = result["behavior"]
        counts[verdict] = counts.get(verdict, 0) + 1
        if verdict not in GOOD or result["behaviorClose"] not in GOOD:
            bad += 1
            print("case %s: %s, close %s (code %s), see %s" % (
                case, verdict, result["behaviorClose"], result["remoteCloseCode"],
                os.path.join(work, "reports", result["reportfile"])))
    print("autobahn: %d cases: %s" % (
        len(results), ", ".join("%d %s" % (counts[key], key) for key in sorted(counts))))
    if not cases and len(results) != CASES:
        print("autobahn: %d cases were expected" % CASES)
        bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
