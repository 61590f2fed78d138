"""The pure parts of the bench: figures, rows, the table, and the texts that it reads."""

from __future__ import annotations

import time

import pytest

from bench.compose import candidate_major, mirror_in
from bench.counting_proxy import requests_in
from bench.figures import Figure, added, each, exponent, further, ratio, wall
from bench.growth import STAGES, listed, sizes
from bench.inputs import CHANGED, compose, fleet, one_host, with_variables
from bench.measuring import CommandFailed, Usage
from bench.readme import SECTION, section
from bench.recording import Recording, Traffic
from bench.rows import Row, compared
from bench.table import full_table, short_table


def usages(*cpu: float) -> list[Usage]:
    """With ten times as much wall."""
    return [Usage(c, 10 * c, 20.0) for c in cpu]


def recording(**works: list[Usage]) -> Recording:
    recorded = Recording(ends=time.monotonic() + 1e6)
    for work, used in works.items():
        name, _, who = work.partition("__")
        recorded._usages[name, who] = used
    return recorded


def test_a_ratio_is_made_of_the_usages_of_the_same_round() -> None:
    figure = ratio(usages(2, 6, 4), usages(1, 2, 4))
    assert figure == Figure((2, 3, 1))
    assert figure.text == "2.00 (1.00-3.00)"


def test_a_round_that_one_of_them_missed_does_not_count() -> None:
    assert ratio(usages(2, 6), usages(1)) == Figure((2,))
    assert ratio(usages(2), []) is None


def test_figures_for_each_unit_are_milliseconds_and_added_wall_is_seconds() -> None:
    assert each(usages(0.5), 10) == Figure((50,), "ms")
    assert each([], 10) is None
    assert added(usages(0.6), usages(0.1)) == Figure((5,), "s")
    assert further(usages(1), usages(3), 40) == Figure((50,), "ms")
    assert further(usages(1), usages(3), 40, wall) == Figure((500,), "ms")


@pytest.mark.parametrize(
    ("value", "shown"), [(0.123, "0.12"), (9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1,234")]
)
def test_a_number_has_three_digits(value: float, shown: str) -> None:
    assert Figure((value,)).shown == shown


def test_the_exponent_of_linear_growth_is_1_and_of_quadratic_growth_2() -> None:
    assert exponent((10, 0.5), (40, 2.0)) == pytest.approx(1)
    assert exponent((10, 0.5), (40, 8.0)) == pytest.approx(2)


@pytest.mark.parametrize(
    ("value", "goal", "verdict"),
    [(1.15, 1.15, "met"), (1.154, 1.15, "met"), (1.156, 1.15, "missed"), (1.0, None, ""), (1234.0, 1233.0, "missed")],
)
def test_a_goal_is_compared_with_the_number_that_is_shown(value: float, goal: float | None, verdict: str) -> None:
    assert Row("work", "", Figure((value,)), goal).verdict == verdict


def test_a_goal_without_a_figure_is_not_met() -> None:
    assert Row("work", "", None, 1.0).verdict == "not measured"


def test_a_row_compares_each_checkout_with_the_same_foreign_program() -> None:
    recorded = recording(plan__now=usages(2), plan__before=usages(6), rival__reference=usages(1))
    row = compared(recorded, "plan", "rival", ratio, 2.5)
    assert (row.figure, row.before, row.verdict) == (Figure((2,)), Figure((6,)), "met")
    assert (row.usage, row.reference) == (usages(2)[0], usages(1)[0])


def test_a_row_compares_a_checkout_with_its_own_other_work() -> None:
    recorded = recording(changed__now=usages(3), changed__before=usages(8), plan__now=usages(2), plan__before=usages(4))
    row = compared(recorded, "changed", "plan", ratio)
    assert (row.figure, row.before) == (Figure((1.5,)), Figure((2,)))


def test_the_order_is_turned_round_every_other_round() -> None:
    recorded, order = Recording(ends=time.monotonic() + 1e6), []
    recorded.rounds([lambda: order.append("a"), lambda: order.append("b")], 3)
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_turn_that_fails_is_noted_and_has_no_further_round() -> None:
    recorded, order = Recording(ends=time.monotonic() + 1e6), []

    def fails() -> None:
        order.append("fails")
        raise CommandFailed("it fails")

    recorded.rounds([fails, lambda: order.append("works")], 2)
    assert order == ["fails", "works", "works"]
    assert recorded.failures == ["it fails"]


def test_out_of_time_only_the_first_round_is_run() -> None:
    recorded, order = Recording(ends=time.monotonic() - 1), []
    recorded.rounds([lambda: order.append("a")], 5)
    assert order == ["a"]
    assert recorded.failures == ["out of time: 1 of 5 rounds"]


MET, MISSED = Row("a", "", Figure((1.0,)), 2.0, headline="both"), Row("b", "", Figure((3.0,)), 2.0, headline="both")
ROWS = [
    Row(
        "plan",
        "rival",
        Figure((2.0, 2.2, 2.4)),
        2.5,
        Figure((5.0,)),
        usages(0.2)[0],
        usages(0.1)[0],
        Traffic(1, 34_000),
    ),
    Row("start", "bare", Figure((7.0,), "ms")),
]


def test_the_full_table_has_all_rows() -> None:
    full = full_table(ROWS)
    assert [cell.strip() for cell in full.splitlines()[2].split("|")[1:-1]] == [
        "plan", "rival", "5.00", "2.20 (2.00-2.40)", "2.5", "met", "200 / 100", "2,000 / 1,000", "1", "34", "20 / 20",
    ]  # fmt: skip
    assert "start" in full


def test_the_short_table_has_one_line_for_each_headline() -> None:
    lines = short_table([MET, MISSED, *ROWS]).splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines] == [
        ["both", "- / -", "1.00 / 3.00", "2", "partly met"]
    ]


def test_without_a_checkout_to_compare_with_the_table_has_no_column_for_it() -> None:
    assert "before" not in full_table([ROWS[1]])


def test_requests_are_counted_by_their_request_lines() -> None:
    one = b"GET /v1.41/containers/json?all=1 HTTP/1.1\r\nHost: docker\r\n\r\n"
    two = b'POST /containers/create HTTP/1.1\r\nContent-Length: 13\r\n\r\n{"a": "GET /"}'
    assert requests_in(one + two + one) == 3


def test_the_mirror_is_that_of_this_machines_release() -> None:
    uris = (
        "'http://mirror.test/security/dists/bookworm-security/InRelease' name 0 \n"
        "'http://mirror.test/debian/dists/bookworm/InRelease' name 0 \n"
    )
    assert mirror_in(uris, "bookworm") == "http://mirror.test/debian"
    with pytest.raises(OSError, match="trixie"):
        mirror_in(uris, "trixie")


@pytest.mark.parametrize(
    ("candidate", "major"), [("1.29.2-3", 1), ("2.40.3-3", 2), ("1:2.3-1ubuntu1", 2), ("(none)", 0)]
)
def test_the_version_of_a_package_is_that_of_its_candidate(candidate: str, major: int) -> None:
    assert candidate_major(f"docker-compose:\n  Installed: (none)\n  Candidate: {candidate}\n") == major
    assert candidate_major("") == 0


def test_five_models_are_changed_in_the_stack_and_in_the_same_for_compose() -> None:
    assert one_host(10, changed=CHANGED).count("16384") == CHANGED
    assert compose(10, changed=CHANGED).count("16384") == CHANGED
    assert "16384" not in one_host(10) + compose(10)


def test_every_variable_is_used_once() -> None:
    text = with_variables(3, 7)
    assert text.count("[vars.") == text.count("{{ vars.") == 7


def test_a_fleet_has_one_socket_for_each_host() -> None:
    assert 'docker = "unix:///tmp/s/host-0001.sock"' in fleet(2, "/tmp/s")


def test_the_growth_of_each_axis_is_measured_over_a_factor_of_four() -> None:
    for axis in STAGES:
        for quick in (True, False):
            small, large = sizes(axis, quick=quick)
            assert large == 4 * small


def test_the_containers_of_others_are_listed_beside_the_stacks() -> None:
    own = {"name": "m", "labels": {"a": "b"}, "image": "i", "network": "n"}
    rows = listed({"h": [own]}, 2)["h"]
    assert isinstance(rows, list)
    assert [row["Names"] for row in rows] == [["/m"], ["/other-0"], ["/other-1"]]


RESULTS = """# Results of 2026-12-01

A full run of 12 minutes: 2 cores, Debian, Python 3.11, Compose 2.40, load 0.3 at the end.

|                        | now   | goal |        |
| ---------------------- | ----- | ---- | ------ |
| no-op plan / Compose   | 2.0   | 2.5  | met    |
| growth by models: load | 1.0   | 1.15 | met    |
| create 10 / Compose    | 1.4   | 1.2  | missed |

## All rows

| work       | now |
| ---------- | --- |
| no-op plan | 2.0 |
"""


def test_the_readme_has_the_main_lines_with_their_date() -> None:
    assert section(RESULTS) == (
        "## How fast\n\n"
        "`make bench` on 2 cores, 2026-12-01: medians of ratios, CPU of the client unless named "
        "([method, all rows](bench/README.md)).\n\n"
        "|  | now | goal |  |\n| --- | --- | --- | --- |\n"
        "| no-op plan / Compose | 2.0 | 2.5 | met |\n| create 10 / Compose | 1.4 | 1.2 | missed |\n\n"
    )
    with pytest.raises(ValueError, match="no table"):
        section("# Results of 2026-12-01")


def test_only_the_section_of_the_readme_is_replaced() -> None:
    text = "# Project\n\n## How fast\n\nold\n\n| a |\n\n## Links\n"
    assert SECTION.sub("new\n", text) == "# Project\n\nnew\n## Links\n"
