"""Days as people say them."""

from __future__ import annotations

from datetime import date

import pytest

from archive.search.dates import days_in

TODAY = date(2026, 11, 24)  # a Tuesday
SAID = """
tänään                            2026-11-24 2026-11-24
TANAAN                            2026-11-24 2026-11-24
eilen                             2026-11-23 2026-11-23
toissapäivänä                     2026-11-22 2026-11-22
viime viikolla                    2026-11-16 2026-11-22
tällä viikolla                    2026-11-23 2026-11-29
toissa viikolla                   2026-11-09 2026-11-15
viime tiistaina                   2026-11-17 2026-11-17
tiistaina                         2026-11-24 2026-11-24
viime maanantaina                 2026-11-23 2026-11-23
viime viikon perjantaina          2026-11-20 2026-11-20
viikko sitten                     2026-11-16 2026-11-18
kaksi viikkoa sitten              2026-11-09 2026-11-11
3 päivää sitten                   2026-11-21 2026-11-21
kuukausi sitten                   2026-10-18 2026-11-01
viimeiset 7 päivää                2026-11-17 2026-11-24
viimeisen viikon aikana           2026-11-17 2026-11-24
viime kuussa                      2026-10-01 2026-10-31
tässä kuussa                      2026-11-01 2026-11-30
viikolla 12                       2026-03-16 2026-03-22
viikolla 52                       2025-12-22 2025-12-28
viime vuonna                      2025-01-01 2025-12-31
vuonna 2025                       2025-01-01 2025-12-31
maaliskuussa                      2026-03-01 2026-03-31
marraskuussa                      2026-11-01 2026-11-30
joulukuussa                       2025-12-01 2025-12-31
maaliskuu 2026                    2026-03-01 2026-03-31
helmikuussa 2024                  2024-02-01 2024-02-29
heinä-elokuussa                   2026-07-01 2026-08-31
12.3.                             2026-03-12 2026-03-12
12. 3.                            2026-03-12 2026-03-12
30.12.                            2025-12-30 2025-12-30
29.2.                             2024-02-29 2024-02-29
12.3.2025                         2025-03-12 2025-03-12
12.3.25                           2025-03-12 2025-03-12
12. maaliskuuta                   2026-03-12 2026-03-12
2026-03-12                        2026-03-12 2026-03-12
3/2026                            2026-03-01 2026-03-31
12.3.–15.3.                       2026-03-12 2026-03-15
12.3. - 15.3.2025                 2025-03-12 2025-03-15
12.-15.3.                         2026-03-12 2026-03-15
15.3.-12.3.                       2026-03-12 2026-03-15
20.12.–5.1.                       2025-12-20 2026-01-05
12.3. ja 15.3. välillä            2026-03-12 2026-03-15
maaliskuusta toukokuuhun          2026-03-01 2026-05-31
maanantaista keskiviikkoon        2026-11-23 2026-11-25
12.3. tai 15.3.                   2026-03-12 2026-03-15
eilen OR today                    2026-11-23 2026-11-24
ti 24.11.2026 klo 16.05           2026-11-24 2026-11-24
ke 12.3.                          2026-03-12 2026-03-12
eilen klo 9                       2026-11-23 2026-11-23
ennen 12.3.                       -          2026-03-11
12.3. alkaen                      2026-03-12 -
12.3. jälkeen                     2026-03-13 -
12.3. asti                        -          2026-03-12
12.3.-                            2026-03-12 -
pvm:eilen                         2026-11-23 2026-11-23
aika: viime viikolla              2026-11-16 2026-11-22
alkaen:1.3.                       2026-03-01 -
today                             2026-11-24 2026-11-24
yesterday                         2026-11-23 2026-11-23
the day before yesterday          2026-11-22 2026-11-22
last week                         2026-11-16 2026-11-22
last Tuesday                      2026-11-17 2026-11-17
on Monday                         2026-11-23 2026-11-23
Friday last week                  2026-11-20 2026-11-20
a week ago                        2026-11-16 2026-11-18
two months ago                    2026-09-18 2026-10-02
last 30 days                      2026-10-25 2026-11-24
last month                        2026-10-01 2026-10-31
in March                          2026-03-01 2026-03-31
March 2026                        2026-03-01 2026-03-31
12 March                          2026-03-12 2026-03-12
the 12th of March 2025            2025-03-12 2025-03-12
March 12, 2026                    2026-03-12 2026-03-12
12 Sept                           2026-09-12 2026-09-12
from 12 March to 15 March         2026-03-12 2026-03-15
between 12.3. and 15.3.           2026-03-12 2026-03-15
before 12 March                   -          2026-03-11
since yesterday                   2026-11-23 -
until 12.3.                       -          2026-03-12
in 2026                           2026-01-01 2026-12-31
"""
NOT_SAID = """
-eilen
"eilen"
“viime viikolla”
aihe:eilen
eilen-illalla
31.4.
99.99.
1.2.3.4
2026-00012
2026
040 123 4567
643000000000000016
may I ask
march
april@example.com
week 60
12.3
kuu
versio 1.2
lasku nro 12.34567
0001-01-01
9999-12-31
"""


@pytest.mark.parametrize("line", SAID.strip().splitlines())
def test_a_time_is_read_as_the_days_that_are_meant(line: str) -> None:
    typed, first, last = line.rsplit(maxsplit=2)
    typed = typed.strip()
    (said,) = days_in(typed, TODAY)
    assert (said.start, said.stop) == (0, len(typed))
    assert [str(day) if day else "-" for day in (said.first, said.last)] == [first, last]


@pytest.mark.parametrize("typed", NOT_SAID.strip().splitlines())
def test_what_is_no_time_stays_what_it_is(typed: str) -> None:
    assert days_in(typed, TODAY) == []


def test_a_time_is_found_among_other_words() -> None:
    typed = "lasku viime viikolla puh:040 123 4567, ennen 12.3."
    assert [typed[said.start : said.stop] for said in days_in(typed, TODAY)] == [
        "viime viikolla",
        "ennen 12.3.",
    ]


@pytest.mark.parametrize("today", [date.min, date.max, date(2024, 2, 29)])
def test_the_calendar_may_end_anywhere(today: date) -> None:
    for line in SAID.strip().splitlines():
        days_in(line.rsplit(maxsplit=2)[0], today)
