"""Problems in the model's folder: config.json, architecture, weights, tokenizer."""

from __future__ import annotations

import re

from cortexctl.engines.vllm.diagnosis.pattern import Message, computed, fixed


def _shape(match: re.Match[str]) -> Message:
    return (
        (
            f"a weight has shape {match[1]}, but the model needs {match[2]}: config.json and the weights do "
            "not belong together"
        ),
        (
            "fetch the folder again as one revision (config.json and all weights), and check the changes in "
            "args.hf_overrides"
        ),
    )


PATTERNS = (
    fixed(
        "no-config",
        r"(?<!\S)(\S+) does not appear to have a file named config\.json|Invalid repository ID or local directory "
        r"specified: ?'([^']+)'",
        r"the model's folder has no config.json: \1\2",
        "check `source`: it must be a Hugging Face folder (config.json, tokenizer, weights); fetch the "
        "model completely",
    ),
    fixed(
        "config-is-not-json",
        r"config file at '([^']+)' is not a valid JSON file",
        r"\1 is not JSON: the copy is incomplete, or somebody edited it",
        "fetch that file again",
    ),
    fixed(
        "no-model-type",
        r"Should have a `model_type` key in its config\.json|No model architectures are specified",
        "config.json does not name the model's type (model_type, architectures)",
        'check that `source` is the model and not an adapter, or set args.hf_overrides = { architectures = ["…"] }',
    ),
    fixed(
        "model-type-unknown",
        r"has model type `([^`]+)` but Transformers does not recognize this architecture",
        r"the Transformers version in this image does not know the model type \1: the model is newer than the image",
        "pin a newer vLLM image",
    ),
    fixed(
        "transformers-too-old",
        r"module '?transformers'? has no attribute '?(\w+)|No module named '(transformers\.models\.[\w.]+)'",
        r"the Transformers version in this image does not have \1\2: the model is newer than the image",
        "pin a newer vLLM image",
    ),
    fixed(
        "transformers-too-new",
        r"AmbiguousGlobalPerLayerAttributeError|has no attribute '?all_special_tokens_extended"
        r"|ImportError: cannot import name '\w+' from 'transformers",
        "the Transformers version in this image is newer than its vLLM supports",
        "pin an unmodified image of a newer vLLM release (0.28.0 supports Transformers 5.15), or one with an older "
        "Transformers",
    ),
    fixed(
        "tokenizer-too-new",
        r"data did not match any variant of untagged enum \w+",
        "tokenizer.json was written by a newer version of the tokenizers package than the image has",
        "pin a newer vLLM image, or use the tokenizer.json of an older revision of the model",
    ),
    fixed(
        "tokenizer-is-not-json",
        r"^(?:\w+: )?(?:expected value|EOF while parsing|expected ident"
        r"|trailing characters).{0,60} at line \d+ column \d+$",
        "tokenizer.json is not complete JSON: it is a pointer of Git LFS, or the copy is incomplete",
        "fetch the model's folder again (with `git lfs pull`, or `hf download`)",
    ),
    fixed(
        "no-mistral-config",
        r"Failed to load mistral 'params\.json' config",
        "the arguments request Mistral's own format, but the model's folder has no params.json",
        'remove args.config_format, args.load_format and args.tokenizer_mode = "mistral", or fetch params.json, '
        "tekken.json and consolidated*.safetensors of the model",
    ),
    fixed(
        "architecture-dropped",
        r"Model architecture (\S+) was supported in vLLM until v?(\S+?),",
        r"this vLLM release no longer supports the architecture \1 (last in \2)",
        r"pin an image of vLLM \2 or older",
    ),
    fixed(
        "architecture-in-plugin",
        r"Model architecture (\S+) is not supported in-tree anymore\. Please install the plugin at (\S+)",
        r"vLLM itself no longer supports the architecture \1, only a plugin does",
        r"pin an image that includes \2, or an older release",
    ),
    fixed(
        "architecture-not-compatible",
        r"The Transformers implementation of (\S+) is not compatible with vLLM",
        r"vLLM cannot run \1, neither natively nor through Transformers",
        "pin a newer image, or serve the model with another engine",
    ),
    fixed(
        "architecture-not-inspected",
        r"Model architectures \[(.+?)\] failed to be inspected",
        r"vLLM supports \1, but its code did not load: usually a package is missing or broken in the image",
        "use the unmodified vLLM image; an earlier error in the log names the package",
        vague=True,
    ),
    fixed(
        "architecture-unknown",
        r"Model architectures \[([^\[\]]+)\].{0,200}? (?:are|is) not supported",
        r"this vLLM release does not support the architecture \1",
        r"pin a newer image, or serve the model with another engine",
    ),
    fixed(
        "code-of-its-own",
        r"(?:argument|option|set|pass|setting)[^.]{0,200}`?trust_remote_code=True"
        r"|pass (?:the )?.{0,20}--trust-remote-code|contains custom code which must be executed",
        "the model contains its own code, which vLLM runs only with trust_remote_code",
        "review that code, pin `source.revision`, then set args.trust_remote_code = true",
    ),
    fixed(
        "package-missing",
        r"requires the following packages that were not found in your environment: ([\w, -]+?)\. Run"
        r"|ModuleNotFoundError: No module named '([^']+)'|Please install (vllm\[[\w,-]+\]) for"
        r"|ImportError: ([\w-]+) is not installed\. Please install",
        r"the image lacks a Python package that the model needs: \1\2\3\4",
        "build an image on top of this one with `RUN pip install` for that package, and set `image` to it",
    ),
    fixed(
        "no-weights",
        r"Cannot find any model weights with `([^`]+)`",
        r"\1 contains no weights",
        "fetch the *.safetensors files into the folder; for another format set args.load_format",
    ),
    fixed(
        "shards-missing",
        r"Weight files referenced in index but missing: \{(.+)\}",
        r"the weights are incomplete; missing: \1",
        "fetch the missing files into the model's folder (all files in model.safetensors.index.json)",
    ),
    fixed(
        "weights-not-opened",  # safetensors reports the same for a file that exists but is not readable
        r"No such file or directory: \"?'?([^\"'\n]+\.(?:safetensors|bin))",
        r"\1 is missing or not readable: root in the container has no special rights (cap_drop = ALL)",
        (
            "on the host, make the model's folder readable for everybody (chmod -R a+rX); if the file is "
            "missing, fetch it"
        ),
    ),
    fixed(
        "git-lfs-pointer",
        r"SafetensorError: .*?header too large|HeaderTooLarge|invalid load key, 'v'",
        "a weights file contains no weights: usually it is a git-lfs pointer of 130 bytes",
        "in the model's folder, run `git lfs pull`, or fetch it with `hf download`",
    ),
    fixed(
        "weights-cut-off",
        r"incomplete metadata, file not fully covered|MetadataIncompleteBuffer|InvalidHeader|header too small"
        r"|invalid (?:UTF-8 in )?header|failed finding central directory",
        "a weights file is damaged or its copy is incomplete",
        "compare the file sizes with the repository, and fetch files that are too short again",
    ),
    computed(
        "weights-of-another-shape",
        r"Attempted to load weight \(torch\.Size\((\[[\d, ]*\])\)\) into parameter \(torch\.Size\((\[[\d, ]*\])\)\)",
        _shape,
    ),
    fixed(
        "weights-not-in-model",
        r"There is no module or parameter named '([^']+)' in (\w+)",
        r"the checkpoint has a weight \1 that \2 in this release does not use",
        "pin the vLLM release that the model's card names; check that `source` is not an adapter or another variant",
    ),
    fixed(
        "weight-name-unknown",
        r"^KeyError: '((?:model|language_model|layers|visual|vision_tower|transformer)\.[\w.]+)'",
        r"the checkpoint has a weight that this vLLM release does not expect: \1",
        "pin the release that the model's card names; check that the quantisation is one that this release "
        "supports for "
        "this model",
        vague=True,
    ),
    fixed(
        "weights-not-in-checkpoint",
        r"Following weights were not initialized from checkpoint: (.{0,200})",
        r"the checkpoint lacks weights that the model needs: \1",
        (
            "fetch the folder completely (all shards in the index); an adapter belongs in args.lora_modules, "
            "not in `source`"
        ),
    ),
    fixed(
        "load-format-unknown",
        r"Load format `([^`]+)` is not supported|Unknown load_format: (\S+)",
        r"this vLLM release cannot load the format \1\2",
        'set args.load_format = "auto", or remove it',
    ),
    fixed(
        "gguf-architecture",
        r"Unknown gguf model_type: (\S+)|GGUF model with architecture (\S+) is not supported",
        r"vLLM cannot read GGUF files of the architecture \1\2",
        "use the original checkpoint: `source.repo` or `source.path` instead of `source.gguf`",
    ),
    fixed(
        "no-tokenizer",
        r"Couldn't instantiate the backend tokenizer from one of"
        r"|Cannot instantiate this tokenizer from a slow version|Can't load tokenizer for '([^']+)'"
        r"|Can't load the tokenizer for '([^']+)'",
        r"the model's folder has no readable tokenizer \1\2",
        "fetch tokenizer.json and tokenizer_config.json too, or set source.tokenizer to the base model",
    ),
    fixed(
        "tokenizer-class-unknown",
        r"Tokenizer class (\S+) does not exist or is not currently imported",
        r"the Transformers version in this image does not have the tokenizer class \1",
        "pin a newer image; if the model contains the class: args.trust_remote_code = true after a review",
    ),
    fixed(
        "runner-not-supported",
        r"This model does not support `--runner (\w+)`",
        r"the model does not support the runner \1",
        'set the model\'s task to the task that it supports ("generate" or "embed"), and remove args.runner',
    ),
    fixed(
        "task-not-supported",
        r"This model does not support the '(\w+)' task\. Supported tasks: [{\[]?(.+?)[}\]]?\.?$",
        r"the model does not support the task \1",
        r"set the model's task to one of \2",
    ),
    fixed(
        "config-does-not-fit",
        r"AttributeError: '(\w+Config)' object has no attribute '(\w+)'"
        r"|TypeError: (\w+(?:Config|Processor\w*"
        r"|Tokenizer\w*))\.__init__\(\) got an unexpected keyword argument '(\w+)'",
        r"\1\3 has no \2\4: the image's vLLM, its Transformers and the model's config.json do not fit together",
        "pin the release that the model's card names (an unmodified image contains Transformers that fits), and check "
        "that config.json belongs to this checkpoint",
        vague=True,
    ),
)
