"""Hooks: when they run, which facts they receive, the effect of a failure, and the secrets that they never receive."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cortexctl.apply.events import HookEnded
from cortexctl.apply.executor import Fate, Result
from cortexctl.desired.hook import Hook, Point
from cortexctl.errors import DaemonRefused, HookFailed, HookRefused, LockLost, PlanStale, SecretUnresolved
from cortexctl.hooks.notify import LONGEST_PAUSE
from cortexctl.hooks.runner import FACTS, LINES, HookRunner
from cortexctl.instance.secret import masked
from cortexctl.instance.spec import SecretRef
from cortexctl.plan.model import Plan
from cortexctl.plan.planfile import plan_from_json, plan_to_json
from cortexctl.plan.request import Request
from tests.fakes.container import FakeContainer
from tests.fakes.faults import ALWAYS
from tests.fakes.receiver import receiver
from tests.fakes.world import World
from tests.reading import desired_from, model_text, stack_text

EVERY_POINT = "".join(f'[hooks.{p.value}]\non = "{p.value}"\ncommand = ["true"]\n\n' for p in Point)
HOST = '[hosts.here]\nmodels_dir = "/m"\n'


class Spy:
    """Records the facts of each hook and the calls to the daemon before it. The hooks named in `fails` fail."""

    def __init__(self, world: World, *fails: str) -> None:
        self.world, self.fails = world, fails
        self.received: list[Mapping[str, str]] = []
        self.calls_before: dict[str, list[str]] = {}

    def __call__(self, hook: Hook, facts: Mapping[str, str]) -> None:
        self.received.append(dict(facts))
        self.calls_before[hook.name] = list(self.world.daemon().calls)
        if hook.name in self.fails:
            raise HookFailed(f"the hook {hook.name} ({hook.on}) failed: exit code 3", output=("why",))

    @property
    def names(self) -> list[str]:
        return [facts["hook"] for facts in self.received]


def plan_for(
    tmp_path: Path, world: World, length: int, more: str = EVERY_POINT, models: str = "", **options: bool
) -> Plan:
    path = tmp_path / "stack.toml"
    text = model_text() + f"[models.tiny.args]\nmax_model_len = {length}\n\n" + models
    path.write_text(stack_text(more + text, hosts=HOST))
    return world.plan(desired_from(path), Request(**options))  # type: ignore[arg-type]


def replaced(tmp_path: Path, *fails: str, more: str = EVERY_POINT, models: str = "") -> tuple[World, Spy, Result]:
    """A world in which one instance serves, and a replacement of it, with hooks."""
    world = World("demo", "here")
    world.apply(plan_for(tmp_path, world, 1024, models=models))
    world.events.clear()
    world.daemon().calls.clear()
    spy = world.hook = Spy(world, *fails)
    return world, spy, world.apply(plan_for(tmp_path, world, 2048, more, models))


def states(world: World) -> dict[str, str]:
    return {c.name: c.state for c in world.daemon().containers.values()}


def test_each_runs_at_its_point(tmp_path: Path) -> None:
    _, spy, result = replaced(tmp_path)
    assert result.exit_code == 0
    assert spy.names == ["pre_apply", "pre_stop", "post_healthy", "post_apply"]
    before = {name: [c.partition(" ")[0] for c in calls] for name, calls in spy.calls_before.items()}
    assert not {"create", "stop", "start"} & set(before["pre_apply"])
    assert "create" in before["pre_stop"]
    assert "stop" not in before["pre_stop"]
    assert "start" in before["post_healthy"]
    assert "set_restart" not in before["post_healthy"]
    assert "release_lock" not in before["post_apply"]
    assert "rename" in before["post_apply"]


def test_each_hook_receives_the_facts_of_its_point(tmp_path: Path) -> None:
    world, spy, _ = replaced(tmp_path)
    of_run, of_stop, of_healthy, at_end = spy.received
    assert of_run == {
        "stack": "demo",
        "env": "",
        "run": "run2",
        "action": "apply",
        "hook": "pre_apply",
        "on": "pre_apply",
    }
    old, new = (world.daemon().by_name(name) for name in ("vllm-model-tiny--g1", "vllm-model-tiny"))
    assert of_stop == {
        "stack": "demo", "env": "", "run": "run2", "hook": "pre_stop", "on": "pre_stop", "host": "here", "model": "tiny",
        "address": "here/tiny", "action": "replace", "generation": "2", "reason": "changed: args.max_model_len",
        "endpoint": f"http://{old.id}",
    }  # fmt: skip
    assert of_healthy["endpoint"] == f"http://{new.id}"
    assert (at_end["outcome"], at_end["failure"]) == ("done", "")


def test_nothing_is_run_for_a_plan_without_changes(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(plan_for(tmp_path, world, 1024))
    assert plan_for(tmp_path, world, 1024).hooks == ()


def test_a_required_pre_apply_refuses_before_anything_is_touched(tmp_path: Path) -> None:
    world = World("demo", "here")
    spy = world.hook = Spy(world, "pre_apply")
    with pytest.raises(HookRefused, match=r"the hook pre_apply \(pre_apply\) failed: exit code 3; nothing was changed"):
        world.apply(plan_for(tmp_path, world, 1024))
    assert states(world) == {}
    assert world.daemon().volumes == {}, "the lock is released"
    assert spy.names == ["pre_apply"], "no step failed, and no step was applied"


def test_one_that_is_not_required_is_only_reported(tmp_path: Path) -> None:
    more = EVERY_POINT.replace('["true"]', '["true"]\nrequired = false')
    more = more.replace(
        'on = "post_apply"\ncommand = ["true"]\nrequired = false', 'on = "post_apply"\ncommand = ["true"]'
    )
    more = more.replace(
        'on = "on_failure"\ncommand = ["true"]\nrequired = false', 'on = "on_failure"\ncommand = ["true"]'
    )
    world, spy, result = replaced(tmp_path, *(p.value for p in Point), more=more)
    assert result.exit_code == 0
    ended = [e for e in world.events if isinstance(e, HookEnded)]
    assert [(e.hook.name, e.output) for e in ended] == [(n, ("why",)) for n in spy.names]
    assert len(ended) == 4


def test_a_failed_required_pre_stop_leaves_the_old_container_serving(tmp_path: Path) -> None:
    world, spy, result = replaced(tmp_path, "pre_stop")
    assert result.outcomes[0].fate is Fate.ROLLED_BACK
    assert isinstance(result.outcomes[0].failure, HookFailed)
    assert states(world) == {"vllm-model-tiny": "running"}
    assert not [c for c in world.daemon().calls if c.startswith("stop")]
    assert spy.names == ["pre_apply", "pre_stop", "on_failure", "post_apply"]
    assert (spy.received[2]["outcome"], spy.received[3]["outcome"]) == ("rolled back", "failed")


def test_a_required_post_healthy_is_part_of_the_gate(tmp_path: Path) -> None:
    world, spy, result = replaced(tmp_path, "post_healthy")
    assert result.outcomes[0].fate is Fate.ROLLED_BACK
    assert result.exit_code == 1
    assert states(world) == {"vllm-model-tiny": "running"}
    assert world.daemon().by_name("vllm-model-tiny").restart == "unless-stopped"
    assert spy.names == ["pre_apply", "pre_stop", "post_healthy", "on_failure", "post_apply"], "not of what comes back"
    assert plan_for(tmp_path, world, 1024).effective == ()


def test_a_refused_removal_has_touched_nothing(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(plan_for(tmp_path, world, 1024))
    world.hook = Spy(world, "pre_stop")
    result = world.apply(plan_for(tmp_path, world, 1024, destroy=True))
    assert (result.outcomes[0].fate, result.outcomes[0].left_behind, result.exit_code) == (Fate.FAILED, False, 1)
    assert states(world) == {"vllm-model-tiny": "running"}


def test_a_destroy_stops_with_its_hooks(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(plan_for(tmp_path, world, 1024))
    spy = world.hook = Spy(world)
    assert world.apply(plan_for(tmp_path, world, 1024, destroy=True)).exit_code == 0
    assert spy.names == ["pre_apply", "pre_stop", "post_apply"]
    assert (spy.received[0]["action"], spy.received[1]["action"]) == ("destroy", "remove")


def test_on_failure_receives_the_outcome_and_the_endpoint_of_the_old_container(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.apply(plan_for(tmp_path, world, 1024))

    def crash(container: FakeContainer) -> None:
        if "2048" in container.command:
            container.state, container.exit_code = "exited", 1

    world.daemon().behaviours.append(crash)
    spy = world.hook = Spy(world, "on_failure", "post_apply")
    result = world.apply(plan_for(tmp_path, world, 2048))
    assert result.exit_code == 1, "their own failures change nothing"
    failed = next(f for f in spy.received if f["on"] == "on_failure")
    assert (failed["outcome"], failed["address"]) == ("rolled back", "here/tiny")
    assert "exited with code 1" in failed["failure"]
    assert failed["endpoint"] == f"http://{world.daemon().by_name('vllm-model-tiny').id}"


def test_on_failure_receives_a_failure_of_a_hosts_own_steps(tmp_path: Path) -> None:
    world = World("demo", "here")
    world.daemon().faults.fail("ensure_network", times=ALWAYS, error=DaemonRefused("here: no more addresses"))
    spy = world.hook = Spy(world)
    world.apply(plan_for(tmp_path, world, 1024))
    failed = next(f for f in spy.received if f["on"] == "on_failure")
    assert (failed["host"], failed.get("address")) == ("here", None)
    assert "no more addresses" in failed["failure"]


def test_models_narrow_a_hook_and_a_models_own_hooks_run_after_the_stacks(tmp_path: Path) -> None:
    more = "".join(
        f'[hooks.{name}]\non = "post_healthy"\ncommand = ["true"]\nmodels = ["{pattern}"]\n\n'
        for name, pattern in (("z-for-all", "*"), ("a-for-tiny", "ti*"), ("for-others", "oth*"))
    )
    own = '[models.tiny.hooks.a-own]\non = "post_healthy"\ncommand = ["true"]\n\n' + model_text("other", gpus='"none"')
    world = World("demo", "here")
    spy = world.hook = Spy(world)
    assert world.apply(plan_for(tmp_path, world, 1024, more, own)).exit_code == 0
    in_order = sorted(spy.received, key=lambda f: str(f["model"]))  # the models start side by side
    assert [(f["model"], f["hook"]) for f in in_order] == [
        ("other", "for-others"), ("other", "z-for-all"),
        ("tiny", "a-for-tiny"), ("tiny", "z-for-all"), ("tiny", "a-own"),
    ]  # fmt: skip


def test_a_saved_plan_has_its_hooks(tmp_path: Path) -> None:
    world = World("demo", "here")
    plan = plan_for(tmp_path, world, 1024)
    assert plan.hooks
    assert plan_from_json(plan_to_json(plan)).hooks == plan.hooks


# the runner


def runner(
    tmp_path: Path, values: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> HookRunner:
    known = dict(values or {})

    def secret(reference: SecretRef) -> str:
        if reference.key not in known:
            raise SecretUnresolved(f"the environment variable {reference.key} is not set")
        return known[reference.key]

    hidden = tuple(SecretRef(k, "env", k, "") for k in (*known, "NOT_HERE"))
    return HookRunner(tmp_path, {**os.environ, **(environ or {})}, secret, hidden, lambda: 1_700_000_000)


def shell(script: str, on: Point = Point.PRE_STOP, **fields: object) -> Hook:
    return Hook("h", on, ("sh", "-c", script), **fields)  # type: ignore[arg-type]


def test_a_command_runs_in_the_stacks_folder_and_learns_the_facts(tmp_path: Path) -> None:
    runner(tmp_path)(shell("env > seen; pwd > where"), {"stack": "demo", "address": "here/tiny", "failure": "a\0b"})
    seen = (tmp_path / "seen").read_text().splitlines()
    assert {
        "CORTEXCTL_STACK=demo",
        "CORTEXCTL_ADDRESS=here/tiny",
        "CORTEXCTL_ENDPOINT=",
        "CORTEXCTL_FAILURE=ab",
    } <= set(seen)
    assert {f"CORTEXCTL_{name.upper()}" for name in FACTS} <= {line.partition("=")[0] for line in seen}
    assert (tmp_path / "where").read_text().strip() == str(tmp_path)


def test_a_command_gets_the_secrets_that_it_is_given_and_no_other(tmp_path: Path) -> None:
    environ = {
        "MY_TOKEN": "planted-one",
        "OTHER": "planted-two",
        "CORTEXCTL_NOTIFY_SECRET": "planted-three",
        "PLAIN": "yes",
    }
    references = (SecretRef("HF_TOKEN", "env", "MY_TOKEN", ""),)
    hook = shell("env > seen", secrets=references, withheld=("MY_TOKEN", "OTHER"))
    runner(tmp_path, {"MY_TOKEN": "planted-one", "OTHER": "planted-two"}, environ)(hook, {})
    seen = (tmp_path / "seen").read_text()
    assert "HF_TOKEN=planted-one\n" in seen
    assert "PLAIN=yes\n" in seen
    assert seen.count("planted-") == 1


def test_the_output_of_a_hook_is_cut_and_without_secrets(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 50 ]; do echo line $i planted-one; i=$((i+1)); done; echo planted-two >&2; exit 3"
    with pytest.raises(HookFailed, match=r"the hook h \(pre_stop\) failed: exit code 3$") as raised:
        runner(tmp_path, {"A": "planted-one", "B": "planted-two"})(shell(script), {})
    assert len(raised.value.output) == LINES
    assert raised.value.output[-2:] == ("line 49 ***", "***")
    assert "planted" not in "".join(raised.value.output)


def test_a_secret_that_the_tail_cuts_in_two_does_not_show(tmp_path: Path) -> None:
    secret = "s" * 100
    script = f"printf 'x%.0s' $(seq 30); for i in $(seq 1000); do printf {secret}; done; echo; echo end; exit 1"
    with pytest.raises(HookFailed) as raised:
        runner(tmp_path, {"A": secret})(shell(script), {})
    assert raised.value.output == ("end",)


def test_a_hook_that_exceeds_its_timeout_is_killed_with_its_child_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "trap '' TERM; (trap '' TERM; sleep 60; echo late > late) & echo $! > child; echo began; : > on; sleep 60"
    wait = subprocess.Popen.wait

    def wait_once_it_is_on(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        until((tmp_path / "on").exists)
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait_once_it_is_on)
    with pytest.raises(HookFailed, match="it did not finish in 1 s") as raised:
        runner(tmp_path)(shell(script, timeout=1), {})
    assert raised.value.output == ("began",)
    child = int((tmp_path / "child").read_text())
    until(lambda: not _lives(child))


def until(holds: Callable[[], bool]) -> None:
    """Wait for it, however long a loaded machine takes."""
    for _ in range(1200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in a minute")


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_background_process_does_not_hold_a_hook_up(tmp_path: Path) -> None:
    runner(tmp_path)(shell("sleep 600 & echo $! > child", timeout=60), {})
    child = int((tmp_path / "child").read_text())
    assert _lives(child)
    os.kill(child, 9)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("./not-there.sh",), "cannot be run in .*: No such file"),
        (("a\0b",), "cannot be run"),
        (("sh", "-c", "kill -9 $$"), "signal 9"),
    ],
)
def test_a_command_that_cannot_be_run_is_a_failure_with_a_text(
    tmp_path: Path, command: tuple[str, ...], message: str
) -> None:
    with pytest.raises(HookFailed, match=message):
        runner(tmp_path)(Hook("h", Point.PRE_APPLY, command), {})


def test_a_secret_without_a_value_is_a_failure_of_the_hook(tmp_path: Path) -> None:
    world = World("demo", "here")
    more = EVERY_POINT.replace('command = ["true"]', 'url = { env = "NOT_SET" }')
    world.hook = runner(tmp_path)
    with pytest.raises(
        HookRefused, match=r"the hook pre_apply \(pre_apply\) cannot be run: the environment variable NOT_SET"
    ):
        world.apply(plan_for(tmp_path, world, 1024, more))


def test_a_url_gets_the_facts_signed(tmp_path: Path) -> None:
    facts = {
        "stack": "demo",
        "on": "on_failure",
        "address": "here/tiny",
        "action": "replace",
        "failure": "it died",
        "outcome": "rolled back",
    }
    with receiver() as at:
        values = {"URL": f"{at.url}/x"}
        run = runner(tmp_path, values, {"CORTEXCTL_NOTIFY_SECRET": "key"})
        run(Hook("page", Point.ON_FAILURE, url_from=SecretRef("url", "env", "URL", "")), facts)
    body = json.loads(at.got[0].body)
    assert body["text"] == "cortexctl demo: on_failure replace here/tiny: rolled back (it died)"
    assert {k: body[k] for k in facts} == facts
    assert set(body) == {"format_version", "text", *FACTS}
    signed = hmac.new(b"key", b"1700000000." + at.got[0].body, hashlib.sha256).hexdigest()
    assert at.got[0].headers["x-cortexctl-signature"] == f"sha256={signed}"


@pytest.mark.parametrize(("replies", "message"), [([(404, {})], "it answered 404"), ([(503, {})], "it answered 503")])
def test_an_error_of_a_url_is_a_failure_and_its_path_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replies: list[tuple[int, dict[str, str]]], message: str
) -> None:
    monkeypatch.setattr("cortexctl.hooks.notify.PAUSES", (LONGEST_PAUSE,))
    with receiver(replies) as at, pytest.raises(HookFailed, match=message) as raised:
        runner(tmp_path)(Hook("h", Point.PRE_APPLY, url=f"{at.url}/planted-path", timeout=int(LONGEST_PAUSE)), {})
    assert "planted" not in raised.value.message
    assert len(at.got) == 1, "a second try would end after the time that it has"


def test_values_are_masked_longest_first_and_line_by_line() -> None:
    assert masked("abcd abcdef x\ny12345 abc", ["abcd", "abcdef", "y12345\nz6789", "ab"]) == "*** *** x\n*** abc"


def test_a_lock_that_is_lost_while_a_hook_runs_ends_the_change_before_its_next_step(tmp_path: Path) -> None:
    """A hook may take long, and another run may acquire the lock meanwhile."""
    world = World("demo", "here")
    world.apply(plan_for(tmp_path, world, 1024))
    spy = Spy(world)

    def hook_that_outlives_the_lock(hook: Hook, facts: Mapping[str, str]) -> None:
        spy(hook, facts)
        if hook.name == Point.PRE_STOP:
            world.daemon().volumes.clear()

    world.hook = hook_that_outlives_the_lock
    world.daemon().calls.clear()
    result = world.apply(plan_for(tmp_path, world, 2048))
    assert isinstance(result.outcomes[0].failure, LockLost)
    assert not any(call.startswith("stop") for call in world.daemon().calls)
    assert states(world)["vllm-model-tiny"] == "running"


def test_a_stale_plan_runs_no_hook(tmp_path: Path) -> None:
    """A pre_apply hook would announce an apply that does not happen."""
    world = World("demo", "here")
    world.apply(plan_for(tmp_path, world, 1024))
    spy = world.hook = Spy(world)
    planned = plan_for(tmp_path, world, 2048)
    world.daemon().by_name("vllm-model-tiny").state = "exited"
    with pytest.raises(PlanStale):
        world.apply(planned)
    assert spy.names == []
