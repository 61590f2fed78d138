import sys


def main() -> None:
    """Run the command line. `--version` alone is answered before anything heavy is imported."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from cortexctl import __version__

        sys.stdout.write(f"cortexctl {__version__}\n")
        return
    from cortexctl.cli.main import run

    sys.exit(run())


if __name__ == "__main__":
    main()
