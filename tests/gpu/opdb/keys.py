"""Prints a key for each operator of PyTorch's database and data type: name:index:type."""

import sys

from torch.testing._internal.common_methods_invocations import op_db

TYPES = ("float32", "float16", "bfloat16", "int64", "complex64")


def main():
    import torch

    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    for index, op in enumerate(op_db):
        supported = op.supported_dtypes(device)
        for name in TYPES:
            if getattr(torch, name) in supported:
                print(f"{op.name}:{index}:{name}")


if __name__ == "__main__":
    main()
