"""cortexctl fit: how much memory a launch will hold, what fits in its cache, and whether vLLM would refuse it."""

from __future__ import annotations

import math

import click

from cortexctl.cli import options
from cortexctl.cli.writing import out_json, write
from cortexctl.errors import UsageError


@click.command("fit")
@options.stack_argument
@click.option("--config", multiple=True, metavar="[MODEL=]FILE", help="A config.json, or a folder with one.")
@click.option("--weights", multiple=True, metavar="[MODEL=]FILE", help="Safetensors files or their index: exact sizes.")
@click.option("--gpu", metavar="NAME[:GIB][xN]", help="The GPUs, without a stack.")
@click.option("--vllm-version", help="The release, without a stack. Left out: the newest, with wider ranges.")
@click.option("--arg", "args", multiple=True, metavar="NAME=VALUE", help="An argument of vLLM, by its own name.")
@click.option("--environ", multiple=True, metavar="NAME=VALUE", help="A variable of vLLM's environment.")
@click.option("--free", type=click.FloatRange(min=0), metavar="GIB", help="Free memory of a GPU when vLLM starts.")
@click.option(
    "--available-kv", type=click.FloatRange(min=0), metavar="GIB", help="Memory for the cache: what follows is exact."
)
@click.option("--learn", metavar="FILE", help="A log of a start with these arguments, to learn from; - for stdin.")
@click.option("--no-measured", is_flag=True, help="Without what earlier starts measured.")
@click.option("--hosts", is_flag=True, help="Read models' files on the hosts, too, where they are not here.")
@options.ask_hub
@click.option("--auto", is_flag=True, help="Search the arguments that reach a target; ends with a patch of the stack.")
@click.option("--target-len", type=click.IntRange(min=1), metavar="TOKENS", help="For --auto: tokens of a request.")
@click.option(
    "--target-concurrency",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="For --auto: requests at once.",
)
@click.option("--model", help="For --auto and --learn: the model of the stack, or its HOST/MODEL.")
@click.option("--write", "write_it", is_flag=True, help="For --auto: write the patch into the stack; comments stay.")
@click.option("--svg", type=click.Path(dir_okay=False), help="The picture, into a file.")
@options.text_or_json
@options.stack_choice
def command(
    stack: str,
    *,
    choice: options.Choice,
    config: tuple[str, ...],
    weights: tuple[str, ...],
    gpu: str | None,
    vllm_version: str | None,
    args: tuple[str, ...],
    environ: tuple[str, ...],
    free: float | None,
    available_kv: float | None,
    learn: str | None,
    no_measured: bool,
    hosts: bool,
    hub: bool,
    auto: bool,
    target_len: int | None,
    target_concurrency: float,
    model: str | None,
    write_it: bool,
    svg: str | None,
    output_format: str,
) -> int:
    """Compute, before anything starts, how many GiB each GPU will hold, how many tokens and requests of full length
    its KV cache takes, and whether vLLM would refuse. Of a stack, every instance; or of flags alone:

    cortexctl fit --config config.json --gpu L40S:44.4x4 --vllm-version 0.32.0 --arg tensor_parallel_size=4
    """
    from cortexctl.cli.fitting import Given, questions
    from cortexctl.render.fit.json_report import budget_json, fitted_json, ledger_json
    from cortexctl.render.fit.terminal import budget_text, fitted_text, ledger_text

    numbers = {"--free": free, "--available-kv": available_kv, "--target-concurrency": target_concurrency}
    if endless := [name for name, number in numbers.items() if number is not None and not math.isfinite(number)]:
        raise UsageError(f"{endless[0]} is a number, and neither nan nor inf")
    searching = {"--target-len": target_len, "--write": write_it}
    if not auto and (lonely := [name for name, value in searching.items() if value]):
        raise UsageError(f"{lonely[0]} is for --auto, which is not there")
    if auto and target_len is None:
        raise UsageError("--auto needs --target-len", next_step="cortexctl fit --auto --target-len 8192")
    given = Given(config, weights, gpu, vllm_version, args, environ, free, available_kv, hosts, hub)
    asked = questions(stack, choice, given)
    if write_it and asked.of_flags:
        raise UsageError("--write needs a stack; without one the arguments are printed")
    if learn:
        asked.learn(learn, model)
    if not (no_measured or auto):  # a search goes through arguments that nobody has started
        asked.use_measured()
    if auto:
        from cortexctl.cli.autofit import search, show_patch

        at, found = search(asked, model, target_len or 0, target_concurrency)
        if output_format == "json":
            out_json(fitted_json(found))
        else:
            from cortexctl.cli.wiring import ink

            write(fitted_text(found, ink()) + "\n", "text")
        return show_patch(stack, at, found, write_it=write_it, quiet=output_format == "json")
    budgets = asked.budgets()
    lines = asked.ledger(budgets)
    if svg:
        from cortexctl.cli.outfile import write_whole
        from cortexctl.render.fit.svg import budgets_svg

        write_whole(svg, budgets_svg(list(budgets.items())) + "\n")
    if output_format == "json":
        one = budget_json(next(iter(budgets.values()))) if asked.of_flags else None
        shown = one or {
            "instances": {who: budget_json(b) for who, b in budgets.items()},
            "unknown": asked.unknown,
            "ledger": ledger_json(lines),
        }
        out_json(shown)
        return 0
    from cortexctl.cli.wiring import ink

    texts = [budget_text(asked.titles[who], found, ink()) for who, found in budgets.items()]
    texts += [f"{who}: not computed: {why}" for who, why in asked.unknown.items()]
    texts += [ledger_text(lines, ink())] if lines else []
    write("\n\n".join(texts) + "\n", "text")
    return 0
