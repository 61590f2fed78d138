"""From vLLM's log to a cause and the stack edit that fixes it. Says nothing where it does not know.

What is known is in the modules beside this one, by subject; `table` puts them in order.
"""
