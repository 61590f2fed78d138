"""From vLLM's log to a cause and the stack edit that mends it. Says nothing where it does not know.

What is known is in the modules beside this one, by subject; `table` puts them in order.
"""

from cortexctl.vllm.diagnosis.diagnose import Diagnosis, diagnose, diagnose_end
from cortexctl.vllm.diagnosis.lines import last_error_line, strip_prefix, without_frames

__all__ = ["Diagnosis", "diagnose", "diagnose_end", "last_error_line", "strip_prefix", "without_frames"]
