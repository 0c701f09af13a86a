"""`make chaos`: intake broken at random moments, again and again, over every source.

Starts its own embedded parts in a temporary home. The seed is printed; a run that was interrupted
goes on with `--seed S --from N`.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from archive.assembly import assemble
from archive.config import Config
from archive.db import migrate
from archive.embedded import Parts
from tests.chaos.rounds import FAULTS, SOURCES, Chaos, Round, chaos, plan

KILLS, OTHERS = 204, 10  # rounds of kill -9; of each other fault


def main() -> int:
    """Runs what was asked for; 0 if everything held."""
    asked = _arguments()
    rounds = [r for r in plan(asked.kills, asked.others) if r.number >= asked.from_]
    if asked.source:
        rounds = [r for r in rounds if r.source in asked.source]
    if asked.fault:
        rounds = [r for r in rounds if r.fault in asked.fault]
    rounds.sort(key=lambda r: (FAULTS.index(r.fault), SOURCES.index(r.source), r.number))
    print(f"seed {asked.seed}: {len(rounds)} runs", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="archive-chaos-") as folder:
        home = Path(folder) / "home"
        with Parts(home, say=lambda words: print(f"… {words}", flush=True)) as parts:
            migrate(parts.database_url)
            config = replace(
                Config(home=home, keys_dir=home / "keys"),
                database_url=parts.database_url,
                store_url=parts.store_url,
                store_access_key=parts.access_key,
                store_secret_key=parts.secret_key,
            )
            assembly = assemble(config)
            try:
                with chaos(assembly, Path(folder), seed=asked.seed) as broken:
                    return _run(broken, rounds, began)
            finally:
                assembly.close()


def _run(broken: Chaos, rounds: list[Round], began: float) -> int:
    def said(one: Round, seconds: float) -> None:
        print(f"{one.number:>4} {one.source:<11} {one.fault:<16} {seconds:5.1f} s", flush=True)

    try:
        broken.run(rounds, said)
        checked = broken.verify()
    except AssertionError as error:
        print(f"BROKEN: {error}", file=sys.stderr)
        return 1
    finally:
        _summary(broken, time.monotonic() - began)
    print(f"{checked} recordings read back at the end: none lost, none twice, no object left over")
    return 0


def _summary(broken: Chaos, seconds: float) -> None:
    tally = broken.tally
    for fault in FAULTS:
        counts = {s: tally.runs[s, fault] for s in SOURCES if tally.runs[s, fault]}
        if counts:
            print(f"{fault:<16} {sum(counts.values()):>4}: "
                  + ", ".join(f"{name} {n}" for name, n in counts.items()))  # fmt: skip
    met = Counter(tally.refused).most_common()
    print("senders met: " + (", ".join(f"{what} {n}" for what, n in met) or "nothing"))
    print(f"{sum(tally.runs.values())} runs, {tally.recordings} recordings, "
          f"{tally.orphans} objects swept, {seconds:.0f} s")  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=…", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--kills", type=int, default=KILLS, help="rounds of kill -9")
    parser.add_argument("--others", type=int, default=OTHERS, help="rounds of each other fault")
    parser.add_argument("--from", dest="from_", type=int, default=0, help="first round's number")
    parser.add_argument("--source", action="append", choices=SOURCES, help="only this; repeatable")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this; repeatable")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
