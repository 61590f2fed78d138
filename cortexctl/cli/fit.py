"""cortexctl fit: the memory of a launch, the capacity of its KV cache, and whether vLLM would refuse it."""

from __future__ import annotations

import functools
import math
import time

import click

from cortexctl.cli import options
from cortexctl.cli.colour import ink
from cortexctl.cli.notes import show_notes, usable
from cortexctl.cli.waiting import watched_connections
from cortexctl.cli.writing import out_json, print_note, write, write_file
from cortexctl.engines.vllm.memory.autofit import Fitted, Target
from cortexctl.errors import UsageError
from cortexctl.operations.fit import FitInputs, FitJob, FitModel, fit_options, fit_stack
from cortexctl.operations.read_stack import SecretMode, StackReader
from cortexctl.operations.stack_choice import StackChoice


def model_inputs(command: options.Command) -> options.Command:
    """Adds the options that describe models and GPUs; the command gets them as `inputs`."""

    @click.option("--config", multiple=True, metavar="[MODEL=]FILE", help="A config.json, or a folder with one.")
    @click.option(
        "--weights", multiple=True, metavar="[MODEL=]FILE", help="Safetensors files or their index: exact sizes."
    )
    @click.option("--gpu", metavar="NAME[:GIB][xN]", help="The GPUs, without a stack. Example: L40S:44.4x4.")
    @click.option("--vllm-version", help="The vLLM release, without a stack. Default: the newest, with wider ranges.")
    @click.option("--arg", "args", multiple=True, metavar="NAME=VALUE", help="An argument of vLLM by its name.")
    @click.option("--environ", multiple=True, metavar="NAME=VALUE", help="A variable of vLLM's environment.")
    @click.option("--free", type=click.FloatRange(min=0), metavar="GIB", help="Free memory of a GPU when vLLM starts.")
    @click.option(
        "--available-kv",
        type=click.FloatRange(min=0),
        metavar="GIB",
        help="Memory for the KV cache: the results are then exact.",
    )
    @click.option("--hosts", is_flag=True, help="Read models' files from the hosts if they are not on this machine.")
    @options.allow_hub
    @functools.wraps(command)
    def with_inputs(
        *positional: object,
        config: tuple[str, ...],
        weights: tuple[str, ...],
        gpu: str | None,
        vllm_version: str | None,
        args: tuple[str, ...],
        environ: tuple[str, ...],
        free: float | None,
        available_kv: float | None,
        hosts: bool,
        allow_hub: bool,
        **kwargs: object,
    ) -> int:
        _refuse_endless({"--free": free, "--available-kv": available_kv})
        inputs = FitInputs(config, weights, gpu, vllm_version, args, environ, free, available_kv, hosts, allow_hub)
        return command(*positional, inputs=inputs, **kwargs)

    return with_inputs


def search_target(command: options.Command) -> options.Command:
    """Adds --auto and its targets; the command gets a `target`, None without --auto."""

    @click.option("--auto", is_flag=True, help="Search for arguments that reach a target; prints a patch of the stack.")
    @click.option("--target-len", type=click.IntRange(min=1), metavar="TOKENS", help="For --auto: tokens of a request.")
    @click.option(
        "--target-concurrency",
        type=click.FloatRange(min=0, min_open=True),
        default=1.0,
        show_default=True,
        help="For --auto: concurrent requests.",
    )
    @click.option("--write", "writes", is_flag=True, help="For --auto: write the patch into the stack; comments stay.")
    @functools.wraps(command)
    def with_target(
        *args: object,
        auto: bool,
        target_len: int | None,
        target_concurrency: float,
        writes: bool,
        **kwargs: object,
    ) -> int:
        _refuse_endless({"--target-concurrency": target_concurrency})
        for option, value in {"--target-len": target_len, "--write": writes}.items():
            if value and not auto:
                raise UsageError(f"{option} needs --auto")
        if auto and target_len is None:
            raise UsageError(
                "--auto needs --target-len", next_step="add the tokens of a request, for example --target-len 8192"
            )
        target = Target(target_len, target_concurrency) if auto and target_len else None
        return command(*args, target=target, writes=writes, **kwargs)

    return with_target


@click.command("fit")
@options.stack_argument
@model_inputs
@click.option("--learn", metavar="FILE", help="Learn from the log of a start with these arguments; - for stdin.")
@click.option("--no-measured", is_flag=True, help="Ignore measurements from earlier starts.")
@search_target
@click.option("--model", help="For --auto and --learn: the model of the stack, or its HOST/MODEL.")
@click.option("--svg", type=click.Path(dir_okay=False), help="Write the memory chart to an SVG file.")
@options.text_or_json
@options.stack_choice
def command(
    stack: str,
    *,
    choice: StackChoice,
    inputs: FitInputs,
    target: Target | None,
    writes: bool,
    model: str | None,
    learn: str | None,
    no_measured: bool,
    svg: str | None,
    output_format: str,
) -> int:
    """Compute, before a start, the memory of each GPU in GiB, the tokens and full-length requests that fit in its KV
    cache, and whether vLLM would refuse (exit code 1). For every instance of a stack, or for options alone:

    cortexctl fit --config config.json --gpu L40S:44.4x4 --vllm-version 0.32.0 --arg tensor_parallel_size=4
    """
    as_json = output_format == "json"
    job = _job(stack, choice, inputs)
    if writes and not job.has_stack:
        raise UsageError("--write needs a stack; without one the arguments are printed")
    if learn:
        job.learn(learn, model, time.time())
    if target is not None:  # a search tries arguments that were never started, so it uses no measurements
        return _search(stack, job.only(model, "--auto"), target, writes=writes, as_json=as_json)
    if not no_measured:
        show_notes(job.use_measurements())
    return _show(job, svg, as_json=as_json)


def _refuse_endless(numbers: dict[str, float | None]) -> None:
    for option, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise UsageError(f"{option} must be a finite number")


def _job(stack: str, choice: StackChoice, inputs: FitInputs) -> FitJob:
    if inputs.describe_a_model(stack):
        return fit_options(inputs)
    desired = usable(StackReader(stack, choice, SecretMode.SKIP).read())
    with watched_connections() as connections:
        return fit_stack(desired, inputs, connections)


def _search(stack: str, model: FitModel, target: Target, *, writes: bool, as_json: bool) -> int:
    """Ends with the patch of the stack, or the arguments if there is no stack. Returns 1 if the target is not
    reached.
    """
    from cortexctl.operations.fit_search import search
    from cortexctl.render.fit.json_report import fitted_json
    from cortexctl.render.fit.terminal import fitted_text

    fitted = search(model, target)
    if as_json:
        out_json(fitted_json(fitted))
    else:
        write(fitted_text(fitted, ink()) + "\n", "text")
    if not fitted.reached:
        return 1
    if model.model:
        _patch(stack, model.model, fitted, writes=writes, quiet=as_json)
    elif not as_json:
        write("".join(f"--arg {name}={value}\n" for name, value in fitted.changes.items()), "text")
    return 0


def _patch(stack: str, model: str, fitted: Fitted, *, writes: bool, quiet: bool) -> None:
    from cortexctl.operations.fit_search import stack_patch, write_patch
    from cortexctl.render.text_diff import patch_text

    patch = stack_patch(stack, model, fitted.changes)
    if writes:
        write_patch(patch)
        print_note(f"wrote {stack}\n")
    if not quiet:
        write(patch_text(stack, patch.before, patch.after), "diff")


def _show(job: FitJob, svg: str | None, *, as_json: bool) -> int:
    """Every model's budget, and the ledger of each host's GPUs. Returns 1 if vLLM would refuse one of the models."""
    from cortexctl.render.fit.json_report import budget_json, ledger_json
    from cortexctl.render.fit.svg import budgets_svg
    from cortexctl.render.fit.terminal import budget_text, ledger_text

    budgets = job.budgets()
    lines = job.ledger(budgets)
    if svg:
        write_file(svg, budgets_svg(list(budgets.items())) + "\n", "svg")
    if as_json and not job.has_stack:
        out_json(budget_json(next(iter(budgets.values()))))
    elif as_json:
        instances = {who: budget_json(b) for who, b in budgets.items()}
        out_json({"instances": instances, "unknown": job.unknown, "ledger": ledger_json(lines)})
    else:
        texts = [budget_text(job.titles[who], b, ink()) for who, b in budgets.items()]
        texts += [f"{who}: not computed: {why}" for who, why in job.unknown.items()]
        texts += [ledger_text(lines, ink())] if lines else []
        write("\n\n".join(texts) + "\n", "text")
    return 1 if any(budget.verdict == "refuses" for budget in budgets.values()) else 0
