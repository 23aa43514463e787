"""JAX: jitted functions, gradients, scans, convolutions, sorting, random numbers, linear algebra, a small
network trained."""

import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + \
    " --xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"

from common import check, show, skip

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    skip(f"JAX: {error}")
if jax.default_backend() != "gpu":
    skip(f"JAX has no GPU here, only {jax.default_backend()}")
import numpy as np

print(jax.devices()[0].device_kind)
x = jnp.arange(1 << 18, dtype=jnp.float32).reshape(512, 512) / 100
show("elementwise", jax.jit(lambda x: jnp.sin(x) * jnp.exp(-x / 100) + x ** 2)(x))
show("matmul", x @ x.T)
show("sort", jnp.sort(jnp.sin(x), axis=1))
show("scan", jax.lax.scan(lambda c, v: (c * 0.5 + v, c), jnp.zeros(512), x)[1])
show("while", jax.lax.while_loop(lambda s: s[0] < 50, lambda s: (s[0] + 1, s[1] * 1.01), (0, x))[1])
show("random", jax.random.normal(jax.random.PRNGKey(1), (1000,)))
show("vmap", jax.vmap(lambda a, b: jnp.dot(a, b))(x, x))
show("fft", jnp.fft.fft(x))
spd = x[:64, :64] @ x[:64, :64].T + 1e5 * jnp.eye(64)
show("cholesky", jnp.linalg.cholesky(spd))
show("eigenvalues", np.round(np.asarray(jnp.linalg.eigvalsh(spd)), -1))
images = jax.random.normal(jax.random.PRNGKey(2), (8, 3, 32, 32))
filters = jax.random.normal(jax.random.PRNGKey(3), (16, 3, 3, 3))
show("convolution", jax.jit(lambda i, f: jax.lax.conv(i, f, (1, 1), "SAME"))(images, filters))


def network(parameters, inputs):
    for weights, bias in parameters[:-1]:
        inputs = jax.nn.gelu(inputs @ weights + bias)
    weights, bias = parameters[-1]
    return inputs @ weights + bias


def loss(parameters, inputs, labels):
    logits = network(parameters, inputs)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))


@jax.jit
def step(parameters, inputs, labels):
    value, gradients = jax.value_and_grad(loss)(parameters, inputs, labels)
    return value, jax.tree.map(lambda p, g: p - 0.1 * g, parameters, gradients)


keys = jax.random.split(jax.random.PRNGKey(0), 6)
sizes = (64, 256, 256, 10)
parameters = [(jax.random.normal(keys[i], (sizes[i], sizes[i + 1])) / sizes[i] ** 0.5,
               jnp.zeros(sizes[i + 1])) for i in range(3)]
inputs = jax.random.normal(keys[4], (256, 64))
labels = jax.random.randint(keys[5], (256,), 0, 10)
first = None
for number in range(50):
    value, parameters = step(parameters, inputs, labels)
    first = value if first is None else first
    if number % 10 == 9:
        print(f"step {number + 1}: {float(value).hex()}")
check(float(value) < float(first), "the loss falls")
show("trained", parameters[0][0])
show("bf16", (x.astype(jnp.bfloat16) @ x.astype(jnp.bfloat16)).astype(jnp.float32))
print("ok")
