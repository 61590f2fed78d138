"""The titles of the rules: the headings of docs/reference/rules.md (a test compares them)."""

from __future__ import annotations

_HEADINGS = """
CX101 The file cannot be read
CX102 Unknown key
CX103 Missing key
CX104 Wrong value
CX105 Nothing declared
CX106 A variable without a valid value
CX107 More than a variable in a string
CX108 A secret variable in the open
CX109 Unknown environment
CX110 Another version is needed
CX111 Not treated as a variable (warning)
CX201 Unknown host
CX202 Unclear source
CX203 A path outside the models folder
CX204 A secret without a value
CX205 Unknown release (warning)
CX206 One served name, two models
CX207 One port, two models
CX208 A GPU requested more than once
CX209 A moving image (warning)
CX210 A secret in the open
CX211 A variable that cannot be set
CX212 One target, two mounts
CX213 One daemon, two hosts
CX214 Unknown profile
CX215 Models that wait for an unknown model
CX216 Moved from or to the wrong place
CX217 GPUs that do not divide
CX218 An online source without a revision (warning)
CX219 Published without a key (warning)
CX220 Published on all interfaces (warning)
CX221 Foreign code without a pinned commit (warning)
CX222 enforce_eager in production (warning)
CX223 GPUs and ranks do not agree
CX224 GPUs that the host does not have
CX225 Cannot start first
CX226 One container for several instances
CX227 A bound for another task
CX228 A hook that cannot be run
CX229 One name, two instances
CX230 An exception that names nothing
CX231 A host setting that its transport cannot use
CX232 A model on a retired host
CX233 A reach that its transport does not have
CX234 Weights in the host's memory (warning)
CX235 An acknowledgement without effect (warning)
CX236 A folder that models_dir does not have (warning)
CX301 Not in this release
CX302 Not a value of this release
CX303 Without effect (warning)
CX304 Not in extra_args
CX305 A companion is missing
CX306 GGUF that cannot be loaded
CX307 GGUF without a tokenizer (warning)
CX308 A variable that is not read (warning)
CX309 Deprecated (warning)
CX310 An option that no release has (warning)
CX311 An architecture of other releases
CX312 The image's own parser refuses
CX313 The image's own parser could not be used (warning)
CX314 An image with two releases
CX315 A checkpoint, or a machine, for another engine
CX316 vLLM would refuse
CX317 An uncertain start (warning)
CX318 GPU memory promised twice
CX401 Unreachable host
CX402 Unreadable label
CX403 Protected
CX404 Created for another host
CX405 Image not available
CX406 Name taken
CX407 Port taken
CX408 Nothing matched
CX409 Not protected yet (warning)
CX410 No free GPUs
CX411 A GPU of another stack
CX412 Nothing to adopt
CX413 Cannot be restored
CX414 Two models under one name
CX415 No generation to roll back to
CX416 Not one of ours (warning)
CX417 An adopted container stays (warning)
CX418 Not in the snapshot (warning)
CX419 A host left the stack (warning)
CX420 More removals than the limit
"""
RULES = {line[:5]: line[6:] for line in _HEADINGS.strip().splitlines()}
"""Rule id -> its title. The title of a rule that only warns ends with "(warning)"."""
