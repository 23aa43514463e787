"""The workloads. Each is a module with

    ABOUT    one line
    SIZES    {"small": {...}, "paper": {...}}: what build() is given
    build(context, **size) -> Workload (common.py)

Models are our own compact definitions of what the papers describe, built from configurations and
seeds: nothing is downloaded, and no result depends on the version of a model library."""

# The eight of facts measured first, then other families, then what is not a model.
NAMES = ("add", "mlp", "resnet18_train", "resnet18_infer", "resnet50_train", "gpt2_generate",
         "gpt2_train", "bert_infer",
         "efficientnet", "yolo", "vit", "detr", "t5", "llama", "dlrm", "wide_deep", "deepfm", "clip",
         "blip",
         "item", "copies")
EIGHT = NAMES[:8]
GROUPS = {"eight": EIGHT, "models": NAMES[8:19], "small-calls": ("item", "copies"), "all": NAMES}
