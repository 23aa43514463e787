"""Runs operators of PyTorch's own database, forward and backward, and says what came out.

    python3 worker.py --keys FILE --out FILE [--device cuda] [--samples N]

FILE has one key a line, as keys.py makes them. For each a line of JSON is written when it begins
and one when it has ended, so that who watches knows which one a crash or a hang belongs to:

    {"begin": "add:0:float32"}
    {"key": "add:0:float32", "results": ["f 9d3b… b 77a0…", "error RuntimeError: …"]}

A result is a hash of all bits of what an operator returned for one sample (f) and of its gradients
(b), or the error that it raised. Exit status 3: the device cannot be used any more.
"""

import argparse
import hashlib
import itertools
import json
import os
import re
import sys
import warnings

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402
from torch.utils._pytree import tree_flatten  # noqa: E402

# What these return is whatever was in memory before.
UNINITIALISED = {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty",
                 "new_empty_strided", "resize_", "resize_as_"}
LONG_MESSAGE = 300


def tensor_bytes(tensor):
    """All bits of it, in an order of their own."""
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg().cpu().contiguous()
    if tensor.numel() == 0:
        return b""
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def digest(values, contents=True):
    total = hashlib.sha256()
    leaves, spec = tree_flatten(values)
    total.update(str(spec).encode())
    for leaf in leaves:
        if isinstance(leaf, torch.Tensor):
            total.update(f"{tuple(leaf.shape)} {leaf.dtype} {leaf.layout}".encode())
            if contents:
                total.update(tensor_bytes(leaf))
        else:
            total.update(repr(leaf).encode())
    return total.hexdigest()[:16]


def gradients(outputs, inputs):
    """Of something that every output has a part in."""
    outputs = [leaf for leaf in tree_flatten(outputs)[0]
               if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
    inputs = [leaf for leaf in tree_flatten(inputs)[0]
              if isinstance(leaf, torch.Tensor) and leaf.requires_grad and leaf.is_leaf]
    if not outputs or not inputs:
        return None
    weights = [torch.ones_like(output) * 0.5 for output in outputs]
    return torch.autograd.grad(outputs, inputs, weights, allow_unused=True)


def one_sample(op, sample, differentiable):
    inputs = (sample.input, sample.args, sample.kwargs)
    torch.manual_seed(1)
    outputs = op(sample.input, *sample.args, **sample.kwargs)
    text = "f " + digest(outputs, contents=op.name not in UNINITIALISED)
    if differentiable and op.name not in UNINITIALISED:
        found = gradients(outputs, inputs)
        if found is not None:
            text += " b " + digest(found)
    return text


def error_text(error):
    """Without what changes from run to run."""
    lines = str(error).strip().splitlines() or [""]
    line = re.sub(r"0x[0-9a-f]+|\d+(\.\d+)? (MiB|GiB|KiB|bytes)|process \d+", "#", lines[0])
    return f"error {type(error).__name__}: {line[:LONG_MESSAGE]}"


def run_key(key, options):
    name, index, dtype_name = key.rsplit(":", 2)
    op = op_db[int(index)]
    if op.name != name:
        return [f"error: operator {index} is {op.name} here"]
    dtype = getattr(torch, dtype_name)
    differentiable = op.supports_autograd and (dtype.is_floating_point or dtype.is_complex)
    if differentiable:
        differentiable = dtype in op.supported_backward_dtypes(options.device)
    results: list[str] = []
    torch.manual_seed(0)
    try:
        samples = op.sample_inputs(options.device, dtype, requires_grad=differentiable)
        for sample in itertools.islice(samples, options.samples):
            try:
                results.append(one_sample(op, sample, differentiable))
            except Exception as error:  # whatever an operator raises is what is compared
                results.append(error_text(error))
    except Exception as error:
        results.append("no sample, " + error_text(error))
    return results


def usable(device):
    """Does the device still answer?"""
    try:
        return bool((torch.ones(1, device=device) + 1).item() == 2)
    except RuntimeError:
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--samples", type=int, default=4)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    with open(options.keys, encoding="utf-8") as file:
        keys = file.read().split()
    with open(options.out, "a", encoding="utf-8", buffering=1) as out:
        for key in keys:
            out.write(json.dumps({"begin": key}) + "\n")
            results = run_key(key, options)
            out.write(json.dumps({"key": key, "results": results}) + "\n")
            if any("error " in result for result in results) and not usable(options.device):
                return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
