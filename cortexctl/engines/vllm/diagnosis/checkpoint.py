"""What is in the model's folder: config.json, architecture, weights, tokenizer."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Said, computed, said


def _shape(match: re.Match[str]) -> Said:
    return (
        (
            f"a weight of shape {match[1]} does not fit where the model wants {match[2]}: config.json and "
            f"weights do not "
            "belong together"
        ),
        "fetch the folder anew as one revision (config.json and all weights), and check what args.hf_overrides changes",
    )


PATTERNS = (
    said(
        "no-config",
        r"(?<!\S)(\S+) does not appear to have a file named config\.json|Invalid repository ID or local directory "
        r"specified: ?'([^']+)'",
        r"there is no config.json in \1\2",
        r"check `source`: it must be a Hugging Face folder (config.json, tokenizer, weights); fetch the model "
        r"completely",
    ),
    said(
        "config-is-not-json",
        r"config file at '([^']+)' is not a valid JSON file",
        r"\1 is not JSON: it was not copied completely, or was edited",
        r"fetch that file anew",
    ),
    said(
        "no-model-type",
        r"Should have a `model_type` key in its config\.json|No model architectures are specified",
        r"config.json does not say what the model is (model_type, architectures)",
        r"check that `source` names the model and not an adapter, or set args.hf_overrides "
        r'= { architectures = ["…"] }',
    ),
    said(
        "model-type-unknown",
        r"has model type `([^`]+)` but Transformers does not recognize this architecture",
        r"the Transformers in this image does not know the model type \1: the model is newer than the image",
        r"pin a newer image of vLLM",
    ),
    said(
        "architecture-dropped",
        r"Model architecture (\S+) was supported in vLLM until v?(\S+?),",
        r"this vLLM release no longer supports the architecture \1 (last in \2)",
        r"pin an image of vLLM \2 or older",
    ),
    said(
        "architecture-in-plugin",
        r"Model architecture (\S+) is not supported in-tree anymore\. Please install the plugin at (\S+)",
        r"vLLM no longer has the architecture \1 itself, only a plugin does",
        r"pin an image that was built with \2, or an older release",
    ),
    said(
        "architecture-not-compatible",
        r"The Transformers implementation of (\S+) is not compatible with vLLM",
        r"neither vLLM nor its way through Transformers can run \1",
        r"pin a newer image, or serve the model with another engine",
    ),
    said(
        "architecture-not-inspected",
        r"Model architectures \[(.+?)\] failed to be inspected",
        r"vLLM has \1, and its code could not be loaded: mostly a package is missing or broken in the image",
        r"use the unchanged image of vLLM; the error that was logged before names the package",
        vague=True,
    ),
    said(
        "architecture-unknown",
        r"Model architectures \[([^\[\]]+)\].{0,200}? (?:are|is) not supported",
        r"this vLLM release does not support the architecture \1",
        r"pin a newer image, or serve the model with another engine",
    ),
    said(
        "code-of-its-own",
        r"(?:argument|option|set|pass|setting)[^.]{0,200}`?trust_remote_code=True"
        r"|pass (?:the )?.{0,20}--trust-remote-code|contains custom code which must be executed",
        r"the model brings code of its own, which vLLM does not run unless told to",
        r"review that code, pin `source.revision`, then set args.trust_remote_code = true",
    ),
    said(
        "package-missing",
        r"requires the following packages that were not found in your environment: ([\w, -]+?)\. Run"
        r"|ModuleNotFoundError: No module named '([^']+)'",
        r"the image lacks a Python package that the model needs: \1\2",
        r"build an image on top of this one with `RUN pip install` for it, and set `image` to that",
    ),
    said(
        "no-weights",
        r"Cannot find any model weights with `([^`]+)`",
        r"there are no weights in \1",
        r"fetch the *.safetensors files into the folder; for another format set args.load_format",
    ),
    said(
        "shards-missing",
        r"Weight files referenced in index but missing: \{(.+)\}",
        r"the weights are not complete, missing: \1",
        r"fetch the missing files into the model's folder (all that model.safetensors.index.json names)",
    ),
    said(
        "weights-not-opened",  # safetensors says the same of a file that is there and may not be read
        r"No such file or directory: \"?'?([^\"'\n]+\.(?:safetensors|bin))",
        r"\1 is missing, or may not be read: root in the container has no special rights (cap_drop = ALL)",
        r"on the host, let everybody read the model's folder (chmod -R a+rX); where the file is not there, fetch it",
    ),
    said(
        "git-lfs-pointer",
        r"SafetensorError: .*?header too large|HeaderTooLarge|invalid load key, 'v'",
        r"a file of weights holds no weights: mostly it is a git-lfs pointer of 130 bytes that git left in its place",
        r"in the model's folder, run `git lfs pull`, or fetch it with `hf download`",
    ),
    said(
        "weights-cut-off",
        r"incomplete metadata, file not fully covered|MetadataIncompleteBuffer|InvalidHeader|header too small"
        r"|invalid (?:UTF-8 in )?header|failed finding central directory",
        r"a file of weights is damaged or was not copied to its end",
        r"compare the sizes with the repository's and fetch the shorter files again",
    ),
    computed(
        "weights-of-another-shape",
        r"Attempted to load weight \(torch\.Size\((\[[\d, ]*\])\)\) into parameter \(torch\.Size\((\[[\d, ]*\])\)\)",
        _shape,
    ),
    said(
        "weights-not-in-model",
        r"There is no module or parameter named '([^']+)' in (\w+)",
        r"the checkpoint has a weight \1 that \2 of this release has no place for",
        r"pin the vLLM release that the model's card names; check that `source` is not an adapter or another variant",
    ),
    said(
        "weights-not-in-checkpoint",
        r"Following weights were not initialized from checkpoint: (.{0,200})",
        r"the checkpoint lacks weights that the model needs: \1",
        r"fetch the folder completely (all shards of the index); an adapter goes into args.lora_modules, not `source`",
    ),
    said(
        "load-format-unknown",
        r"Load format `([^`]+)` is not supported|Unknown load_format: (\S+)",
        r"this vLLM release cannot load the format \1\2",
        r'set args.load_format = "auto", or take it out',
    ),
    said(
        "gguf-architecture",
        r"Unknown gguf model_type: (\S+)|GGUF model with architecture (\S+) is not supported",
        r"vLLM cannot read GGUF files of the architecture \1\2",
        r"take the original checkpoint: `source.repo` or `source.path` in place of `source.gguf`",
    ),
    said(
        "no-tokenizer",
        r"Couldn't instantiate the backend tokenizer from one of|Can't load tokenizer for '([^']+)'"
        r"|Can't load the tokenizer for '([^']+)'",
        r"there is no tokenizer that can be read in the model's folder \1\2",
        r"fetch tokenizer.json and tokenizer_config.json too, or set source.tokenizer to the base model",
    ),
    said(
        "tokenizer-class-unknown",
        r"Tokenizer class (\S+) does not exist or is not currently imported",
        r"the tokenizer's class \1 is not in this image's Transformers",
        r"pin a newer image; if the model brings the class: args.trust_remote_code = true after a review",
    ),
    said(
        "runner-not-supported",
        r"This model does not support `--runner (\w+)`",
        r"the model cannot be run as \1",
        'set the model\'s task to what it was made for ("generate" or "embed"), and take args.runner out',
    ),
    said(
        "task-not-supported",
        r"This model does not support the '(\w+)' task\. Supported tasks: [{\[]?(.+?)[}\]]?\.?$",
        r"the model cannot do the task \1",
        r"set the model's task to one of \2",
    ),
)
