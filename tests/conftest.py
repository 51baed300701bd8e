"""Settings for the whole suite: CPU, eight devices, no network."""

import os

# Before jax is imported: eight CPU devices for the parallel forms, and no accelerator by accident.
os.environ["JAX_PLATFORMS"] = "cpu"
# The tests compile far more than they compute, so the compiler's own optimisations are off.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
