"""Results made by hand."""

import copy

from comparison import store


def measured(times, losses=("0x1p+0",), weights="aa", **more):
    found = {
        "warmup": 1, "step_wall_ms": list(times), "step_device_ms": [t / 2 for t in times],
        "items_a_step": 4.0, "computes": True, "import_s": 1.0, "first_kernel_s": 2.0,
        "build_s": 0.5, "window_s": sum(times) / 1e3, "client_cpu_s": 0.25, "server_cpu_s": None,
        "client_peak_bytes": 1000000, "server_peak_bytes": None, "device_peak_bytes": None,
        "thread_cpu_s": {}, "server_thread_cpu_s": {}, "losses": list(losses),
        "hashes": {"losses": "".join(losses), "weights": weights}, "samples_us": {}, "values": {},
        "versions": {"torch": "2.11"}, "genie_window": {}}
    found.update(more)
    return found


def run(setting, repeat=0, times=(1.0, 1.0, 1.0), workload="mlp", role="measure", session="s1",
        **more):
    return {"session": session, "workload": workload, "setting": setting, "repeat": repeat,
            "order": repeat * 10, "role": role, "status": "ok", "reason": "", "seconds": 1.0,
            "load": 0.1, "measured": measured(times, **more), "counters": None,
            "server_counters": None, "unsupported": None}


def failed(setting, status="failed", reason="it broke", **more):
    found = run(setting, **more)
    found.update(status=status, reason=reason, measured=None)
    return found


def session(settings, ident="s1", **more):
    found = {"id": ident, "started": f"2026-01-01T00:00:00+00:00 {ident}", "command": ["x"],
             "seed": 1, "device": "cuda", "size": "paper", "workloads": ["mlp", "item"],
             "repeats": 2, "steps": None, "warmup": 1,
             "settings": {name: {"kind": "native"} for name in settings}, "baselines": [[], []],
             "ab": None, "machine": {"cpu": "a processor", "gpu": {}}}
    found.update(more)
    return found


def results(runs, sessions=None):
    found = store.new()
    names = list(dict.fromkeys(r["setting"] for r in runs))
    found["sessions"] = sessions or [session(names)]
    found["runs"] = copy.deepcopy(runs)
    for order, each in enumerate(found["runs"]):
        each["order"] = order
    store.check(found)
    return found


def blocks(setting_times, workload="mlp", session_id="s1"):
    """{"shm": [run medians by block]} to runs of three equal steps."""
    return [run(setting, i, (t, t, t), workload, session=session_id)
            for setting, times in setting_times.items() for i, t in enumerate(times)]
