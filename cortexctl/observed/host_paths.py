"""The facts about the paths to servers in containers of a host, as far as they are known without a container. Pure."""

from __future__ import annotations

from typing import Literal

from cortexctl.dataclass import dataclass

FORBIDS_FORWARDS = "the host's ssh server forbids to forward TCP ports"
NO_DIRECT_PATH = "over TLS no connection to a container's own address can be proven"
NO_BRIDGE_HERE = "no bridge of the daemon is on this machine"


@dataclass(frozen=True, slots=True)
class PathFacts:
    """`mode`: the stack's `reach`. `direct`: the way to a container's own address, "over ssh" or "on this machine";
    empty if there is none. A problem is empty if none is known.
    """

    mode: Literal["auto", "exec", "direct"]
    exec_problem: str | None = None
    """None if it was not tested."""
    direct: str = ""
    direct_problem: str = ""

    def blocked(self) -> tuple[str, str]:
        """(why no server on the host can be reached, the next step). Empty if that is not known."""
        needs_exec = self.direct != "on this machine"  # over ssh, the proof of an address needs a program, too
        no_exec = "let the daemon run programs in containers: a proxy before its socket must allow POST and exec"
        match self.mode:
            case "exec" if self.exec_problem:
                return self.exec_problem, no_exec
            case "direct" if self.direct_problem:
                step = "set AllowTcpForwarding yes in its sshd_config, or " if self.direct == "over ssh" else ""
                return self.direct_problem, f'{step}set reach = "auto" for the host in the stack'
            case "auto" | "direct" if self.exec_problem and needs_exec:
                return self.exec_problem, no_exec
            case "auto" if self.exec_problem and self.direct_problem:
                return f"{self.exec_problem}, and {self.direct_problem}", no_exec
        return "", ""
