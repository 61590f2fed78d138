"""From vLLM's log to a cause and the stack edit that fixes it; no answer if the cause is unknown.

The patterns are in the modules beside this one, by subject; `table` puts them in order.
"""
