#!/usr/bin/env python3
"""Trains GPT-2 small on synthetic text with PyTorch and transformers; downloads nothing.

Every step prints its loss, also as a hexadecimal number, so that two runs can be compared bit for
bit; step times go to standard error.

    gpt2.py [--steps 20] [--batch 4] [--length 256] [--precision fp32|fp16]
"""

import argparse
import os
import statistics
import sys
import time

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS: the same order every time
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch


def make_repeatable():
    torch.manual_seed(0)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def report(times):
    """Step times without the first five, in which libraries load and tune."""
    steady = sorted(times[5:] or times)
    print(f"step: median {statistics.median(steady):.2f} ms, fastest {steady[0]:.2f} ms, "
          f"first {times[0]:.0f} ms", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=256, help="tokens of one text")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("gpt2.py: PyTorch finds no CUDA device")
    from transformers import GPT2Config, GPT2LMHeadModel

    make_repeatable()
    half = options.precision == "fp16"
    config = GPT2Config()  # the small one: 12 layers, 768 wide, 124 million weights
    model = GPT2LMHeadModel(config).cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    scaler = torch.amp.GradScaler("cuda", enabled=half)
    tokens = torch.randint(config.vocab_size, (4, options.batch, options.length))

    print(f"GPT-2 small, batch {options.batch} x {options.length}, {options.precision}", flush=True)
    times = []
    for step in range(options.steps):
        begin = time.perf_counter()
        batch = tokens[step % 4].cuda()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.float16, enabled=half):
            loss = model(batch, labels=batch).loss
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        value = loss.item()
        times.append((time.perf_counter() - begin) * 1000)
        print(f"step {step + 1:2d}  loss {value!r}  {value.hex()}", flush=True)
    report(times)


if __name__ == "__main__":
    main()
