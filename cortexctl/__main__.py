import sys


def main() -> None:
    """Run the command line. `--version` and `--help` alone are answered before anything heavy is imported."""
    from cortexctl.cli.short_answers import print_answer, short_answer

    answer = short_answer(sys.argv[1:])
    if answer is not None:
        sys.exit(print_answer(answer))
    from cortexctl.cli.main import run

    sys.exit(run())


if __name__ == "__main__":
    main()
