import gc
import sys

NEW_OBJECTS = 50_000
"""The number of new objects after which Python searches for cycles. Its own 700 costs a small plan a tenth of its CPU
and a large one a seventh, but frees nothing: a plan has hardly any cycles, and needs as much memory with both.
"""


def main() -> None:
    """Run the command line. `--version` and `--help` alone are answered before anything heavy is imported."""
    from cortexctl.cli.short_answers import print_answer, short_answer

    answer = short_answer(sys.argv[1:])
    if answer is not None:
        sys.exit(print_answer(answer))
    gc.set_threshold(NEW_OBJECTS)
    from cortexctl.cli.main import run

    code = run()
    gc.freeze()  # the process ends: or its exit would search all modules and the whole plan for cycles, several times
    sys.exit(code)


if __name__ == "__main__":
    main()
